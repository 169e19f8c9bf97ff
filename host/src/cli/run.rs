//! `assay run`: the host.

use std::path::PathBuf;

use anyhow::bail;

use super::common::{LakeArgs, block_on, sandbox};
use super::listen::ListenArgs;
use crate::pipeline::host::{Host, Options, Roster};
use crate::pipeline::kafka::Kafka;

/// Run pipelines: read their sources into bronze, silver and gold tables until stopped
///
/// A TOML that is put into a folder is taken up while the host runs, and the tenant of one that is
/// removed is let go of, its tables staying. A TOML that can't be used is an error in the log; no
/// other tenant stops for it.
#[derive(clap::Args)]
pub struct Args {
    /// Pipelines' TOMLs, or folders of them
    #[arg(required = true, value_name = "FILE or FOLDER")]
    pipelines: Vec<PathBuf>,
    /// End when what was there at the start is in gold
    #[arg(long)]
    until_caught_up: bool,
    /// Have an edited TOML or a rebuilt component judge at once: it is staged and promoted as it is
    /// saved. For a developer's machine
    #[arg(long)]
    watch: bool,
    /// The Kafka consumer group of pipelines whose TOML names none
    ///
    /// Pipelines of a group, with the same brokers and properties, share one consumer, which a host
    /// of many tenants wants. Without it, each has a group of its own, `assay-<tenant>`. Hosts with
    /// the same group share the partitions of a topic: no two tenants in it may read the same.
    #[arg(long, env = "ASSAY_GROUP", value_name = "NAME")]
    group: Option<String>,
    #[command(flatten)]
    lake: LakeArgs,
    #[command(flatten)]
    listen: ListenArgs,
}

/// # Errors
/// A pipeline that can't start, or that stopped because a person must act.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        let sandbox = sandbox()?;
        let roster = Roster::default();
        let options = Options {
            pipelines: args.pipelines,
            until_caught_up: args.until_caught_up,
            watch: args.watch,
            kafka: Kafka::new(args.group),
        };
        let lake = args.lake;
        let open = move |config: &_| lake.open_of(config);
        let host = Host::new(options, open, sandbox.clone(), roster.clone())?;
        let server = args.listen.serve(roster, sandbox).await?;
        let stopped = host.run(stop_signal()).await;
        drop(server);
        if !stopped.is_empty() {
            let stopped = stopped.join(", ");
            bail!("stopped before the end: tenant {stopped}; the log above says why");
        }
        Ok(())
    })
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        Err(_) => {
            // Without the handler, SIGTERM ends the process, and the next start catches up.
            let _ = interrupted.await;
        }
    }
}
