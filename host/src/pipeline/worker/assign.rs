//! Partitions that are given to this loop: their layers are caught up, then it is said where each
//! is read on.

use tokio::sync::oneshot;

use super::{Worker, WorkerError};
use crate::lake::fault;
use crate::names::Partition;
use crate::pipeline::config::StartConfig;
use crate::pipeline::coordinate::Layers as _;
use crate::source::{Source, Start};

impl<S: Source> Worker<S> {
    /// Brings the layers of these partitions up to date, then says where to read on.
    pub(super) async fn assigned(
        &mut self,
        epoch: u64,
        partitions: &[Partition],
        starts: oneshot::Sender<Vec<(Partition, Start)>>,
    ) -> Result<(), WorkerError> {
        self.epoch = epoch;
        self.begins_again = false;
        self.ending.put_off();
        self.silent_since = None;
        self.drop_all();
        fault::pass("assigned");
        let failed_before = self.tries;
        let positions = loop {
            match self.coordinator.catch_up(partitions).await {
                Ok(positions) => break positions,
                Err(error) => self.pause(error).await?,
            }
            if *self.shutdown.borrow() {
                return Ok(());
            }
        };
        // Whether what failed before it was called for works again is not known yet.
        self.tries = failed_before;
        let mut answer = Vec::with_capacity(positions.len());
        // What is left out is not read.
        let read = positions.into_iter().filter(|_| !self.intake.rests);
        for (partition, position) in read {
            let start = match position {
                Some(position) => Start::At(position),
                None => self.begin(&partition)?,
            };
            tracing::info!(%partition, ?start, "partition assigned");
            answer.push((partition, start));
        }
        self.hold(Some(partitions));
        self.note_ends().await;
        // A source that has moved on asks again.
        let _ = starts.send(answer);
        Ok(())
    }

    /// Where a partition begins that bronze has no progress for.
    fn begin(&self, partition: &Partition) -> Result<Start, WorkerError> {
        let layers = &self.coordinator.layers;
        if let Some(start) = layers.start(partition) {
            return Ok(Start::At(start));
        }
        let known = layers.known();
        let of_topic: Vec<&Partition> = known
            .iter()
            .map(|(known, _)| known)
            .filter(|known| known.topic == partition.topic)
            .collect();
        if of_topic
            .iter()
            .any(|known| known.source == partition.source)
        {
            // A partition that was added to a topic that we read already.
            return Ok(Start::Earliest);
        }
        if let Some(known) = of_topic.first() {
            return Err(self.other_topic(&partition.topic, &known.source, &partition.source));
        }
        Ok(match self.start {
            StartConfig::Earliest => Start::Earliest,
            StartConfig::Latest => Start::Latest,
            StartConfig::Time(micros) => Start::Time(micros),
        })
    }

    pub(super) fn other_topic(&self, topic: &str, before: &str, now: &str) -> WorkerError {
        WorkerError::OtherTopic {
            tenant: self.tenant.clone(),
            topic: topic.to_owned(),
            before: before.to_owned(),
            now: now.to_owned(),
        }
    }
}
