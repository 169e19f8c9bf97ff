//! `assay run`: the host.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::common::{LakeArgs, block_on, sandbox};
use crate::lake::Lake;
use crate::pipeline::config::{Config, SourceConfig};
use crate::pipeline::meter::Meter;
use crate::pipeline::start::start;
use crate::pipeline::watch::Watch;
use crate::pipeline::worker::Worker;
use crate::plugin::Sandbox;
use crate::source::{FileSource, KafkaOptions, KafkaSource};

/// How long a host that is told to stop may take to commit what it took in. With what closing a
/// source takes this stays below ten seconds, after which supervisors commonly kill.
const FAREWELL: Duration = Duration::from_secs(8);

/// Run pipelines: read their sources into bronze, silver and gold tables until stopped
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
    #[command(flatten)]
    lake: LakeArgs,
}

/// # Errors
/// A pipeline that can't start, or that stopped because a person must act.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        let configs = Config::read_all(&args.pipelines)?;
        let sandbox = sandbox()?;
        let (stop, shutdown) = watch::channel(false);
        let mut running = JoinSet::new();
        let mut tenants = HashMap::new();
        let mut stopped: Vec<String> = Vec::new();
        for config in configs {
            let lake = args.lake.of(&config);
            let meter = Arc::new(Meter::default());
            let tenant = config.tenant.clone();
            let span = tracing::info_span!("run", %tenant);
            let (sandbox, shutdown) = (sandbox.clone(), shutdown.clone());
            let until_caught_up = args.until_caught_up;
            let watch = args.watch.then(|| Watch::new(&config));
            let work = async move {
                let (lake, watched_by) = (lake?, sandbox.clone());
                let host = run_tenant(
                    config,
                    lake.clone(),
                    sandbox,
                    meter,
                    until_caught_up,
                    shutdown,
                );
                match watch {
                    None => host.await,
                    Some(watch) => tokio::select! {
                        ended = host => ended,
                        never = watch.follow(lake, watched_by) => match never {},
                    },
                }
            };
            let task = running.spawn(work.instrument(span));
            tenants.insert(task.id(), tenant);
        }
        drop(shutdown);
        let mut signals: Pin<Box<dyn Future<Output = ()>>> = Box::pin(stop_signal());
        let mut farewell: Pin<Box<dyn Future<Output = ()>>> = Box::pin(std::future::pending());
        loop {
            tokio::select! {
                ended = running.join_next_with_id() => {
                    let (task, ended) = match ended {
                        None => break,
                        Some(Ok((task, ended))) => (task, ended),
                        Some(Err(error)) => (error.id(), Err(error.into())),
                    };
                    let tenant = tenants.get(&task).map(ToString::to_string).unwrap_or_default();
                    match ended {
                        Ok(()) => tracing::info!(%tenant, "ended"),
                        Err(error) => {
                            // The other tenants go on.
                            tracing::error!(%tenant, "stopped: {}", super::told(&error));
                            stopped.push(tenant);
                        }
                    }
                }
                () = &mut farewell => {
                    tracing::warn!("not everything that was taken in could be committed in time; nothing is lost, the next start does it");
                    running.abort_all();
                    break;
                }
                () = &mut signals => {
                    tracing::info!("stopping: what was taken in is committed first");
                    stop.send_replace(true);
                    signals = Box::pin(std::future::pending());
                    farewell = Box::pin(tokio::time::sleep(FAREWELL));
                }
            }
        }
        if !stopped.is_empty() {
            stopped.sort_unstable();
            let stopped = stopped.join(", ");
            bail!("stopped before the end: tenant {stopped}; the log above says why");
        }
        Ok(())
    })
}

/// Runs one tenant until it is told to stop.
///
/// # Errors
/// What keeps it from starting, or what a person must act on.
pub async fn run_tenant(
    config: Config,
    lake: Lake,
    sandbox: Arc<Sandbox>,
    meter: Arc<Meter>,
    until_caught_up: bool,
    shutdown: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let layers = start(&lake, &config, sandbox, meter.clone()).await?;
    let ended = match &config.source {
        SourceConfig::File { path } => {
            let source = FileSource::new(config.resolve(path), until_caught_up)?;
            Worker::new(&config, layers, source, meter, until_caught_up, shutdown)
                .run()
                .await
        }
        SourceConfig::Kafka {
            brokers,
            topics,
            group,
            properties,
            ..
        } => {
            let source = KafkaSource::new(KafkaOptions {
                brokers: brokers.clone(),
                topics: topics.clone(),
                group: group
                    .clone()
                    .unwrap_or_else(|| format!("assay-{}", config.tenant)),
                instance: instance(&config),
                properties: properties.clone(),
                until_caught_up,
            })?;
            Worker::new(&config, layers, source, meter, until_caught_up, shutdown)
                .run()
                .await
        }
    };
    Ok(ended?)
}

/// A name by which Kafka knows this host again after a restart, so that it rejoins at once.
fn instance(config: &Config) -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
        .unwrap_or_default();
    format!("assay-{}-{}", config.tenant, host.trim())
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
