//! The core of exactly once: in which order layers commit, what a setback means, and how a
//! partition is brought up to date before it is read on.
//!
//! It knows no table, broker or clock, only the traits below, so that a simulation can drive it.
//! The order is bronze, quarantine, silver, duplicates, gold; each commit moves the progress of
//! every partition of its batch from exactly where the batch was cut, or does not happen.

use std::collections::BTreeMap;

use crate::names::{Offset, Partition};

/// A place that keeps progress of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    Bronze,
    /// Rows that rules refused.
    Quarantine,
    Silver,
    /// Rows that silver had before; kept in quarantine's table.
    Duplicates,
}

/// What is to be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// Another writer moved: read what it did, and begin again from the tables.
    Again,
    /// The lake did not answer as it should: the same, after a pause.
    Later,
    /// A person must act.
    Stop,
}

/// An error that says what is to be done about it.
pub trait Problem: std::error::Error {
    fn setback(&self) -> Setback;
}

/// The tables of one tenant, and what is done to a batch on its way into them.
pub trait Layers {
    /// Messages of some partitions, from progress to progress.
    type Batch;
    /// What the rules made of a batch.
    type Judged;
    type Error: Problem;

    /// Reads every table's log on to its end.
    fn refresh(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// How far a layer is. `None`: it has no progress for the partition.
    fn progress(&self, layer: Layer, partition: &Partition) -> Option<Offset>;

    /// Where bronze began with the partition.
    fn start(&self, partition: &Partition) -> Option<Offset>;

    /// Pins a fresh batch to the rule set of now, puts it into bronze, and has it judged. `None`:
    /// it is in bronze, but judging it failed; bringing up to date will say how.
    fn take_in(
        &mut self,
        batch: &mut Self::Batch,
    ) -> impl Future<Output = Result<Option<Self::Judged>, Self::Error>> + Send;

    /// A batch from bronze: from `from` on, under one rule set, ending at `to` or before. Answers
    /// with where it ends.
    fn read_back(
        &mut self,
        partition: &Partition,
        from: Offset,
        to: Offset,
    ) -> impl Future<Output = Result<(Self::Batch, Offset), Self::Error>> + Send;

    /// Judges a batch from bronze. `covered`: quarantine holds its refusals already, and they are
    /// what counts.
    fn judge(
        &mut self,
        batch: &Self::Batch,
        covered: bool,
    ) -> impl Future<Output = Result<Self::Judged, Self::Error>> + Send;

    /// Commits the rows that rules refused.
    fn quarantine(
        &mut self,
        batch: &Self::Batch,
        judged: &Self::Judged,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Commits the rows that are first of their key, and notes the duplicates in `judged`.
    fn silver(
        &mut self,
        batch: &Self::Batch,
        judged: &mut Self::Judged,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Finds the duplicates of a batch that is in silver already.
    fn find_duplicates(
        &mut self,
        batch: &Self::Batch,
        judged: &mut Self::Judged,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Commits the duplicates that `judged` notes.
    fn duplicates(
        &mut self,
        batch: &Self::Batch,
        judged: &Self::Judged,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Brings every gold table up to silver's progress in the partition.
    fn catch_gold_up(
        &mut self,
        partition: &Partition,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Commits what gold tables have gathered, those that are due or all.
    fn gold(&mut self, all: bool) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Drops what was gathered and not committed.
    fn forget(&mut self);
}

/// Lands batches in order, layer by layer.
pub struct Coordinator<L: Layers> {
    pub layers: L,
    /// Where each partition that is ours is to be read on.
    positions: BTreeMap<Partition, Offset>,
}

impl<L: Layers> Coordinator<L> {
    pub fn new(layers: L) -> Self {
        Self {
            layers,
            positions: BTreeMap::new(),
        }
    }

    /// Where a partition is to be read on, if it is ours and has been read before.
    pub fn position(&self, partition: &Partition) -> Option<Offset> {
        self.positions.get(partition).copied()
    }

    pub fn positions(&self) -> impl Iterator<Item = (&Partition, Offset)> {
        self.positions
            .iter()
            .map(|(partition, at)| (partition, *at))
    }

    /// Notes where a partition that no table knows is to begin.
    pub fn begin(&mut self, partition: Partition, at: Offset) {
        self.positions.entry(partition).or_insert(at);
    }

    /// Forgets every partition: others may have them now.
    pub fn release(&mut self) {
        self.positions.clear();
        self.layers.forget();
    }

    /// Brings the later layers of these partitions up to bronze. Answers, for each, with where it
    /// is to be read on; `None` for one that bronze does not know.
    ///
    /// # Errors
    /// What a layer says. Nothing is half done that this would not finish when called again.
    pub async fn catch_up(
        &mut self,
        partitions: &[Partition],
    ) -> Result<Vec<(Partition, Option<Offset>)>, L::Error> {
        self.release();
        self.layers.refresh().await?;
        let mut positions = Vec::new();
        for partition in partitions {
            let bronze = self.layers.progress(Layer::Bronze, partition);
            if let Some(bronze) = bronze {
                self.catch_partition_up(partition, bronze).await?;
                self.positions.insert(partition.clone(), bronze);
            }
            positions.push((partition.clone(), bronze));
        }
        Ok(positions)
    }

    async fn catch_partition_up(
        &mut self,
        partition: &Partition,
        bronze: Offset,
    ) -> Result<(), L::Error> {
        let start = self.layers.start(partition).unwrap_or(bronze);
        let layers = [Layer::Quarantine, Layer::Silver, Layer::Duplicates];
        let mut reached = layers.map(|layer| {
            let progress = self.layers.progress(layer, partition);
            progress.unwrap_or(start)
        });
        loop {
            let [quarantine, silver, duplicates] = reached;
            let at = quarantine.min(silver).min(duplicates);
            if at >= bronze {
                break;
            }
            // A batch ends where a layer's progress lies, so that each layer has all of it or none.
            let end = reached.into_iter().filter(|end| *end > at).min();
            let end = end.map_or(bronze, |end| end.min(bronze));
            let (batch, end) = self.layers.read_back(partition, at, end).await?;
            let mut judged = self.layers.judge(&batch, quarantine > at).await?;
            if quarantine <= at {
                self.layers.quarantine(&batch, &judged).await?;
            }
            match silver <= at {
                true => self.layers.silver(&batch, &mut judged).await?,
                false => self.layers.find_duplicates(&batch, &mut judged).await?,
            }
            if duplicates <= at {
                self.layers.duplicates(&batch, &judged).await?;
            }
            reached = reached.map(|progress| progress.max(end));
        }
        self.layers.catch_gold_up(partition).await
    }

    /// Lands a fresh batch in every layer but gold. False: it is in bronze and no further, and
    /// [`Self::catch_up`] will finish it or say what is wrong.
    ///
    /// # Errors
    /// What a layer says; the batch is to be dropped, and [`Self::catch_up`] called.
    pub async fn land(
        &mut self,
        batch: &mut L::Batch,
        ends: impl IntoIterator<Item = (Partition, Offset)>,
    ) -> Result<bool, L::Error> {
        let Some(mut judged) = self.layers.take_in(batch).await? else {
            return Ok(false);
        };
        self.layers.quarantine(batch, &judged).await?;
        self.layers.silver(batch, &mut judged).await?;
        self.layers.duplicates(batch, &judged).await?;
        self.positions.extend(ends);
        Ok(true)
    }
}

#[cfg(test)]
mod simulation;
