//! The core driven by chance: two hosts share one partition, and either dies before or after any
//! of its commits. Every message must end in exactly one place. No threads, no sleep: a seed
//! gives the same run again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;

const MESSAGES: Offset = 40;
const SEEDS: u64 = 3_000;

/// What the tables hold, whoever wrote it.
#[derive(Default)]
struct World {
    bronze: Vec<Offset>,
    placed: BTreeMap<Layer, Vec<Offset>>,
    progress: BTreeMap<Layer, Offset>,
    /// Commits until the committing host dies, and whether it dies after its commit.
    dies: Option<(u32, bool)>,
}

struct Host {
    world: Arc<Mutex<World>>,
    /// Progress as this host read it last.
    seen: BTreeMap<Layer, Offset>,
    fences: bool,
}

struct Batch {
    from: Offset,
    to: Offset,
}

struct Judged {
    refused: Vec<Offset>,
    candidates: Vec<Offset>,
    duplicates: Vec<Offset>,
}

#[derive(Debug, thiserror::Error)]
enum Mishap {
    #[error("fenced")]
    Fenced,
    #[error("died")]
    Died,
}

impl Problem for Mishap {
    fn setback(&self) -> Setback {
        match self {
            Self::Fenced => Setback::Again,
            Self::Died => Setback::Stop,
        }
    }
}

fn partition() -> Partition {
    Partition {
        topic: "sales".into(),
        source: "id".into(),
        number: 0,
    }
}

/// Rules refuse every fifth message; every third key comes twice.
fn refused(offset: Offset) -> bool {
    offset % 5 == 0
}

fn key(offset: Offset) -> Offset {
    if offset % 3 == 2 { offset - 1 } else { offset }
}

impl Host {
    fn new(world: &Arc<Mutex<World>>, fences: bool) -> Self {
        Self {
            world: world.clone(),
            seen: BTreeMap::new(),
            fences,
        }
    }

    fn put(&mut self, layer: Layer, batch: &Batch, rows: &[Offset]) -> Result<(), Mishap> {
        let mut world = self.world.lock().unwrap();
        let dies = match &mut world.dies {
            Some((0, after)) => Some(*after),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if dies == Some(false) {
            world.dies = None;
            return Err(Mishap::Died);
        }
        let found = world.progress.get(&layer).copied().unwrap_or_default();
        if self.fences && found != batch.from {
            return Err(Mishap::Fenced);
        }
        world.progress.insert(layer, batch.to);
        match layer {
            Layer::Bronze => world.bronze.extend(rows),
            _ => world.placed.entry(layer).or_default().extend(rows),
        }
        self.seen = world.progress.clone();
        if dies == Some(true) {
            world.dies = None;
            return Err(Mishap::Died);
        }
        Ok(())
    }

    fn split(&self, candidates: &[Offset]) -> (Vec<Offset>, Vec<Offset>) {
        let world = self.world.lock().unwrap();
        let silver = world
            .placed
            .get(&Layer::Silver)
            .cloned()
            .unwrap_or_default();
        let mut keys: Vec<Offset> = silver.iter().map(|offset| key(*offset)).collect();
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for offset in candidates {
            if keys.contains(&key(*offset)) {
                again.push(*offset);
            } else {
                keys.push(key(*offset));
                first.push(*offset);
            }
        }
        (first, again)
    }
}

impl Layers for Host {
    type Batch = Batch;
    type Judged = Judged;
    type Error = Mishap;

    async fn refresh(&mut self) -> Result<(), Mishap> {
        self.seen = self.world.lock().unwrap().progress.clone();
        Ok(())
    }

    fn progress(&self, layer: Layer, _: &Partition) -> Option<Offset> {
        self.seen.get(&layer).copied()
    }

    fn start(&self, _: &Partition) -> Option<Offset> {
        self.seen.get(&Layer::Bronze).map(|_| 0)
    }

    async fn take_in(&mut self, batch: &mut Batch) -> Result<Option<Judged>, Mishap> {
        let rows: Vec<Offset> = (batch.from..batch.to).collect();
        self.put(Layer::Bronze, batch, &rows)?;
        self.judge(batch, false).await.map(Some)
    }

    async fn read_back(
        &mut self,
        _: &Partition,
        from: Offset,
        to: Offset,
    ) -> Result<(Batch, Offset), Mishap> {
        let to = to.min(from + 4);
        Ok((Batch { from, to }, to))
    }

    async fn judge(&mut self, batch: &Batch, _: bool) -> Result<Judged, Mishap> {
        let (refused, candidates) = (batch.from..batch.to).partition(|offset| refused(*offset));
        Ok(Judged {
            refused,
            candidates,
            duplicates: Vec::new(),
        })
    }

    async fn quarantine(&mut self, batch: &Batch, judged: &Judged) -> Result<(), Mishap> {
        self.put(Layer::Quarantine, batch, &judged.refused)
    }

    async fn silver(&mut self, batch: &Batch, judged: &mut Judged) -> Result<(), Mishap> {
        let (first, again) = self.split(&judged.candidates);
        self.put(Layer::Silver, batch, &first)?;
        judged.duplicates = again;
        Ok(())
    }

    async fn find_duplicates(&mut self, _: &Batch, judged: &mut Judged) -> Result<(), Mishap> {
        let world = self.world.lock().unwrap();
        let silver = world
            .placed
            .get(&Layer::Silver)
            .cloned()
            .unwrap_or_default();
        let there = judged
            .candidates
            .iter()
            .filter(|offset| !silver.contains(offset));
        judged.duplicates = there.copied().collect();
        Ok(())
    }

    async fn duplicates(&mut self, batch: &Batch, judged: &Judged) -> Result<(), Mishap> {
        self.put(Layer::Duplicates, batch, &judged.duplicates)
    }

    async fn catch_gold_up(&mut self, _: &Partition) -> Result<(), Mishap> {
        Ok(())
    }

    async fn gold(&mut self, _: bool) -> Result<(), Mishap> {
        Ok(())
    }

    fn forget(&mut self) {}
}

/// One step of a host: it lands the next batch, or brings the layers up to date first where it
/// holds no position. A host that dies comes back with an empty memory.
async fn step(
    host: &mut Coordinator<Host>,
    world: &Arc<Mutex<World>>,
    random: &mut ChaCha8Rng,
    fences: bool,
) {
    let ours = [partition()];
    let result = match host.position(&partition()) {
        None => match host.catch_up(&ours).await {
            Ok(positions) => {
                if let Some((partition, None)) = positions.into_iter().next() {
                    host.begin(partition, 0);
                }
                Ok(())
            }
            Err(error) => Err(error),
        },
        Some(from) if from < MESSAGES => {
            let to = MESSAGES.min(from + 1 + Offset::from(random.next_u32() % 6));
            let mut batch = Batch { from, to };
            host.land(&mut batch, [(partition(), to)]).await.map(|_| ())
        }
        Some(_) => Ok(()),
    };
    match result {
        Ok(()) => {}
        Err(Mishap::Fenced) => host.release(),
        Err(Mishap::Died) => *host = Coordinator::new(Host::new(world, fences)),
    }
}

/// Runs a seed to its end. True: every message is in exactly one place.
fn run(seed: u64, fences: bool) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let world = Arc::new(Mutex::new(World::default()));
        let mut hosts = [
            Coordinator::new(Host::new(&world, fences)),
            Coordinator::new(Host::new(&world, fences)),
        ];
        for _ in 0..60 {
            if random.next_u32() % 4 == 0 {
                let dies = (random.next_u32() % 6, random.next_u32() % 2 == 0);
                world.lock().unwrap().dies = Some(dies);
            }
            let host = &mut hosts[(random.next_u32() % 2) as usize];
            step(host, &world, &mut random, fences).await;
        }
        // In the end one host is left alone, and finishes.
        world.lock().unwrap().dies = None;
        let mut last = Coordinator::new(Host::new(&world, fences));
        for _ in 0..(2 * MESSAGES) {
            step(&mut last, &world, &mut random, fences).await;
        }
        let world = world.lock().unwrap();
        let mut placed: Vec<Offset> = world.placed.values().flatten().copied().collect();
        placed.sort_unstable();
        let all: Vec<Offset> = (0..MESSAGES).collect();
        let mut bronze = world.bronze.clone();
        bronze.sort_unstable();
        placed == all && bronze == all
    })
}

#[test]
fn every_message_ends_in_exactly_one_place_whoever_dies_when() {
    for seed in 0..SEEDS {
        assert!(run(seed, true), "seed {seed}");
    }
}

#[test]
fn without_the_fence_the_simulation_finds_what_is_lost_or_doubled() {
    let caught = (0..SEEDS).filter(|seed| !run(*seed, false)).count();
    assert!(caught > 0, "a host that does not fence went unnoticed");
}
