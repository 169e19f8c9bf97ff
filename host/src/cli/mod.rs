//! The command line: one file a verb.

mod audit;
mod check;
mod common;
mod compile_component;
mod demo;
mod dimension;
mod generate;
mod listen;
mod out;
mod plugin;
mod rules;
mod run;
mod source;
mod table;
mod tenant;
mod token;
mod verify;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::told::told;

/// Assay streams retail sales from Kafka into bronze, silver and gold Delta Lake tables. What is
/// valid, what it means and what it adds up to is decided by WebAssembly components, a tenant's
/// own, in a sandbox.
#[derive(Parser)]
#[command(name = "assay", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Run(run::Args),
    Check(check::Args),
    Demo(demo::Args),
    Generate(generate::Args),
    Dimension(dimension::Args),
    Verify(verify::Args),
    Source(source::Args),
    Rules(rules::Args),
    Table(table::Args),
    Tenant(tenant::Args),
    Token(token::Args),
    Audit(audit::Args),
    Plugin(plugin::Args),
    #[command(hide = true)]
    CompileComponent(compile_component::Args),
}

/// The whole command: reads the command line, logs to the standard error, does what it says.
pub fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ASSAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,assay=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match run(parsed()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("assay: {}", told(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The command line, or the end of the process.
fn parsed() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let unknown = error.kind() == ErrorKind::UnknownArgument;
        let file = std::env::args_os().skip(1).find(|argument| {
            let option = argument.as_encoded_bytes().starts_with(b"-");
            option && Path::new(argument).exists()
        });
        if let Some(file) = file.filter(|_| unknown) {
            let file = Path::new(&file).display();
            eprintln!(
                "assay: {file} stands here, but what begins with `-` is an option: write ./{file}\n"
            );
        }
        error.exit()
    })
}

/// Does what the command line says.
///
/// # Errors
/// What a person is to be told; the process then ends with a code that is not 0.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Demo(args) => demo::run(args),
        Verb::Generate(args) => generate::run(&args, common::topic),
        Verb::Dimension(args) => dimension::run(args),
        Verb::Verify(args) => verify::run(args),
        Verb::Source(args) => source::run(args),
        Verb::Rules(args) => rules::run(args),
        Verb::Table(args) => table::run(args),
        Verb::Tenant(args) => tenant::run(args),
        Verb::Token(args) => token::run(args),
        Verb::Audit(args) => audit::run(args),
        Verb::Plugin(args) => plugin::run(args),
        Verb::CompileComponent(args) => compile_component::run(&args),
    }
}
