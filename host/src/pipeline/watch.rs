//! `assay run --watch`: an edited TOML or a rebuilt component becomes a staged set that is promoted
//! at once. For a developer's machine.
//!
//! Files are looked at twice a second, which works on every file system, also where the editor or
//! the compiler replaces them instead of writing into them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::change::{ChangeError, Changes, user};
use super::config::{Config, ConfigError};
use crate::lake::Lake;
use crate::names::Tenant;
use crate::oci::in_registry;
use crate::plugin::Sandbox;
use crate::ruleset::Who;
use crate::trust::signatures_beside;

/// How often files are looked at. What changed must look the same twice: it may be half written.
const LOOK: Duration = Duration::from_millis(500);

/// The length of each file and when it was written; `None` for one that is not there.
type Looks = BTreeMap<PathBuf, Option<(u64, SystemTime)>>;

/// A pipeline's TOML and its components with their signatures, as they were seen last.
pub struct Watch {
    config: Config,
    seen: Looks,
}

/// Why an edit does not judge.
#[derive(Debug, thiserror::Error)]
enum EditError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    RuleSet(#[from] crate::ruleset::RuleSetError),
    #[error("it is of tenant {now}; restart the host to have it run another than {before}")]
    OtherTenant { before: Tenant, now: Tenant },
}

impl Watch {
    /// Takes the files of a pipeline as they are now for what the host starts with.
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            seen: looks(config),
        }
    }

    /// Has edits judge as they come. What is wrong with one is said, and nothing changes.
    pub async fn follow(mut self, lake: Lake, sandbox: Arc<Sandbox>) -> Infallible {
        let mut before = self.seen.clone();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = looks(&self.config);
            if now == self.seen || std::mem::replace(&mut before, now.clone()) != now {
                continue;
            }
            // What changes from here on is seen the next time.
            self.seen = now;
            if let Err(error) = self.take_up(&lake, sandbox.clone()).await {
                tracing::error!(
                    "{}: the edit does not count, the rules of before go on judging: {error}",
                    self.config.path.display()
                );
            }
        }
    }

    async fn take_up(&mut self, lake: &Lake, sandbox: Arc<Sandbox>) -> Result<(), EditError> {
        let config = Config::read(&self.config.path)?;
        if config.tenant != self.config.tenant {
            return Err(EditError::OtherTenant {
                before: self.config.tenant.clone(),
                now: config.tenant,
            });
        }
        if !config.runs_like(&self.config) {
            tracing::warn!(
                "{}: [lake], [source], [batch], [dedup], [quota] memory, [shadow], [trust] and gold's every are taken up by a restart alone",
                config.path.display()
            );
        }
        // Its components may be others. The TOML counts as it was before it was read.
        let toml = self.seen.remove(&config.path);
        self.seen = looks(&config);
        self.seen.insert(config.path.clone(), toml.flatten());
        self.config = config;
        let mut changes = Changes::open(lake, &self.config.tenant, sandbox).await?;
        changes.registry.set_host_limits(self.config.limits.host());
        changes.registry.set_trust(self.config.trust.clone());
        let who = Who {
            by: user(),
            why: format!("{} was edited under watch", self.config.path.display()),
        };
        let staged = match changes.stage(&self.config, &who).await {
            Err(ChangeError::ActiveAlready { .. }) => return Ok(()),
            staged => staged?,
        };
        let activated = changes.promote(staged.number, &who).await?;
        for difference in &activated.differences {
            tracing::info!(
                ruleset = activated.number.0,
                "{}: {}",
                difference.part,
                difference.change
            );
        }
        Ok(())
    }
}

fn looks(config: &Config) -> Looks {
    let components = config
        .components()
        .filter(|path| in_registry(path).is_none());
    let components = components.map(|path| config.resolve(path));
    let components = components.flat_map(|file| [signatures_beside(&file), file]);
    let files = std::iter::once(config.path.clone()).chain(components);
    files.map(|file| (file.clone(), look(&file))).collect()
}

fn look(file: &Path) -> Option<(u64, SystemTime)> {
    let found = std::fs::metadata(file).ok()?;
    Some((found.len(), found.modified().ok()?))
}
