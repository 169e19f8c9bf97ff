//! What a component says of itself, for people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::names::Digest;
use crate::plugin::{
    CompileLimits, Component, Configured, Description, Field, Limits, LookUp, PluginError, Sandbox,
};

/// Why a file can't be used as a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    #[error("read {}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {source}", path.display())]
    Component { path: PathBuf, source: PluginError },
}

/// A component's file, compiled.
pub struct Inspected {
    pub path: PathBuf,
    /// In bytes.
    pub size: usize,
    pub digest: Digest,
    pub component: Component,
}

impl Inspected {
    /// # Errors
    /// A file that can't be read, or what it is instead of a component of the contract.
    pub fn open(
        sandbox: &Arc<Sandbox>,
        path: &Path,
        limits: &CompileLimits,
    ) -> Result<Self, InspectError> {
        let bytes = std::fs::read(path).map_err(|source| InspectError::File {
            path: path.to_owned(),
            source,
        })?;
        let component =
            sandbox
                .compile_any(&bytes, limits)
                .map_err(|source| InspectError::Component {
                    path: path.to_owned(),
                    source,
                })?;
        Ok(Self {
            path: path.to_owned(),
            size: bytes.len(),
            digest: Digest::of(&bytes),
            component,
        })
    }

    /// Configures it, with the text of a JSON object.
    ///
    /// # Errors
    /// What the component does not like about its params, or the host about its description.
    pub fn configure(&self, params: &str) -> Result<Configured, InspectError> {
        self.configure_within(params, &Limits::default())
    }

    /// As [`Inspected::configure`], with other limits than a tenant's that names none.
    ///
    /// # Errors
    /// As [`Inspected::configure`].
    pub fn configure_within(
        &self,
        params: &str,
        limits: &Limits,
    ) -> Result<Configured, InspectError> {
        let configured = self.component.configure(params, limits);
        configured.map_err(|source| InspectError::Component {
            path: self.path.clone(),
            source,
        })
    }

    /// The file's name without its ending.
    pub fn name(&self) -> String {
        let name = self.path.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// What kind of component it is, and of which file.
    pub fn summary(&self) -> String {
        let step = self.component.step();
        let imports = match self.component.imports() {
            [] => "nothing".to_owned(),
            imports => imports.join(", "),
        };
        format!(
            "world     {} of {} (step {step})\nimports   {imports}\nsize      {} KiB ({} bytes)\ndigest    {}\n",
            step.world(),
            self.component.contract(),
            self.size.div_ceil(1024),
            self.size,
            self.digest
        )
    }
}

/// What it reads and makes, a line each.
pub fn described(description: &Description) -> String {
    let mut text = String::new();
    match description {
        Description::Rows(rows) => {
            fields(&mut text, "reads", &rows.reads, true);
            rows.look_ups
                .iter()
                .for_each(|look_up| looked_up(&mut text, look_up));
            fields(&mut text, "writes", &rows.writes, false);
            for rule in &rows.rules {
                let action = rule.action.as_str();
                line(
                    &mut text,
                    "rule",
                    &format!("{action} {}: {}", rule.name, rule.description),
                );
            }
        }
        Description::Groups(groups) => {
            fields(&mut text, "reads", &groups.reads, true);
            line(&mut text, "keys", &groups.keys.join(", "));
            fields(&mut text, "state", &groups.state, false);
            fields(&mut text, "measure", &groups.measures, false);
        }
    }
    text
}

fn fields(text: &mut String, label: &str, fields: &[Field], read: bool) {
    for field in fields {
        let need = match (read, field.required) {
            (false, _) => "",
            (true, true) => ", required",
            (true, false) => ", optional",
        };
        line(text, label, &format!("{} {}{need}", field.name, field.kind));
    }
}

fn looked_up(text: &mut String, look_up: &LookUp) {
    let on = look_up
        .on
        .iter()
        .map(|(column, key)| format!("{key} = {column}"));
    let on: Vec<String> = on.collect();
    let as_of = match &look_up.as_of {
        Some(column) => format!(", as of {column}"),
        None => String::new(),
    };
    let said = format!(
        "dimension {} where {}{as_of}",
        look_up.dimension,
        on.join(" and ")
    );
    line(text, "look-up", &said);
    for Field {
        name,
        kind,
        required,
    } in &look_up.fields
    {
        let need = if *required { "required" } else { "optional" };
        let column = format!("{}.{name} {kind}, {need}", look_up.dimension);
        line(text, "", &column);
    }
}

fn line(text: &mut String, label: &str, said: &str) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "{label:<9} {said}");
}
