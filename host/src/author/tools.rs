//! What rules in JavaScript, TypeScript and Python are built with: pinned, and fetched into the user's cache by the
//! first build that needs it. A set of other versions goes into another folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Language;
use super::build::BuildError;
use crate::environment::cache_folder;
use crate::names::Digest;

/// A file of a language's tools, and what stands in it.
type Pin = (&'static str, &'static str);

const JAVASCRIPT: [Pin; 3] = [
    ("package.json", include_str!("tools/package.json")),
    ("package-lock.json", include_str!("tools/package-lock.json")),
    ("componentize.mjs", include_str!("tools/componentize.mjs")),
];
const TYPESCRIPT: [Pin; 3] = [
    (
        "package.json",
        include_str!("tools/typescript/package.json"),
    ),
    (
        "package-lock.json",
        include_str!("tools/typescript/package-lock.json"),
    ),
    ("plain.mjs", include_str!("tools/typescript/plain.mjs")),
];
const PYTHON: [Pin; 1] = [("requirements.txt", include_str!("tools/requirements.txt"))];

/// Stands in a folder whose tools are whole.
const WHOLE: &str = "installed";

/// A program that must be on the machine, and how it gets there.
struct Program {
    name: &'static str,
    cure: &'static str,
}

const NODE: Program = Program {
    name: "node",
    cure: "install Node.js 18 or later (on Debian `apt-get install nodejs npm`)",
};
const NPM: Program = Program {
    name: "npm",
    cure: "install npm (on Debian `apt-get install npm`)",
};
const PYTHON_3: Program = Program {
    name: "python3",
    cure: "install Python 3.10 or later (on Debian `apt-get install python3-venv`)",
};

/// All that decides what the tools of a language are, as text.
pub(super) fn pins(language: Language) -> String {
    match language {
        // What is left when the types are is JavaScript.
        Language::TypeScript => pins(Language::JavaScript) + &own_pins(language),
        language => own_pins(language),
    }
}

fn own_pins(language: Language) -> String {
    own_files(language).iter().map(|(_, text)| *text).collect()
}

fn own_files(language: Language) -> &'static [Pin] {
    match language {
        Language::Rust => &[],
        Language::JavaScript => &JAVASCRIPT,
        Language::TypeScript => &TYPESCRIPT,
        Language::Python => &PYTHON,
    }
}

/// The command that makes a component of a rule in JavaScript, but for what is different for each rule.
///
/// # Errors
/// What is missing on this machine.
pub(super) fn javascript() -> Result<Command, BuildError> {
    with_node(Language::JavaScript, "componentize.mjs")
}

/// The command that checks the types of a project, and makes JavaScript of it.
///
/// # Errors
/// What is missing on this machine.
pub(super) fn typescript() -> Result<Command, BuildError> {
    with_node(Language::TypeScript, "plain.mjs")
}

/// Node.js with one of a language's own files.
fn with_node(language: Language, program: &str) -> Result<Command, BuildError> {
    started(language, &NODE)?;
    let folder = installed(language, |folder| {
        started(language, &NPM)?;
        let mut npm = Command::new(NPM.name);
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(folder);
        run(language, folder, npm)
    })?;
    let mut node = Command::new(NODE.name);
    node.arg(folder.join(program));
    Ok(node)
}

/// componentize-py, in an environment of its own.
///
/// # Errors
/// What is missing on this machine.
pub(super) fn python() -> Result<Command, BuildError> {
    let language = Language::Python;
    let folder = installed(language, |folder| {
        started(language, &PYTHON_3)?;
        let mut venv = Command::new(PYTHON_3.name);
        venv.args(["-m", "venv"]).arg(folder.join("venv"));
        run(language, folder, venv)?;
        let mut pip = Command::new(folder.join("venv/bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(folder.join("requirements.txt"));
        run(language, folder, pip)
    })?;
    Ok(Command::new(folder.join("venv/bin/componentize-py")))
}

/// The folder with a language's tools. Builds that need them at the same time wait for the first.
fn installed(
    language: Language,
    install: impl FnOnce(&Path) -> Result<(), BuildError>,
) -> Result<PathBuf, BuildError> {
    let digest = Digest::of(own_pins(language).as_bytes()).to_string();
    let cache = cache_folder().unwrap_or_else(|| std::env::temp_dir().join("assay"));
    let name = format!("{language}-{digest:.12}").to_lowercase();
    let tools = cache.join("tools");
    let folder = tools.join(&name);
    if folder.join(WHOLE).is_file() {
        return Ok(folder);
    }
    let wrong = |error| failed(language, &folder, error);
    fs::create_dir_all(&tools).map_err(wrong)?;
    let turn = File::create(tools.join(format!("{name}.lock"))).map_err(wrong)?;
    turn.lock().map_err(wrong)?;
    if folder.join(WHOLE).is_file() {
        return Ok(folder);
    }
    // What an installation that was cut short left.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(wrong)?;
    }
    fs::create_dir(&folder).map_err(wrong)?;
    eprintln!(
        "fetching what rules in {language} are built with into {}",
        folder.display()
    );
    for (name, text) in own_files(language) {
        fs::write(folder.join(name), text).map_err(wrong)?;
    }
    install(&folder)?;
    fs::write(folder.join(WHOLE), "").map_err(wrong)?;
    Ok(folder)
}

fn started(language: Language, program: &Program) -> Result<(), BuildError> {
    let tried = Command::new(program.name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match tried {
        Ok(_) => Ok(()),
        Err(error) => Err(BuildError::NoTool {
            language,
            program: program.name,
            problem: error.to_string(),
            cure: program.cure,
        }),
    }
}

fn run(language: Language, folder: &Path, mut command: Command) -> Result<(), BuildError> {
    let ran = command.stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| failed(language, folder, error))?;
    if ran.status.success() {
        return Ok(());
    }
    // The last lines are what matters of a package manager's complaint.
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().rev().take(5).collect();
    let last: Vec<&str> = lines.into_iter().rev().collect();
    let program = command.get_program().to_string_lossy();
    let problem = format!("{program}: {}: {}", ran.status, last.join(" | "));
    Err(failed(language, folder, problem))
}

fn failed(language: Language, folder: &Path, problem: impl std::fmt::Display) -> BuildError {
    BuildError::Install {
        language,
        folder: folder.to_owned(),
        problem: problem.to_string(),
    }
}
