//! Looking at the rule sets where no batch does it, and telling the meter where the tenant stands.

use std::time::{Duration, Instant};

use super::super::coordinate::{Problem as _, Setback};
use super::{Worker, WorkerError};
use crate::names::Partition;
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

    /// Tells the meter how far the tables and the source are.
    pub(super) async fn note_standing(&mut self) {
        let positions = self.coordinator.layers.positions(&self.held);
        let lag = self.source.lag(&positions).await;
        self.coordinator.layers.note_standing(&self.held, lag);
    }

    /// Notes which partitions are this loop's to read.
    pub(super) fn hold(&mut self, partitions: Option<&[Partition]>) {
        self.held = partitions.unwrap_or_default().to_vec();
        let count = partitions.map(<[Partition]>::len);
        self.meter.stands(|standing| standing.partitions = count);
        if count.is_some() {
            // The next look says how far they are.
            self.rules_due = Instant::now();
        }
    }
}
