//! Tenants that could not begin to run for what may pass, and when each is tried again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::config::Config;
use crate::names::Tenant;

struct Wait {
    config: Config,
    tries: u32,
    due: Instant,
}

/// The tenants that wait.
#[derive(Default)]
pub(super) struct Waiting(BTreeMap<Tenant, Wait>);

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How often in a row a tenant could not begin.
    pub(super) fn tries(&self, tenant: &Tenant) -> u32 {
        self.0.get(tenant).map_or(0, |wait| wait.tries)
    }

    /// Has a tenant wait after so many tries.
    pub(super) fn put(&mut self, config: Config, tries: u32, pause: Duration) {
        let wait = Wait {
            tries,
            due: Instant::now() + pause,
            config,
        };
        self.0.insert(wait.config.tenant.clone(), wait);
    }

    pub(super) fn remove(&mut self, tenant: &Tenant) {
        self.0.remove(tenant);
    }

    /// Until a tenant is to be tried again. Answers with its TOML.
    pub(super) async fn due(&self) -> Config {
        match self.0.values().min_by_key(|wait| wait.due) {
            Some(wait) => {
                tokio::time::sleep_until(wait.due.into()).await;
                wait.config.clone()
            }
            None => std::future::pending().await,
        }
    }
}
