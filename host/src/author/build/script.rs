//! Plugins in JavaScript and Python: their sources, the SDK beside them, go through componentize-js or
//! componentize-py. That takes half a minute, so a component carries the digest of what it was made of,
//! and is left as it stands where that is the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use super::super::{Language, component, new, tools};
use super::BuildError;
use crate::names::Digest;
use crate::plugin::Step;

/// The name of the custom section that holds the digest of the sources.
const SOURCES: &str = "assay-sources";

/// Folders of a project that hold no source of the component.
const NO_SOURCE: [&str; 3] = ["cases", "node_modules", "__pycache__"];

/// A rule's source, as its manifest names it.
pub(super) struct Plugin {
    pub name: String,
    folder: PathBuf,
    language: Language,
    step: Step,
}

/// What is needed of a `package.json`.
#[derive(Deserialize)]
struct Package {
    name: String,
    assay: Option<Assay>,
}

/// What is needed of a `pyproject.toml`.
#[derive(Deserialize)]
struct PyProject {
    project: Project,
    tool: Option<Tool>,
}

#[derive(Deserialize)]
struct Project {
    name: String,
}

#[derive(Deserialize)]
struct Tool {
    assay: Option<Assay>,
}

#[derive(Deserialize)]
struct Assay {
    step: String,
}

/// Whether a folder's manifest says that it holds a rule in JavaScript or Python.
pub(super) fn is_plugin(folder: &Path) -> bool {
    Plugin::read(folder).is_ok_and(|plugin| plugin.is_some())
}

impl Plugin {
    /// `None` where no manifest speaks of a rule.
    ///
    /// # Errors
    /// A manifest that speaks of one, and is wrong.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, BuildError> {
        let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let (language, name, assay) = if let Some(text) = text("package.json") {
            let package: Package = serde_json::from_str(&text)
                .map_err(|error| no_plugin(folder, format!("its package.json: {error}")))?;
            (Language::JavaScript, package.name, package.assay)
        } else if let Some(text) = text("pyproject.toml") {
            let project: PyProject = toml::from_str(&text)
                .map_err(|error| no_plugin(folder, format!("its pyproject.toml: {error}")))?;
            let assay = project.tool.and_then(|tool| tool.assay);
            (Language::Python, project.project.name, assay)
        } else {
            return Ok(None);
        };
        let Some(Assay { step }) = assay else {
            return Ok(None);
        };
        let known = Step::ALL.into_iter().find(|known| known.as_str() == step);
        let step = known.ok_or_else(|| {
            let reason =
                format!("its step is {step:?}: say cleanse, validate, enrich or aggregate");
            no_plugin(folder, reason)
        })?;
        Ok(Some(Self {
            name,
            folder: folder.to_owned(),
            language,
            step,
        }))
    }

    /// The component, as it stands in `built` if that was made of the same sources.
    pub(super) fn component(&self, built: &Path) -> Result<Vec<u8>, BuildError> {
        let sources = self.sources()?;
        let entry = self.entry();
        if !sources.contains_key(Path::new(entry)) {
            return Err(no_plugin(&self.folder, format!("it has no {entry}")));
        }
        let digest = self.digest(&sources);
        if let Ok(component) = fs::read(built)
            && made_of(&component).as_deref() == Some(digest.as_str())
        {
            return Ok(component);
        }
        let mut component = self.make(&sources)?;
        component::check(&component).map_err(|source| BuildError::BadComponent {
            package: self.name.clone(),
            source,
        })?;
        append(&mut component, &digest);
        Ok(component)
    }

    fn entry(&self) -> &'static str {
        match self.language {
            Language::Python => "rule.py",
            _ => "rule.js",
        }
    }

    /// All files of the language, by their paths in the project.
    fn sources(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>, BuildError> {
        let mut sources = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let path = self.folder.join(&folder);
            for entry in fs::read_dir(&path).map_err(|e| file("read folder", &path, e))? {
                let entry = entry
                    .map_err(|e| file("read folder", &path, e))?
                    .file_name();
                let name = entry.to_string_lossy();
                let path = self.folder.join(folder.join(&entry));
                if name.starts_with('.') || NO_SOURCE.contains(&&*name) {
                    continue;
                }
                let extension = Path::new(self.entry()).extension();
                if path.is_dir() {
                    folders.push(folder.join(&entry));
                } else if path.extension() == extension {
                    let text = fs::read(&path).map_err(|e| file("read", &path, e))?;
                    sources.insert(folder.join(&entry), text);
                }
            }
        }
        Ok(sources)
    }

    /// Of all that decides what the component is.
    fn digest(&self, sources: &BTreeMap<PathBuf, Vec<u8>>) -> String {
        let mut all = tools::pins(self.language).into_bytes();
        all.extend_from_slice(self.step.world().as_bytes());
        for (_, text) in new::CONTRACT {
            all.extend_from_slice(text.as_bytes());
        }
        for (path, text) in sources {
            let head = format!("\n{} {}\n", path.display(), text.len());
            all.extend_from_slice(head.as_bytes());
            all.extend_from_slice(text);
        }
        Digest::of(&all).to_string()
    }

    /// Copies the sources to where nothing else is, so that neither the project's path nor its other
    /// files become part of the component.
    fn make(&self, sources: &BTreeMap<PathBuf, Vec<u8>>) -> Result<Vec<u8>, BuildError> {
        let place =
            tempfile::tempdir().map_err(|e| file("make a folder in", Path::new("/tmp"), e))?;
        let (source, wit) = (place.path().join("source"), place.path().join("wit"));
        let out = place.path().join("component.wasm");
        let contract = new::CONTRACT.iter();
        let contract = contract.map(|(name, text)| (wit.join(name), text.as_bytes()));
        let copies = sources
            .iter()
            .map(|(path, text)| (source.join(path), text.as_slice()));
        for (path, text) in copies.chain(contract) {
            let parent = path.parent().unwrap_or(&path);
            fs::create_dir_all(parent).map_err(|e| file("make folder", parent, e))?;
            fs::write(&path, text).map_err(|e| file("write", &path, e))?;
        }
        let world = self.step.world();
        let mut command = match self.language {
            Language::Python => {
                let mut command = tools::python()?;
                command.arg("--quiet").arg("--wit-path").arg(&wit);
                // Stubs in the component stand for WASI: whatever it would ask for ends in a trap.
                command.args(["--world", world, "componentize", "--stub-wasi"]);
                command.args(["--python-path", ".", "rule", "--output"]);
                command.env_remove("VIRTUAL_ENV").env_remove("PYTHONPATH");
                command
            }
            _ => {
                let mut command = tools::javascript()?;
                command.arg(source.join("rule.js")).arg(&wit).arg(world);
                command
            }
        };
        let made = command
            .arg(&out)
            .current_dir(&source)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        let status = made.map_err(|error| BuildError::Start {
            program: command.get_program().to_string_lossy().into_owned(),
            source: error,
        })?;
        if !status.success() {
            let name = self.name.clone();
            return Err(BuildError::Script { name, status });
        }
        fs::read(&out).map_err(|e| file("read", &out, e))
    }
}

/// The digest of the sources that a component was made of, if it says so.
fn made_of(component: &[u8]) -> Option<String> {
    // The section is the last, so that the megabytes before it need not be read.
    let digest = component.len().checked_sub(64)?;
    let (rest, digest) = component.split_at_checked(digest)?;
    rest.ends_with(SOURCES.as_bytes())
        .then(|| String::from_utf8_lossy(digest).into_owned())
}

/// Adds a custom section with the digest. Name and digest are short: each length is one byte.
fn append(component: &mut Vec<u8>, digest: &str) {
    let length = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
    component.push(0);
    component.push(length(SOURCES) + length(digest) + 1);
    component.push(length(SOURCES));
    component.extend_from_slice(SOURCES.as_bytes());
    component.extend_from_slice(digest.as_bytes());
}

fn no_plugin(folder: &Path, reason: String) -> BuildError {
    BuildError::NoPlugin {
        folder: folder.to_owned(),
        reason,
    }
}

fn file(action: &'static str, path: &Path, source: std::io::Error) -> BuildError {
    BuildError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const PACKAGE: &str = r#"{ "name": "check-sales", "assay": { "step": "validate" } }"#;
    const PYPROJECT: &str =
        "[project]\nname = \"check-sales\"\n[tool.assay]\nstep = \"aggregate\"\n";

    #[test]
    fn a_manifest_says_the_language_and_the_step() {
        for (file, text, language, step) in [
            (
                "package.json",
                PACKAGE,
                Language::JavaScript,
                Step::Validate,
            ),
            (
                "pyproject.toml",
                PYPROJECT,
                Language::Python,
                Step::Aggregate,
            ),
        ] {
            let folder = project(&[(file, text)]);
            let plugin = Plugin::read(folder.path()).unwrap().unwrap();
            assert_eq!((plugin.language, plugin.step), (language, step));
            assert_eq!(plugin.name, "check-sales");
            assert!(super::super::is_plugin(folder.path()));
        }
    }

    #[test]
    fn a_manifest_that_speaks_of_no_rule_is_no_plugin_and_a_wrong_step_is_told_the_right_ones() {
        let other = project(&[("package.json", r#"{ "name": "a-shop" }"#)]);
        assert!(Plugin::read(other.path()).unwrap().is_none());
        let wrong = project(&[("package.json", &PACKAGE.replace("validate", "judge"))]);
        let error = Plugin::read(wrong.path()).err().unwrap().to_string();
        assert!(
            error.contains("\"judge\": say cleanse, validate"),
            "{error}"
        );
        let empty = project(&[("package.json", PACKAGE)]);
        let error = super::super::build(empty.path()).unwrap_err().to_string();
        assert!(error.contains("it has no rule.js"), "{error}");
    }

    #[test]
    fn a_component_stands_until_one_of_its_sources_changes() {
        let files = [
            ("package.json", PACKAGE),
            ("rule.js", "one"),
            ("more/list.js", "two"),
            ("node_modules/other/index.js", "three"),
            ("cases/first/rows.ndjson", ""),
        ];
        let folder = project(&files);
        let plugin = Plugin::read(folder.path()).unwrap().unwrap();
        let sources = plugin.sources().unwrap();
        let names: Vec<_> = sources.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["more/list.js", "rule.js"]);

        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        assert_eq!(made_of(&component), None);
        append(&mut component, &plugin.digest(&sources));
        wasmparser::Validator::new()
            .validate_all(&component)
            .unwrap();
        let path = folder.path().join("check-sales.wasm");
        fs::write(&path, &component).unwrap();
        assert_eq!(plugin.component(&path).unwrap(), component);

        fs::write(folder.path().join("more/list.js"), "other").unwrap();
        let changed = plugin.digest(&plugin.sources().unwrap());
        assert_ne!(made_of(&component), Some(changed));
    }
}
