//! Looking at the rule sets where no batch does it.

use std::time::{Duration, Instant};

use super::super::coordinate::{Problem as _, Setback};
use super::{Worker, WorkerError};
use crate::source::Source;

/// How often the rule sets are looked at where no batch does it: what is staged is then compiled
/// before its promotion, and an idle tenant says what is wrong with it too.
pub(super) const LOOK_AT_RULES: Duration = Duration::from_secs(1);

impl<S: Source> Worker<S> {
    /// Takes up what was changed in the rule sets.
    pub(super) async fn follow_rules(&mut self) -> Result<(), WorkerError> {
        let followed = self.coordinator.layers.follow_rules().await;
        self.rules_due = Instant::now() + LOOK_AT_RULES;
        match followed {
            Ok(_) => Ok(()),
            Err(error) if error.setback() == Setback::Stop => Err(WorkerError::Tenant {
                tenant: self.tenant.clone(),
                source: Box::new(error),
            }),
            Err(error) => {
                tracing::warn!(%error, "the rule sets can't be looked at; the next batch does it again");
                Ok(())
            }
        }
    }
}
