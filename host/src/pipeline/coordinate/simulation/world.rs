//! What the hosts of a simulation share: the tables' logs, who has which partition, and chance.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::names::Offset;

/// Messages of each partition.
pub(super) const MESSAGES: Offset = 40;
pub(super) const PARTITIONS: i32 = 3;
/// A tail that was not read for so long is read anew before a put.
pub(super) const STALE: u64 = 20;
/// The longest that a host is frozen, but for some times.
const FREEZE: u64 = 50;
/// One time in so many a host is frozen for longer than versions are kept, also in the midst of a put.
const LONG_FREEZE_IN: u32 = 4;
/// Versions are kept for so long: longer than a tail is trusted.
const RETENTION: u64 = 140;

/// What a table keeps progress of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Bronze,
    Refused,
    Silver,
    Duplicates,
    Gold,
}

impl Kind {
    /// Its table: what rules refused and the duplicates lie in one.
    pub(super) fn table(self) -> usize {
        match self {
            Self::Bronze => 0,
            Self::Refused | Self::Duplicates => 1,
            Self::Silver => 2,
            Self::Gold => 3,
        }
    }
}

/// A message: its partition and offset.
pub(super) type Message = (i32, Offset);

/// Progress of a partition, from where to where.
pub(super) type Step = (i32, Offset, Offset);

/// One commit.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) kind: Kind,
    pub(super) steps: Vec<Step>,
    /// With what each was pinned to; of gold, nothing.
    pub(super) rows: Vec<(Message, u32)>,
    /// What gold gained.
    pub(super) sum: i64,
    pub(super) at: u64,
}

/// A table at a version.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) version: usize,
    pub(super) progress: BTreeMap<(Kind, i32), Offset>,
    pub(super) rows: BTreeMap<(Kind, Message), u32>,
    pub(super) read_at: u64,
}

impl View {
    pub(super) fn apply(&mut self, version: &Version) {
        self.version += 1;
        for (partition, _, to) in &version.steps {
            self.progress.insert((version.kind, *partition), *to);
        }
        for (message, pin) in &version.rows {
            self.rows.insert((version.kind, *message), *pin);
        }
    }

    pub(super) fn at(&self, kind: Kind, partition: i32) -> Offset {
        let progress = self.progress.get(&(kind, partition));
        progress.copied().unwrap_or_default()
    }
}

#[derive(Default)]
pub(super) struct Log {
    pub(super) versions: Vec<Version>,
    /// The versions below are gone; a checkpoint stands for them.
    pub(super) cleaned: usize,
    pub(super) head: View,
}

/// What became of a put.
pub(super) enum Put {
    Done,
    Exists,
}

pub(super) struct World {
    pub(super) random: ChaCha8Rng,
    pub(super) now: u64,
    pub(super) logs: [Log; 4],
    /// The rule set that new batches are pinned to.
    pub(super) active: u32,
    /// What rows are pinned to by others than their batch.
    pub(super) repinned: BTreeMap<Message, u32>,
    /// The host of each partition, and how often that has changed.
    pub(super) assigned: Vec<usize>,
    pub(super) epoch: u64,
    /// Puts until the host that puts dies, and whether it dies after its put.
    pub(super) dies: Option<(u32, bool)>,
    /// Until when each host is frozen.
    pub(super) frozen: Vec<u64>,
    /// Puts that nobody will ever see, and that their host relied on.
    pub(super) into_holes: u32,
}

impl World {
    pub(super) fn new(seed: u64, hosts: usize) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            now: 1,
            logs: Default::default(),
            active: 0,
            repinned: BTreeMap::new(),
            assigned: vec![0; PARTITIONS as usize],
            epoch: 1,
            dies: None,
            frozen: vec![0; hosts],
            into_holes: 0,
        }
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.random.next_u32() % end
    }

    /// Puts a version if it is absent, as a store does: it does not know of holes.
    pub(super) fn put(&mut self, number: usize, version: Version) -> Put {
        let log = &mut self.logs[version.kind.table()];
        if number <= log.cleaned {
            return Put::Done;
        }
        if number <= log.versions.len() {
            return Put::Exists;
        }
        log.head.apply(&version);
        log.versions.push(version);
        Put::Done
    }

    /// A host takes a put for done, which may have gone into a hole.
    pub(super) fn relied_on(&mut self, table: usize, number: usize) {
        self.into_holes += u32::from(number <= self.logs[table].cleaned);
    }

    /// Something that may happen to anyone at any time.
    pub(super) fn happen(&mut self) {
        self.now += 1;
        match self.below(200) {
            0..10 => {
                let hosts = u32::try_from(self.frozen.len()).unwrap();
                let partition = self.below(PARTITIONS as u32) as usize;
                self.assigned[partition] = self.below(hosts) as usize;
                self.epoch += 1;
            }
            10..16 => {
                let hosts = u32::try_from(self.frozen.len()).unwrap();
                let host = self.below(hosts) as usize;
                // It has come to itself since the last time.
                if self.frozen[host] + FREEZE < self.now {
                    let long = self.below(LONG_FREEZE_IN) == 0;
                    let least = if long { RETENTION } else { 0 };
                    self.frozen[host] = self.now + least + u64::from(self.below(FREEZE as u32));
                }
            }
            16..24 => self.dies = Some((self.below(8), self.below(2) == 0)),
            24..27 => self.active += 1,
            27..31 => self.repin(),
            31..36 => self.clean(),
            _ => {}
        }
    }

    /// Rows that are in bronze and not judged yet get another rule set.
    fn repin(&mut self) {
        let partition = i32::try_from(self.below(PARTITIONS as u32)).unwrap();
        let judged = self.logs[1].head.at(Kind::Refused, partition);
        let end = self.logs[0].head.at(Kind::Bronze, partition);
        self.active += 1;
        for offset in judged..end {
            self.repinned.insert((partition, offset), self.active);
        }
    }

    fn clean(&mut self) {
        let before = self.now.saturating_sub(RETENTION);
        for log in &mut self.logs {
            let old = log
                .versions
                .iter()
                .take_while(|version| version.at < before);
            log.cleaned = log.cleaned.max(old.count());
        }
    }

    /// Whether everything has landed, also in gold.
    pub(super) fn is_done(&self) -> bool {
        let ends = [
            Kind::Bronze,
            Kind::Refused,
            Kind::Silver,
            Kind::Duplicates,
            Kind::Gold,
        ];
        ends.into_iter().all(|kind| {
            let head = &self.logs[kind.table()].head;
            (0..PARTITIONS).all(|partition| head.at(kind, partition) == MESSAGES)
        })
    }

    /// What is wrong with the tables once everything has landed.
    pub(super) fn wrong(&self) -> Option<String> {
        if self.into_holes > 0 {
            return Some(format!(
                "{} puts into holes were relied on",
                self.into_holes
            ));
        }
        let all: Vec<Message> = (0..PARTITIONS)
            .flat_map(|partition| (0..MESSAGES).map(move |offset| (partition, offset)))
            .collect();
        let rows = |kinds: &[Kind]| {
            let versions = self.logs.iter().flat_map(|log| &log.versions);
            let versions = versions.filter(|version| kinds.contains(&version.kind));
            let mut rows: Vec<Message> = versions
                .flat_map(|version| version.rows.iter().map(|(message, _)| *message))
                .collect();
            rows.sort_unstable();
            rows
        };
        if rows(&[Kind::Bronze]) != all {
            return Some("a message is not in bronze once".to_owned());
        }
        if rows(&[Kind::Refused, Kind::Silver, Kind::Duplicates]) != all {
            return Some("a message is not in one place once".to_owned());
        }
        let silver = rows(&[Kind::Silver]);
        let keys: BTreeSet<Offset> = silver.iter().map(|message| key(*message)).collect();
        if keys.len() != silver.len() {
            return Some("a key is in silver twice".to_owned());
        }
        if rows(&[Kind::Duplicates])
            .iter()
            .any(|message| !keys.contains(&key(*message)))
        {
            return Some("a duplicate has no original in silver".to_owned());
        }
        let gold: i64 = self.logs[3]
            .versions
            .iter()
            .map(|version| version.sum)
            .sum();
        let sum: i64 = silver.iter().map(|message| amount(*message)).sum();
        (gold != sum).then(|| format!("gold is {gold}, silver adds up to {sum}"))
    }
}

/// Each rule set refuses other messages.
pub(super) fn is_refused((partition, offset): Message, pin: u32) -> bool {
    (offset + Offset::from(partition) + Offset::from(pin)) % 5 == 0
}

/// Some keys come twice, in one partition or in two.
pub(super) fn key((partition, offset): Message) -> Offset {
    match offset % 4 {
        3 => offset - 1 + 100 * Offset::from(partition),
        1 => 1_000 + offset,
        _ => offset + 100 * Offset::from(partition),
    }
}

pub(super) fn amount((partition, offset): Message) -> i64 {
    1_000_000 * i64::from(partition) + offset * offset + 1
}
