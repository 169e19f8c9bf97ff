//! `assay plugin new`: a project that builds, is tested, and explains itself.

mod sdk;
mod template;

use std::path::{Path, PathBuf};

pub(super) use self::sdk::WIT as CONTRACT;
use super::Language;
use crate::names::{BadName, check_name};
use crate::plugin::Step;

/// Names that a crate can't have: Rust's words, and crates that a plugin is made with.
const TAKEN_CRATES: [&str; 50] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "use",
];

/// What the SDK and the templates call their own: a component of such a name would hide it.
const TAKEN_TYPES: [&str; 30] = [
    "Action",
    "Aggregate",
    "AssayRules",
    "Binary",
    "Boolean",
    "Cleanse",
    "Cleansed",
    "Count",
    "Cow",
    "Date",
    "Day",
    "Decimal",
    "Default",
    "Distinct",
    "Earliest",
    "Enrich",
    "Float",
    "Integer",
    "Latest",
    "Meaning",
    "Measures",
    "NoRules",
    "Option",
    "Product",
    "Refuse",
    "Rule",
    "Sale",
    "Sum",
    "Text",
    "Validate",
];

/// A project that was written.
#[derive(Debug)]
pub struct Project {
    pub folder: PathBuf,
    pub sdk: Sdk,
}

/// Where a project gets the SDK and the contract from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// A checkout of Assay that the project stands in. `member`: it is one of the checkout's
    /// plugins, and shares its workspace.
    Checkout { path: PathBuf, member: bool },
    /// A copy of its own, of what this program was built with.
    Copy,
    /// One file beside the rule, which is a copy as well.
    File { name: &'static str },
}

/// Why a project could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewError {
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("{name:?} is taken by Rust or the SDK; use two words, as in check-{name}")]
    Taken { name: String },
    #[error("{} is there already; give another name, or remove it", folder.display())]
    Exists { folder: PathBuf },
    #[error("write {}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Writes a project called `name` for `step` in `language` into a new folder of that name in `parent`.
///
/// # Errors
/// A name that can't be used, a folder that is there already, or what the disk says.
pub fn create(
    name: &str,
    step: Step,
    language: Language,
    parent: &Path,
) -> Result<Project, NewError> {
    check_name(name, "plugin")?;
    let component = camel_case(name);
    let library = name.replace('-', "_");
    let taken =
        TAKEN_CRATES.contains(&library.as_str()) || TAKEN_TYPES.contains(&component.as_str());
    if taken && language == Language::Rust {
        return Err(NewError::Taken {
            name: name.to_owned(),
        });
    }
    let folder = parent.join(name);
    if folder.exists() {
        return Err(NewError::Exists { folder });
    }
    let (sdk, files) = match template::script(name, step, language) {
        Some((sdk, files)) => (Sdk::File { name: sdk }, files),
        None => {
            let sdk = sdk::find(parent);
            let mut files = template::files(name, &component, step, &sdk);
            if sdk == Sdk::Copy {
                files.extend(sdk::copy());
            }
            (sdk, files)
        }
    };
    for (path, text) in files {
        write(&folder.join(path), &text)?;
    }
    Ok(Project { folder, sdk })
}

/// `check-prices` as `CheckPrices`.
fn camel_case(name: &str) -> String {
    name.split(['-', '_'])
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters)
        })
        .collect()
}

fn write(path: &Path, text: &str) -> Result<(), NewError> {
    let failed = |source| NewError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_that_is_there_already_is_left_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        std::fs::create_dir(parent.path().join("check-prices")).unwrap();
        let error = create(
            "check-prices",
            Step::Validate,
            Language::Rust,
            parent.path(),
        )
        .unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
        let left = std::fs::read_dir(parent.path().join("check-prices")).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_name_that_would_not_compile_is_refused_before_anything_is_written() {
        let parent = tempfile::tempdir().unwrap();
        for name in [
            "sum",
            "match",
            "serde",
            "assay-rules",
            "Prices",
            "../up",
            "a b",
            "",
        ] {
            create(name, Step::Aggregate, Language::Rust, parent.path()).unwrap_err();
        }
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_becomes_a_type() {
        assert_eq!(camel_case("check-prices_2"), "CheckPrices2");
        assert_eq!(camel_case("a--b"), "AB");
    }
}
