//! One tenant, from its TOML to the end of its loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::again::{TRIES_BEFORE_THE_END, pause_after};
use super::config::{Config, SourceConfig};
use super::coordinate::{Problem as _, Setback};
use super::kafka::Kafka;
use super::meter::Meter;
use super::start::{StartError, start};
use super::worker::{Worker, WorkerError};
use crate::lake::Lake;
use crate::names::Tenant;
use crate::plugin::Sandbox;
use crate::source::{FileSource, SourceError};
use crate::told::told;

/// How long to wait before a client is made anew: the group may still have its name.
const ANEW: Duration = Duration::from_secs(2);

/// Why a tenant did not start, or why it stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("tenant {tenant}: gave up after {tries} tries: {source}")]
    GaveUp {
        tenant: Tenant,
        tries: u32,
        source: Box<StartError>,
    },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// Runs one tenant until it is told to stop. A start that fails for what may pass is made again, with
/// pauses that grow to half a minute.
///
/// # Errors
/// What keeps it from starting, or what a person must act on.
pub async fn run_tenant(
    config: Config,
    lake: Lake,
    sandbox: Arc<Sandbox>,
    kafka: Kafka,
    meter: Arc<Meter>,
    until_caught_up: bool,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let mut tries = 0;
    loop {
        let with = (sandbox.clone(), meter.clone(), shutdown.clone());
        let pause = match run_once(&config, &lake, &kafka, with, until_caught_up).await {
            Err(error) if error.wants_another_client() => {
                tracing::warn!("{}; trying again", told(&error));
                tries = 0;
                ANEW
            }
            Err(RunError::Start(error)) if error.setback() != Setback::Stop => {
                tries += 1;
                if until_caught_up && tries >= TRIES_BEFORE_THE_END {
                    return Err(RunError::GaveUp {
                        tenant: config.tenant,
                        tries,
                        source: Box::new(error),
                    });
                }
                let error = told(&error);
                tracing::error!(%error, "the tenant can't start; nothing is lost, trying again");
                meter.trouble(&error);
                pause_after(tries)
            }
            ended => return ended,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = shutdown.changed() => return Ok(()),
        }
    }
}

impl RunError {
    /// Whether all that is wrong is the client, which is to be made anew: the group has yet to learn
    /// that the member of this name before us is gone, and the client can't wait for that; or the
    /// clock that it waits by was set back.
    fn wants_another_client(&self) -> bool {
        let client = |source: &SourceError| {
            matches!(
                source,
                SourceError::InstanceHeld { .. } | SourceError::ClockSetBack { .. }
            )
        };
        matches!(self, Self::Worker(WorkerError::Source { source, .. }) if client(source))
    }
}

async fn run_once(
    config: &Config,
    lake: &Lake,
    kafka: &Kafka,
    (sandbox, meter, shutdown): (Arc<Sandbox>, Arc<Meter>, watch::Receiver<bool>),
    until_caught_up: bool,
) -> Result<(), RunError> {
    // In a place of its own, that is free again once it is over.
    let layers = Box::pin(start(lake, config, sandbox, meter.clone())).await?;
    if let Some(source) = kafka.source(config, until_caught_up)? {
        let worker = Worker::new(config, layers, source, meter, until_caught_up, shutdown);
        worker.run().await?;
    } else if let SourceConfig::File { path } = &config.source {
        let source = FileSource::new(config.resolve(path), until_caught_up)?;
        let worker = Worker::new(config, layers, source, meter, until_caught_up, shutdown);
        worker.run().await?;
    }
    Ok(())
}
