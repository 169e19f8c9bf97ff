//! Plugins in JavaScript, TypeScript and Python: their sources, the SDK beside them, go through
//! componentize-js or componentize-py. That takes half a minute, so a component carries the digest of what
//! it was made of, and is left as it stands where that is the same.

mod manifest;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use self::manifest::{Manifest, no_plugin};
use super::super::{Language, component, new, tools};
use super::BuildError;
use crate::names::Digest;
use crate::plugin::Step;

/// The name of the custom section that holds the digest of the sources.
const SOURCES: &str = "assay-sources";

/// Folders of a project that hold no source of the component.
const NO_SOURCE: [&str; 3] = ["cases", "node_modules", "__pycache__"];

/// What says how the types of a project are checked.
const TYPES: &str = "tsconfig.json";

/// A rule's source, as its manifest names it.
pub(super) struct Plugin {
    pub name: String,
    folder: PathBuf,
    language: Language,
    step: Step,
}

/// Whether a folder holds a rule in a language other than Rust.
pub(super) fn is_plugin(folder: &Path) -> bool {
    manifest::is_there(folder)
}

impl Plugin {
    /// `None` where no manifest speaks of a rule.
    ///
    /// # Errors
    /// A manifest that speaks of one, and is wrong.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, BuildError> {
        let manifest = manifest::read(folder)?;
        Ok(manifest.map(
            |Manifest {
                 name,
                 language,
                 step,
             }| Self {
                name,
                folder: folder.to_owned(),
                language,
                step,
            },
        ))
    }

    /// The component, as it stands in `built` if that was made of the same sources.
    pub(super) fn component(&self, built: &Path) -> Result<Vec<u8>, BuildError> {
        let sources = self.sources()?;
        for file in self.needed() {
            if !sources.contains_key(Path::new(file)) {
                let reason =
                    format!("it has no {file}; `assay plugin new` writes one to begin with");
                return Err(no_plugin(&self.folder, reason));
            }
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

    /// The files that there must be, the rule before others.
    fn needed(&self) -> &'static [&'static str] {
        match self.language {
            Language::TypeScript => &["rule.ts", TYPES],
            Language::Python => &["rule.py"],
            _ => &["rule.js"],
        }
    }

    fn is_source(&self, path: &Path) -> bool {
        let of_language: &[&str] = match self.language {
            Language::TypeScript => &["ts", "js"],
            Language::Python => &["py"],
            _ => &["js"],
        };
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| of_language.contains(&extension))
            || self.language == Language::TypeScript && path == Path::new(TYPES)
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
                let within = folder.join(&entry);
                if path.is_dir() {
                    folders.push(within);
                } else if self.is_source(&within) {
                    let text = fs::read(&path).map_err(|e| file("read", &path, e))?;
                    sources.insert(within, text);
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
        let mut command = match self.language {
            Language::Python => self.in_python(&source, &wit)?,
            Language::TypeScript => {
                let plain = place.path().join("plain");
                let mut types = tools::typescript()?;
                types.arg(&source).arg(&plain);
                self.run(types.current_dir(&source))?;
                self.in_javascript(&plain, "rule.ts", &wit)?
            }
            _ => self.in_javascript(&source, "rule.js", &wit)?,
        };
        self.run(command.arg(&out))?;
        fs::read(&out).map_err(|e| file("read", &out, e))
    }

    fn in_python(&self, source: &Path, wit: &Path) -> Result<Command, BuildError> {
        let mut command = tools::python()?;
        command.arg("--quiet").arg("--wit-path").arg(wit);
        // Stubs in the component stand for WASI: whatever it would ask for ends in a trap.
        command.args(["--world", self.step.world(), "componentize", "--stub-wasi"]);
        command.args(["--python-path", ".", "rule", "--output"]);
        command.env_remove("VIRTUAL_ENV").env_remove("PYTHONPATH");
        command.current_dir(source);
        Ok(command)
    }

    fn in_javascript(&self, source: &Path, rule: &str, wit: &Path) -> Result<Command, BuildError> {
        let mut command = tools::javascript()?;
        command.arg(source.join(rule)).arg(wit);
        command.arg(self.step.world()).current_dir(source);
        Ok(command)
    }

    /// What is wrong, the tools say themselves.
    fn run(&self, command: &mut Command) -> Result<(), BuildError> {
        let ran = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
        let status = ran.map_err(|error| BuildError::Start {
            program: command.get_program().to_string_lossy().into_owned(),
            source: error,
        })?;
        let name = self.name.clone();
        match status.success() {
            true => Ok(()),
            false => Err(BuildError::Script { name, status }),
        }
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

    pub(super) fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    pub(super) const PACKAGE: &str =
        r#"{ "name": "check-sales", "assay": { "step": "validate" } }"#;
    pub(super) const PYPROJECT: &str =
        "[project]\nname = \"check-sales\"\n[tool.assay]\nstep = \"aggregate\"\n";

    #[test]
    fn a_project_without_a_rule_is_told_so_and_one_in_typescript_needs_to_say_how_it_is_checked() {
        let empty = project(&[("package.json", PACKAGE)]);
        let error = super::super::build(empty.path()).unwrap_err().to_string();
        assert!(error.contains("it has no rule.js"), "{error}");
        let untyped = project(&[("package.json", PACKAGE), ("rule.ts", "")]);
        let error = super::super::build(untyped.path()).unwrap_err().to_string();
        assert!(error.contains("it has no tsconfig.json"), "{error}");
    }

    #[test]
    fn the_sources_in_typescript_are_those_of_javascript_too_and_how_they_are_checked() {
        let files = [
            ("package.json", PACKAGE),
            ("rule.ts", "one"),
            ("assay-rules.js", "two"),
            ("assay-rules.d.ts", "three"),
            ("tsconfig.json", "{}"),
            ("more/tsconfig.json", "{}"),
        ];
        let folder = project(&files);
        let plugin = Plugin::read(folder.path()).unwrap().unwrap();
        let sources = plugin.sources().unwrap();
        let names: Vec<_> = sources.keys().map(|path| path.to_str().unwrap()).collect();
        let wanted = [
            "assay-rules.d.ts",
            "assay-rules.js",
            "rule.ts",
            "tsconfig.json",
        ];
        assert_eq!(names, wanted);
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
