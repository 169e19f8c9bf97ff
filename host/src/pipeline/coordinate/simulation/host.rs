//! One host of a simulation: the tables as its tails know them, and how it commits.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use super::super::{Coordinator, Layer, Layers, Problem, Setback};
use super::world::{
    Kind, MESSAGES, Message, Put, STALE, Step, Version, View, World, amount, is_refused, key,
};
use crate::names::{Offset, Partition};

/// What a host leaves out, so that the simulation can be seen to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// It does not look whether progress stands where its batch began.
    Fence,
    /// Silver is written before quarantine.
    Order,
    /// It trusts a tail however old.
    StaleTail,
    /// It relies on a put however long that took.
    LatePut,
    /// It does not look for duplicates again when another was quicker.
    Dedup,
}

pub(super) struct Host {
    name: usize,
    world: Arc<Mutex<World>>,
    views: [View; 4],
    broken: Broken,
    gathered: BTreeMap<i32, (Offset, Offset, i64)>,
}

#[derive(Debug)]
pub(super) struct Batch {
    steps: Vec<Step>,
    pin: Option<u32>,
}

#[derive(Default)]
pub(super) struct Judged {
    refused: Vec<Message>,
    candidates: Vec<Message>,
    duplicates: Vec<Message>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Mishap {
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

/// Lets others go on.
pub(super) async fn pause() {
    let mut paused = false;
    poll_fn(|_| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

fn partition(number: i32) -> Partition {
    Partition {
        topic: "sales".into(),
        source: "id".into(),
        number,
    }
}

fn kind(layer: Layer) -> Kind {
    match layer {
        Layer::Bronze => Kind::Bronze,
        Layer::Quarantine => Kind::Refused,
        Layer::Silver => Kind::Silver,
        Layer::Duplicates => Kind::Duplicates,
    }
}

impl Batch {
    fn messages(&self) -> impl Iterator<Item = Message> + '_ {
        let steps = self.steps.iter();
        steps.flat_map(|(partition, from, to)| (*from..*to).map(|offset| (*partition, offset)))
    }
}

impl Host {
    pub(super) fn new(name: usize, world: &Arc<Mutex<World>>, broken: Broken) -> Self {
        let mut host = Self {
            name,
            world: world.clone(),
            views: Default::default(),
            broken,
            gathered: BTreeMap::new(),
        };
        (0..4).for_each(|table| host.reload(table));
        host
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn reload(&mut self, table: usize) {
        let world = self.world();
        let view = View {
            read_at: world.now,
            ..world.logs[table].head.clone()
        };
        drop(world);
        self.views[table] = view;
    }

    /// Reads the next version if it is there. A stale tail is read anew.
    fn read_next(&mut self, table: usize) -> bool {
        let world = self.world.lock().unwrap();
        let (log, view) = (&world.logs[table], &mut self.views[table]);
        let next = log.versions.get(view.version);
        match next.filter(|_| view.version >= log.cleaned) {
            Some(version) => view.apply(version),
            None => {
                view.read_at = world.now;
                return false;
            }
        }
        true
    }

    fn read_on(&mut self, table: usize) {
        self.freshen(table);
        while self.read_next(table) {}
    }

    fn freshen(&mut self, table: usize) {
        if self.is_stale(table) {
            self.reload(table);
        }
    }

    fn is_stale(&self, table: usize) -> bool {
        let stale = self.world().now - self.views[table].read_at > STALE;
        stale && self.broken != Broken::StaleTail
    }

    /// Whether the host dies at this put, and if so whether after it.
    fn dying(&self) -> Option<bool> {
        let mut world = self.world();
        match world.dies {
            Some((0, after)) => {
                world.dies = None;
                Some(after)
            }
            Some((left, after)) => {
                world.dies = Some((left - 1, after));
                None
            }
            None => None,
        }
    }

    /// Commits what `rows` makes of the table as it is just before.
    async fn commit(
        &mut self,
        kind: Kind,
        steps: &[Step],
        sum: i64,
        rows: impl Fn(&View) -> Vec<(Message, u32)>,
    ) -> Result<(), Mishap> {
        let table = kind.table();
        self.freshen(table);
        let mut made = rows(&self.views[table]);
        loop {
            let view = &self.views[table];
            let stands = steps.iter().all(|(p, from, _)| view.at(kind, *p) == *from);
            if !stands && self.broken != Broken::Fence {
                return Err(Mishap::Fenced);
            }
            if self.broken != Broken::Dedup {
                made = rows(view);
            }
            let number = view.version + 1;
            let began = self.world().now;
            pause().await;
            let dying = self.dying();
            if dying == Some(false) {
                return Err(Mishap::Died);
            }
            let mut world = self.world.lock().unwrap();
            let version = Version {
                kind,
                steps: steps.to_vec(),
                rows: made.clone(),
                sum,
                at: world.now,
            };
            let put = world.put(number, version.clone());
            drop(world);
            if dying == Some(true) {
                return Err(Mishap::Died);
            }
            // Others may have been there and cleaned up while the put was on its way.
            if self.is_stale(table) && self.broken != Broken::LatePut {
                return Err(Mishap::Fenced);
            }
            match put {
                Put::Done => {
                    self.world().relied_on(table, number);
                    self.views[table].apply(&version);
                    self.views[table].read_at = began;
                    return Ok(());
                }
                Put::Exists => {
                    self.read_next(table);
                }
            }
        }
    }

    async fn place(&mut self, kind: Kind, batch: &Batch, rows: &[Message]) -> Result<(), Mishap> {
        let rows: Vec<_> = rows.iter().map(|message| (*message, 0)).collect();
        self.commit(kind, &batch.steps, 0, |_| rows.clone()).await
    }

    fn silver_at(&self, partition: i32) -> Offset {
        self.views[Kind::Silver.table()].at(Kind::Silver, partition)
    }
}

/// The candidates whose key is not in silver, nor before them.
fn firsts(view: &View, candidates: &[Message]) -> Vec<(Message, u32)> {
    let mut keys: Vec<Offset> = view.rows.keys().map(|(_, message)| key(*message)).collect();
    let mut first = Vec::new();
    for message in candidates {
        if !keys.contains(&key(*message)) {
            keys.push(key(*message));
            first.push((*message, 0));
        }
    }
    first
}

impl Layers for Host {
    type Batch = Batch;
    type Judged = Judged;
    type Error = Mishap;

    async fn refresh(&mut self) -> Result<(), Mishap> {
        (0..4).for_each(|table| self.read_on(table));
        Ok(())
    }

    fn progress(&self, layer: Layer, partition: &Partition) -> Option<Offset> {
        let kind = kind(layer);
        let view = &self.views[kind.table()];
        view.progress.get(&(kind, partition.number)).copied()
    }

    fn start(&self, partition: &Partition) -> Option<Offset> {
        self.progress(Layer::Bronze, partition).map(|_| 0)
    }

    async fn take_in(&mut self, batch: &mut Batch) -> Result<Option<Judged>, Mishap> {
        let pin = self.world().active;
        batch.pin = Some(pin);
        let rows: Vec<_> = batch.messages().map(|message| (message, pin)).collect();
        let steps = batch.steps.clone();
        self.commit(Kind::Bronze, &steps, 0, |_| rows.clone())
            .await?;
        self.judge(batch, false).await.map(Some)
    }

    async fn read_back(
        &mut self,
        partition: &Partition,
        from: Offset,
        to: Offset,
    ) -> Result<(Batch, Offset), Mishap> {
        pause().await;
        let number = partition.number;
        let world = self.world();
        let bronze = &self.views[Kind::Bronze.table()];
        let pin_of = |offset: Offset| {
            let message = (number, offset);
            let first = bronze.rows.get(&(Kind::Bronze, message));
            world.repinned.get(&message).or(first).copied()
        };
        let pin = pin_of(from);
        let alike = (from..to)
            .take(4)
            .take_while(|offset| pin_of(*offset) == pin);
        let to = from + Offset::try_from(alike.count()).unwrap();
        let steps = vec![(number, from, to)];
        Ok((Batch { steps, pin }, to))
    }

    async fn judge(&mut self, batch: &Batch, covered: bool) -> Result<Judged, Mishap> {
        let quarantine = &self.views[Kind::Refused.table()];
        let pin = batch.pin.unwrap_or_default();
        let (refused, candidates) = batch.messages().partition(|message| match covered {
            true => quarantine.rows.contains_key(&(Kind::Refused, *message)),
            false => is_refused(*message, pin),
        });
        Ok(Judged {
            refused,
            candidates,
            duplicates: Vec::new(),
        })
    }

    async fn quarantine(&mut self, batch: &Batch, judged: &Judged) -> Result<(), Mishap> {
        if self.broken == Broken::Order {
            return Ok(());
        }
        self.place(Kind::Refused, batch, &judged.refused).await
    }

    async fn silver(&mut self, batch: &Batch, judged: &mut Judged) -> Result<(), Mishap> {
        let candidates = judged.candidates.clone();
        let rows = |view: &View| firsts(view, &candidates);
        self.commit(Kind::Silver, &batch.steps, 0, rows).await?;
        self.find_duplicates(batch, judged).await?;
        for (number, from, to) in &batch.steps {
            let part = self.gathered.entry(*number).or_insert((*from, *from, 0));
            let silver = &self.views[Kind::Silver.table()].rows;
            let landed = (*from..*to).map(|offset| (*number, offset));
            let landed = landed.filter(|message| silver.contains_key(&(Kind::Silver, *message)));
            (part.1, part.2) = (*to, part.2 + landed.map(amount).sum::<i64>());
        }
        Ok(())
    }

    async fn find_duplicates(&mut self, _: &Batch, judged: &mut Judged) -> Result<(), Mishap> {
        let silver = &self.views[Kind::Silver.table()].rows;
        let there = |message: &&Message| !silver.contains_key(&(Kind::Silver, **message));
        judged.duplicates = judged.candidates.iter().filter(there).copied().collect();
        Ok(())
    }

    async fn duplicates(&mut self, batch: &Batch, judged: &Judged) -> Result<(), Mishap> {
        let quarantine = &self.views[Kind::Refused.table()];
        let is_behind = |(p, from, _): &Step| quarantine.at(Kind::Refused, *p) == *from;
        if self.broken == Broken::Order && batch.steps.iter().all(is_behind) {
            self.place(Kind::Refused, batch, &judged.refused).await?;
        }
        self.place(Kind::Duplicates, batch, &judged.duplicates)
            .await
    }

    async fn catch_gold_up(&mut self, partition: &Partition) -> Result<(), Mishap> {
        let number = partition.number;
        self.gathered.remove(&number);
        let gold = self.views[Kind::Gold.table()].at(Kind::Gold, number);
        let end = self.silver_at(number);
        if gold < end {
            let silver = &self.views[Kind::Silver.table()].rows;
            let rows = (gold..end).map(|offset| (number, offset));
            let rows = rows.filter(|message| silver.contains_key(&(Kind::Silver, *message)));
            let sum = rows.map(amount).sum();
            let steps = [(number, gold, end)];
            self.commit(Kind::Gold, &steps, sum, |_| Vec::new()).await?;
        }
        Ok(())
    }

    async fn gold(&mut self, _: bool) -> Result<(), Mishap> {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.is_empty() {
            return Ok(());
        }
        let sum = gathered.values().map(|part| part.2).sum();
        let steps: Vec<Step> = gathered
            .iter()
            .map(|(number, (from, to, _))| (*number, *from, *to))
            .collect();
        self.commit(Kind::Gold, &steps, sum, |_| Vec::new()).await
    }

    fn forget(&mut self) {
        self.gathered.clear();
    }
}

/// A host from its start to its death: it notices late that its partitions are another's.
pub(super) async fn live(host: Host) {
    let (name, world) = (host.name, host.world.clone());
    let mut host = Coordinator::new(host);
    let mut epoch = 0;
    loop {
        pause().await;
        let (now, ours) = {
            let world = world.lock().unwrap();
            let ours = world.assigned.iter().enumerate();
            let ours = ours.filter(|(_, host)| **host == name);
            let ours = ours.map(|(number, _)| partition(i32::try_from(number).unwrap()));
            (world.epoch, ours.collect::<Vec<_>>())
        };
        let gone = match epoch == now {
            true => land(&mut host, &world).await,
            false => match host.catch_up(&ours).await {
                Ok(positions) => {
                    epoch = now;
                    for (partition, position) in positions {
                        host.begin(partition, position.unwrap_or(0));
                    }
                    Ok(())
                }
                Err(mishap) => Err(mishap),
            },
        };
        match gone {
            Ok(()) => {}
            Err(Mishap::Fenced) => epoch = 0,
            Err(Mishap::Died) => return,
        }
    }
}

/// Lands a batch of some of the partitions, and gold now and then.
async fn land(host: &mut Coordinator<Host>, world: &Arc<Mutex<World>>) -> Result<(), Mishap> {
    let mut steps = Vec::new();
    let commits_gold = {
        let mut world = world.lock().unwrap();
        for (partition, from) in host.positions() {
            let count = Offset::from(world.below(4));
            let to = MESSAGES.min(from + count);
            if from < to {
                steps.push((partition.number, from, to));
            }
        }
        world.below(3) == 0
    };
    if !steps.is_empty() {
        let ends: Vec<_> = steps
            .iter()
            .map(|(p, _, to)| (partition(*p), *to))
            .collect();
        let mut batch = Batch { steps, pin: None };
        host.land(&mut batch, ends).await?;
    }
    if commits_gold {
        host.layers.gold(true).await?;
    }
    Ok(())
}
