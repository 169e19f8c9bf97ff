//! What several verbs need.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::generate::Target;
use crate::demo::pour::Sink;
use crate::lake::{Lake, LakeError, LakeOptions};
use crate::names::Tenant;
use crate::pipeline::config::Config;
use crate::plugin::{Compiler, Sandbox};
use crate::processor::come_soon;
use crate::source::Producer;

/// Where the tables are.
#[derive(clap::Args, Clone)]
pub struct LakeArgs {
    /// The folder or URL of the tables. Without it, the TOML's `lake`; without that, ./lake
    ///
    /// A URL as abfss://container@account.dfs.core.windows.net/lake, az://container/lake,
    /// s3://bucket/lake or gs://bucket/lake. What else a store needs, keys above all, is taken from
    /// the environment: AZURE_…, AWS_…, GOOGLE_…
    #[arg(long, env = "ASSAY_LAKE", value_name = "FOLDER or URL")]
    pub lake: Option<String>,
}

impl LakeArgs {
    /// The lake of a pipeline. A relative folder in its TOML is relative to the TOML.
    pub fn of(&self, config: &Config) -> anyhow::Result<Lake> {
        let lake = self.open_of(config);
        lake.with_context(|| format!("open lake {}", self.uri_of(config)))
    }

    /// The same for those who only read: a folder that is not there is a slip, not to be made.
    pub fn existing_of(&self, config: &Config) -> anyhow::Result<Lake> {
        must_be_there(&self.uri_of(config))?;
        self.of(config)
    }

    /// The same, for those who say what failed by themselves.
    pub fn open_of(&self, config: &Config) -> Result<Lake, LakeError> {
        let options = LakeOptions {
            fsync: config.lake.fsync,
            store: config.lake.options.clone(),
        };
        Lake::open_with(&self.uri_of(config), options)
    }

    fn uri_of(&self, config: &Config) -> String {
        match (&self.lake, &config.lake.uri) {
            (Some(uri), _) => uri.clone(),
            (None, Some(uri)) if uri.contains("://") => uri.clone(),
            (None, Some(folder)) => config.resolve(Path::new(folder)).display().to_string(),
            (None, None) => "./lake".to_owned(),
        }
    }

    /// The lake where no TOML is at hand, for those who only read.
    pub fn existing(&self) -> anyhow::Result<Lake> {
        must_be_there(self.lake.as_deref().unwrap_or("./lake"))?;
        self.named()
    }

    /// The lake where no TOML is at hand.
    pub fn named(&self) -> anyhow::Result<Lake> {
        let uri = self.lake.as_deref().unwrap_or("./lake");
        Lake::open(uri).with_context(|| format!("open lake {uri}"))
    }
}

fn must_be_there(uri: &str) -> anyhow::Result<()> {
    if !uri.contains(':') && !Path::new(uri).is_dir() {
        bail!("there is no lake {uri}: say where it is with --lake, or ASSAY_LAKE");
    }
    Ok(())
}

/// Where a tenant's pipeline is looked for.
#[derive(clap::Args, Clone)]
pub struct PipelineArgs {
    /// The pipeline's TOML, or a folder of them
    #[arg(long, value_name = "FILE or FOLDER", default_value = "pipelines")]
    pub pipeline: PathBuf,
}

impl PipelineArgs {
    /// The pipeline of a tenant.
    pub fn of(&self, tenant: &Tenant) -> anyhow::Result<Config> {
        let configs = Config::read_all(std::slice::from_ref(&self.pipeline))?;
        match configs.into_iter().find(|config| config.tenant == *tenant) {
            Some(config) => Ok(config),
            None => bail!(
                "no pipeline of tenant {tenant} in {}; name its TOML with --pipeline",
                self.pipeline.display()
            ),
        }
    }
}

/// The sandbox that every component of the process runs in.
pub fn sandbox() -> anyhow::Result<Arc<Sandbox>> {
    Sandbox::new(compiler()?).context("start the WebAssembly sandbox")
}

/// This program, as the compiler of components.
pub fn compiler() -> anyhow::Result<Compiler> {
    Compiler::this_program().context("find this program's own file")
}

/// How long a thread that waited for a disk is kept for the next who does. They are woken in turn, so
/// that with tokio's ten seconds the little that idle tenants do keeps as many as a busy moment needed,
/// with half a MiB of stack each.
const SPARE_THREADS: Duration = Duration::from_millis(100);

/// Runs `work` on as many threads as there are cores. What it left running is not waited for: a
/// request to a broker that is away would hold the process.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_keep_alive(SPARE_THREADS);
    runtime.on_thread_start(|| {
        if let Err(error) = come_soon() {
            tracing::debug!(%error, "a thread waits for a core as long as those that work at length");
        }
    });
    let runtime = runtime.build().context("start the runtime")?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_millis(500));
    done
}

/// A topic as the generator's sink.
struct Topic {
    producer: Producer,
    name: String,
}

impl Sink for Topic {
    fn send(&mut self, key: &[u8], line: &[u8]) -> io::Result<()> {
        let sent = self.producer.send(&self.name, Some(key), Some(line));
        sent.map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.producer.flush().map_err(io::Error::other)
    }
}

/// Opens the topic that `generate --kafka` names.
///
/// # Errors
/// Properties that can't be.
pub fn topic(target: Target<'_>) -> anyhow::Result<Box<dyn Sink>> {
    Ok(Box::new(Topic {
        producer: Producer::new(target.brokers, &target.properties)?,
        name: target.topic.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::own_slice;

    #[test]
    fn the_threads_of_a_command_come_soon() {
        let soon = std::thread::spawn(|| {
            come_soon().unwrap();
            own_slice()
        });
        let slices = block_on(async {
            let works = tokio::spawn(async { own_slice() }).await?;
            let waits = tokio::task::spawn_blocking(own_slice).await?;
            Ok([works, waits])
        });
        assert_eq!(slices.unwrap(), [soon.join().unwrap(); 2]);
    }
}
