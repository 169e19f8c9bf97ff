//! A pipeline that was sent: its TOML, with components and rows of dimensions by the names of their
//! files. Nothing of this machine's own files is read for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::config::{Config, ConfigError};
use crate::names::Tenant;
use crate::oci::in_registry;
use crate::trust::Trust;

/// Files that may be sent beside a TOML.
const MOST_FILES: usize = 100;
/// Bytes of a file's name.
const LONGEST_NAME: usize = 128;

/// What is wrong with what was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "{name:?} is no name of a file: send letters, digits, `.`, `_` and `-`, without a folder"
    )]
    Name { name: String },
    #[error("more than {MOST_FILES} files were sent")]
    TooMany,
    #[error("two files are called {name}")]
    Twice { name: String },
    #[error("no TOML was sent; send it as the part `pipeline`")]
    NoToml,
    #[error("the TOML names component {component}, and no file of that name was sent")]
    Missing { component: String },
    #[error(
        "a host fetches nothing for those who send it a TOML: pull {component} with `assay plugin pull`, and send the file"
    )]
    InRegistry { component: String },
    #[error("the TOML names two components {name} in different folders; give them different names")]
    Ambiguous { name: String },
    #[error("the TOML is of tenant {found}, and was sent for tenant {wanted}")]
    OtherTenant { found: Tenant, wanted: Tenant },
    #[error("it can't be kept for now: {0}")]
    Disk(#[from] std::io::Error),
}

/// What was sent.
#[derive(Default)]
pub struct Upload {
    toml: Option<String>,
    files: BTreeMap<String, Bytes>,
}

/// A pipeline that was sent, in a folder of its own that goes with it.
pub struct Unpacked {
    pub config: Config,
    folder: tempfile::TempDir,
}

impl Upload {
    /// Takes the TOML in.
    ///
    /// # Errors
    /// A second one.
    pub fn toml(&mut self, text: String) -> Result<(), UploadError> {
        match self.toml.replace(text) {
            None => Ok(()),
            Some(_) => Err(UploadError::Twice {
                name: "pipeline".to_owned(),
            }),
        }
    }

    /// Takes a file in.
    ///
    /// # Errors
    /// A name that is none, or was sent before.
    pub fn file(&mut self, name: &str, bytes: Bytes) -> Result<(), UploadError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let good = !name.is_empty()
            && name.len() <= LONGEST_NAME
            && !name.starts_with('.')
            && name.chars().all(plain);
        let name = name.to_owned();
        if !good {
            return Err(UploadError::Name { name });
        }
        if self.files.len() >= MOST_FILES {
            return Err(UploadError::TooMany);
        }
        match self.files.insert(name.clone(), bytes) {
            None => Ok(()),
            Some(_) => Err(UploadError::Twice { name }),
        }
    }

    /// Puts what was sent into a folder of its own, and reads the TOML there. Whom it trusts is not
    /// its own to say.
    ///
    /// # Errors
    /// What is wrong with the TOML, or a component that was not sent.
    pub fn unpack(self, tenant: &Tenant, trust: Trust) -> Result<Unpacked, UploadError> {
        let text = self.toml.ok_or(UploadError::NoToml)?;
        let folder = tempfile::tempdir()?;
        for (name, bytes) in &self.files {
            std::fs::write(folder.path().join(name), bytes)?;
        }
        let mut config = Config::parse(&text, &folder.path().join("pipeline.toml"))?;
        if config.tenant != *tenant {
            return Err(UploadError::OtherTenant {
                found: config.tenant,
                wanted: tenant.clone(),
            });
        }
        config.trust = trust;
        let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
        for component in config.components_mut() {
            if let Some(named) = in_registry(component) {
                return Err(UploadError::InRegistry {
                    component: named.to_owned(),
                });
            }
            let name = file_name(component);
            let before = named.insert(name.clone(), component.clone());
            if before.is_some_and(|before| before != *component) {
                return Err(UploadError::Ambiguous { name });
            }
            if !self.files.contains_key(&name) {
                return Err(UploadError::Missing {
                    component: component.display().to_string(),
                });
            }
            *component = name.into();
        }
        for dimension in config.dimension.values_mut() {
            // Where it was not sent it must not be needed: that it is missing is said by who reads.
            let file = dimension.file.as_ref();
            dimension.file = file.map(|file| file_name(file).into());
        }
        Ok(Unpacked { config, folder })
    }
}

impl Unpacked {
    /// What was said about it, without the folder that it lies in for now.
    pub fn told(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    // Of a name that begins with a dot none was taken in, and `..` has none.
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(components: &str) -> String {
        format!(
            "version = 1\ntenant = \"north\"\n[source]\nkind = \"file\"\npath = \"/etc\"\n\
             [event.fields]\ntransaction_id = \"string\"\ntimestamp = \"timestamp\"\n{components}"
        )
    }

    fn unpack(components: &str, files: &[&str]) -> Result<Unpacked, String> {
        let mut upload = Upload::default();
        upload.toml(toml(components)).unwrap();
        for file in files {
            let taken = upload.file(file, Bytes::from_static(b"wasm"));
            taken.map_err(|error| error.to_string())?;
        }
        let north = "north".parse().unwrap();
        upload
            .unpack(&north, Trust::default())
            .map_err(|error| error.to_string())
    }

    const ONE: &str = "[[validate]]\ncomponent = \"../../secret/a.wasm\"\n";

    #[test]
    fn components_are_those_that_were_sent_whatever_path_the_toml_names() {
        let unpacked = unpack(ONE, &["a.wasm"]).unwrap();
        let paths: Vec<PathBuf> = unpacked
            .config
            .components()
            .map(|path| unpacked.config.resolve(path))
            .collect();
        assert_eq!(paths, [unpacked.folder.path().join("a.wasm")]);
        assert_eq!(std::fs::read(&paths[0]).unwrap(), b"wasm");
        let told = unpacked.told(&format!("{} is bad", paths[0].display()));
        assert_eq!(told, "a.wasm is bad");
    }

    #[test]
    fn a_component_that_was_not_sent_is_never_read_from_here() {
        let file = tempfile::Builder::new().suffix(".wasm").tempfile().unwrap();
        for path in ["/etc/passwd", "..", "/", file.path().to_str().unwrap()] {
            let one = format!("[[validate]]\ncomponent = \"{path}\"\n");
            let said = unpack(&one, &["a.wasm"]).err().unwrap();
            assert!(said.contains("no file of that name was sent"), "{said}");
        }
    }

    #[test]
    fn a_component_in_a_registry_is_not_fetched_for_who_sends_its_name() {
        let digest = "0".repeat(64);
        let one = format!(
            "[[validate]]\ncomponent = \"oci://localhost:1/rules/a.wasm@sha256:{digest}\"\n"
        );
        let said = unpack(&one, &["a.wasm"]).err().unwrap();
        assert!(said.contains("assay plugin pull"), "{said}");
    }

    #[test]
    fn names_that_could_leave_the_folder_and_mix_ups_are_refused() {
        for name in [
            "../a.wasm",
            "/a.wasm",
            "a/b.wasm",
            "..",
            ".",
            ".a",
            "",
            "a\\b",
            "é",
        ] {
            assert!(unpack(ONE, &[name]).is_err(), "{name:?}");
        }
        let said = unpack(ONE, &["a.wasm", "a.wasm"]).err().unwrap();
        assert!(said.contains("two files"), "{said}");
        let two =
            "[[validate]]\ncomponent = \"x/a.wasm\"\n[[validate]]\ncomponent = \"y/a.wasm\"\n";
        let said = unpack(two, &["a.wasm"]).err().unwrap();
        assert!(said.contains("different folders"), "{said}");
        let mut upload = Upload::default();
        upload.toml(toml("")).unwrap();
        let said = upload
            .unpack(&"south".parse().unwrap(), Trust::default())
            .err()
            .unwrap()
            .to_string();
        assert!(said.contains("sent for tenant south"), "{said}");
    }
}
