//! What a `package.json` or a `pyproject.toml` says of a rule: its name and its step.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::super::Language;
use super::super::BuildError;
use crate::plugin::Step;

/// What a manifest says of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub name: String,
    pub language: Language,
    pub step: Step,
}

/// A kind of manifest: what reads it, and where in it stands what is wanted.
struct Kind {
    file: &'static str,
    parse: fn(&str) -> Result<Value, String>,
    name: &'static str,
    step: &'static str,
    /// What to write where it names no step.
    cure: &'static str,
    /// The rules that it may be a manifest of. Of two that are there, the first is meant.
    rules: &'static [(&'static str, Language)],
}

const KINDS: [Kind; 2] = [
    Kind {
        file: "package.json",
        parse: |text| serde_json::from_str(text).map_err(|error| error.to_string()),
        name: "/name",
        step: "/assay/step",
        cure: "\"assay\": { \"step\": \"validate\" }",
        rules: &[
            ("rule.ts", Language::TypeScript),
            ("rule.js", Language::JavaScript),
        ],
    },
    Kind {
        file: "pyproject.toml",
        parse: |text| toml::from_str(text).map_err(|error| error.to_string()),
        name: "/project/name",
        step: "/tool/assay/step",
        cure: "[tool.assay] with step = \"validate\"",
        rules: &[("rule.py", Language::Python)],
    },
];

/// Whether a folder holds a rule in one of the languages here, be it one with a mistake in its
/// manifest: that is said where it is built.
pub(super) fn is_there(folder: &Path) -> bool {
    match read(folder) {
        Ok(manifest) => manifest.is_some(),
        Err(_) => KINDS.iter().any(|kind| kind.rule(folder).is_some()),
    }
}

/// `None` where there is no manifest, or none that names a step beside a `Cargo.toml`: any project may
/// have one for other ends.
///
/// # Errors
/// A manifest that is wrong, or names no step.
pub(super) fn read(folder: &Path) -> Result<Option<Manifest>, BuildError> {
    let mut nameless = None;
    for kind in &KINDS {
        let Ok(text) = fs::read_to_string(folder.join(kind.file)) else {
            continue;
        };
        let found = kind.read(folder, &text).map_err(|problem| {
            let reason = format!("its {}: {problem}", kind.file);
            no_plugin(folder, reason)
        })?;
        match found {
            Some(manifest) => return Ok(Some(manifest)),
            None => nameless = nameless.or(Some(kind)),
        }
    }
    match nameless {
        Some(kind) if !folder.join("Cargo.toml").is_file() => {
            let Kind { file, cure, .. } = kind;
            let reason = format!(
                "its {file} does not say which step the rule does: add {cure}, \
                 or cleanse, enrich or aggregate for validate"
            );
            Err(no_plugin(folder, reason))
        }
        _ => Ok(None),
    }
}

impl Kind {
    /// `None` where it names no step.
    fn read(&self, folder: &Path, text: &str) -> Result<Option<Manifest>, String> {
        let value = (self.parse)(text)?;
        let word = |path| value.pointer(path).and_then(Value::as_str);
        let Some(step) = word(self.step) else {
            return Ok(None);
        };
        let known = Step::ALL.into_iter().find(|known| known.as_str() == step);
        let step = known.ok_or_else(|| {
            format!("the step is {step:?}: say cleanse, validate, enrich or aggregate")
        })?;
        let name = word(self.name).unwrap_or_default();
        // It becomes a file's.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(format!(
                "the name is {name:?}: the component is called so, give it one as in check-prices"
            ));
        }
        let language = self
            .rule(folder)
            .or(self.rules.last().map(|(_, language)| *language));
        Ok(language.map(|language| Manifest {
            name: name.to_owned(),
            language,
            step,
        }))
    }

    /// The language of the rule that stands beside.
    fn rule(&self, folder: &Path) -> Option<Language> {
        let there = |(file, _): &&(&str, Language)| folder.join(file).is_file();
        self.rules.iter().find(there).map(|(_, language)| *language)
    }
}

pub(super) fn no_plugin(folder: &Path, reason: String) -> BuildError {
    BuildError::NoPlugin {
        folder: PathBuf::from(folder),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PACKAGE, PYPROJECT, project};
    use super::*;

    fn wrong(files: &[(&str, &str)]) -> String {
        let folder = project(files);
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
        error
    }

    #[test]
    fn a_manifest_says_the_step_and_with_the_rule_beside_it_the_language() {
        for (file, text, rule, language, step) in [
            (
                "package.json",
                PACKAGE,
                "rule.js",
                Language::JavaScript,
                Step::Validate,
            ),
            (
                "package.json",
                PACKAGE,
                "rule.ts",
                Language::TypeScript,
                Step::Validate,
            ),
            (
                "pyproject.toml",
                PYPROJECT,
                "rule.py",
                Language::Python,
                Step::Aggregate,
            ),
        ] {
            let folder = project(&[(file, text), (rule, "")]);
            let manifest = read(folder.path()).unwrap().unwrap();
            let name = "check-sales".to_owned();
            assert_eq!(
                manifest,
                Manifest {
                    name,
                    language,
                    step
                }
            );
            assert!(is_there(folder.path()));
        }
        let tools = project(&[
            ("package.json", "{}"),
            ("pyproject.toml", PYPROJECT),
            ("rule.py", ""),
        ]);
        let manifest = read(tools.path()).unwrap().unwrap();
        assert_eq!(manifest.language, Language::Python);
    }

    #[test]
    fn a_manifest_without_a_step_is_told_what_to_write() {
        let error = wrong(&[("package.json", "{ \"name\": \"a\" }"), ("rule.js", "")]);
        assert!(
            error.contains("package.json does not say which step"),
            "{error}"
        );
        assert!(
            error.contains("add \"assay\": { \"step\": \"validate\" }, or cleanse"),
            "{error}"
        );
        for text in [
            "[project]\nname = \"a\"\n",
            "[project]\nname = \"a\"\n[tool.assay]\nstep = 1\n",
        ] {
            let error = wrong(&[("pyproject.toml", text), ("rule.py", "")]);
            assert!(
                error.contains("pyproject.toml does not say which step"),
                "{error}"
            );
            assert!(
                error.contains("add [tool.assay] with step = \"validate\""),
                "{error}"
            );
        }
    }

    #[test]
    fn a_mistake_in_a_manifest_is_named_with_its_file() {
        let error = wrong(&[("package.json", &PACKAGE.replace("validate", "judge"))]);
        assert!(
            error.contains("its package.json: the step is \"judge\": say cleanse, validate"),
            "{error}"
        );
        let error = wrong(&[("package.json", &PACKAGE.replace("check-sales", "@a/b"))]);
        assert!(error.contains("the name is \"@a/b\""), "{error}");
        let error = wrong(&[("pyproject.toml", "[project\n")]);
        assert!(error.contains("its pyproject.toml: "), "{error}");
    }

    #[test]
    fn a_rule_with_a_mistake_in_its_manifest_is_there_and_a_shop_is_not() {
        let rule = project(&[("package.json", "{}"), ("rule.ts", "")]);
        assert!(is_there(rule.path()));
        let shop = project(&[("package.json", "{}")]);
        assert!(!is_there(shop.path()));
        let in_rust = project(&[("package.json", "{}"), ("Cargo.toml", "")]);
        assert_eq!(read(in_rust.path()).unwrap(), None);
    }
}
