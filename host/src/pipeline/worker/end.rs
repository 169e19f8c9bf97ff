//! When a run that is to end is over: everything that was there at its start is in gold, also what
//! other members of the group read, or that one had which is gone.

use std::time::{Duration, Instant};

use super::{Worker, WorkerError};
use crate::lake::fault;
use crate::names::{Offset, Partition};
use crate::source::Source;

/// How often the tables are looked at for what others read.
const LOOK: Duration = Duration::from_secs(1);
/// How long others may stand still, in seconds: longer than the session of a member that is gone
/// (45 s unless it is told otherwise), after which its partitions come here.
const PATIENCE_WITH_OTHERS: i64 = 120;

/// What a run that is to end waits for.
#[derive(Default)]
pub(super) struct Ending {
    /// Where every partition ended at the start; `None` while that could not be asked for.
    ends: Option<Vec<(Partition, Offset)>>,
    /// When the tables are looked at, once this host's own partitions are caught up.
    due: Option<Instant>,
    /// How far the others' partitions were when they moved last, and when.
    moved: Option<(Vec<Option<Offset>>, Instant)>,
}

impl Ending {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// This host's own partitions are others now: their source says when they are caught up.
    pub(super) fn put_off(&mut self) {
        self.due = None;
        self.moved = None;
    }

    /// Since when others stand where they stand.
    fn still(&mut self, reached: Vec<Option<Offset>>) -> Duration {
        match &self.moved {
            Some((before, since)) if *before == reached => since.elapsed(),
            _ => {
                self.moved = Some((reached, Instant::now()));
                Duration::ZERO
            }
        }
    }
}

impl<S: Source> Worker<S> {
    /// Notes where every partition ends, where that is to be known and is not yet.
    pub(super) async fn note_ends(&mut self) {
        if !self.until_caught_up || self.ending.ends.is_some() {
            return;
        }
        match self.source.ends().await {
            Ok(ends) => self.ending.ends = Some(ends),
            Err(error) => {
                tracing::warn!(%error, "where the source ends could not be asked for; it is asked again");
            }
        }
    }

    /// Whether everything that was there at the start is in gold. This host's own partitions are
    /// caught up; where others are not, this is asked again soon.
    pub(super) async fn is_over(&mut self) -> Result<bool, WorkerError> {
        self.ending.due = Some(Instant::now() + LOOK);
        self.note_ends().await;
        let Some(ends) = self.ending.ends.clone() else {
            return Ok(false);
        };
        let others = |(partition, _): &(Partition, Offset)| !self.held.contains(partition);
        let others: Vec<_> = ends.into_iter().filter(others).collect();
        if others.is_empty() {
            return Ok(true);
        }
        // What this host reads goes on landing meanwhile, and is brought up to date beside.
        if !(self.flush().await? && self.gold(true).await?) {
            return Ok(false);
        }
        if let Err(error) = self.coordinator.catch_up(&self.held).await {
            self.pause(error).await?;
            self.begin_again();
            return Ok(false);
        }
        let layers = &self.coordinator.layers;
        let reached: Vec<_> = others
            .iter()
            .map(|(other, _)| layers.reached(other))
            .collect();
        let mut behind = others.into_iter().zip(&reached);
        let behind = behind.find(|((_, end), reached)| reached.is_none_or(|at| at < *end));
        let Some(((partition, end), at)) = behind else {
            return Ok(true);
        };
        let at = at.unwrap_or_default();
        let waited = self.ending.still(reached);
        if waited > patience_with_others() {
            return Err(WorkerError::Others {
                tenant: self.tenant.clone(),
                partition,
                reached: at,
                end,
                waited: waited.as_secs(),
            });
        }
        Ok(false)
    }
}

fn patience_with_others() -> Duration {
    let seconds = fault::number("ASSAY_PATIENCE_WITH_OTHERS", PATIENCE_WITH_OTHERS);
    Duration::from_secs(seconds.unsigned_abs())
}
