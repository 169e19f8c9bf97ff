//! A host: the tenants of one process. They come and go with their TOMLs, and stand still while
//! the lake says that they are paused; none falls with another.

mod folder;
mod roster;
mod standing;
mod tidy;
mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior};
use tracing::Instrument as _;

use self::folder::{Folder, News};
pub use self::roster::{Known, Roster, State};
use self::standing::{BeginError, follow_in_time, resting};
use self::tidy::Tidy;
use self::waiting::Waiting;
use super::again::{TRIES_BEFORE_THE_END, pause_after};
use super::config::{Config, ConfigError};
use super::coordinate::Setback;
use super::kafka::Kafka;
use super::meter::Meter;
use super::run::{RunError, run_tenant};
use super::watch::Watch;
use crate::control::standing::Standings;
use crate::lake::{Lake, LakeError};
use crate::names::Tenant;
use crate::plugin::Sandbox;
use crate::processor::Turns;
use crate::told::told;

/// How long a host that is told to stop may take to commit what it took in. With what closing a
/// source takes this stays below ten seconds, after which supervisors commonly kill.
const FAREWELL: Duration = Duration::from_secs(8);

type Farewell = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How often the TOMLs are looked at. One counts once it has looked the same twice: soon enough that
/// nobody waits for it, and longer than a copy that is under way stands still.
const LOOK: Duration = Duration::from_millis(300);
/// How often it is looked at what the lake says of tenants.
const FOLLOW: Duration = Duration::from_secs(1);

/// How a host is to run.
pub struct Options {
    /// TOMLs, and folders of them.
    pub pipelines: Vec<PathBuf>,
    /// End when what was there at the start is in gold.
    pub until_caught_up: bool,
    /// Have edits judge as they are saved.
    pub watch: bool,
    /// How Kafka is read.
    pub kafka: Kafka,
}

/// A tenant of the host.
struct Member {
    config: Config,
    lake: Lake,
    /// Tells its loop to stop; there is none while it does not run.
    stop: Option<watch::Sender<bool>>,
    /// Its TOML is gone.
    leaves: bool,
}

/// The tenants of one process.
pub struct Host<O> {
    options: Options,
    /// Opens the lake of a pipeline.
    open: O,
    sandbox: Arc<Sandbox>,
    /// What the tenants work in.
    turns: Turns,
    roster: Roster,
    folder: Folder,
    /// What the TOMLs said at first.
    first: Vec<News>,
    members: BTreeMap<Tenant, Member>,
    running: JoinSet<Result<(), RunError>>,
    tasks: HashMap<Id, Tenant>,
    /// By the lake's URL: what it says of its tenants.
    standings: BTreeMap<String, Standings>,
    /// When it was last looked at what these say.
    followed: Instant,
    tidy: Tidy,
    waiting: Waiting,
    stopping: bool,
    /// What could not run, or stopped by itself.
    failed: Vec<String>,
}

impl<O: Fn(&Config) -> Result<Lake, LakeError>> Host<O> {
    /// Reads the pipelines. `open` opens the lake of one.
    ///
    /// # Errors
    /// A folder or a named TOML that can't be used, or no pipeline at all.
    pub fn new(
        options: Options,
        open: O,
        sandbox: Arc<Sandbox>,
        roster: Roster,
    ) -> Result<Self, ConfigError> {
        let (folder, first) = Folder::open(&options.pipelines)?;
        Ok(Self {
            options,
            open,
            sandbox,
            turns: Turns::of_this_machine(),
            roster,
            folder,
            first,
            members: BTreeMap::new(),
            running: JoinSet::new(),
            tasks: HashMap::new(),
            standings: BTreeMap::new(),
            followed: Instant::now(),
            tidy: Tidy::new(),
            waiting: Waiting::default(),
            stopping: false,
            failed: Vec::new(),
        })
    }

    /// Runs the tenants until `stop` is ready, or none of them can go on. Answers with what could
    /// not run, or stopped by itself.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Vec<String> {
        let mut stop = std::pin::pin!(stop);
        let mut farewell: Farewell = Box::pin(std::future::pending());
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.tick().await;
        // Where a lake does not answer, what is seen to waits for it; being told to stop does not.
        tokio::select! {
            () = self.begin_all() => {}
            () = &mut stop => farewell = self.begin_to_stop(),
        }
        while !self.is_over() {
            tokio::select! {
                () = self.go_on(&mut look) => {}
                () = &mut stop, if !self.stopping => farewell = self.begin_to_stop(),
                () = &mut farewell => {
                    tracing::warn!("not everything that was taken in could be committed in time; nothing is lost, the next start does it");
                    self.running.abort_all();
                    break;
                }
            }
        }
        self.failed.sort_unstable();
        self.failed.dedup();
        self.failed
    }

    async fn begin_all(&mut self) {
        for news in std::mem::take(&mut self.first) {
            self.take_up(news).await;
        }
        self.roster.completed();
    }

    /// Waits for the next thing that is to be seen to, and sees to it.
    async fn go_on(&mut self, look: &mut Interval) {
        let follows = !self.options.until_caught_up && !self.stopping;
        let roster = self.roster.clone();
        tokio::select! {
            Some(ended) = self.running.join_next_with_id() => self.ended(ended).await,
            _ = look.tick(), if follows => self.look().await,
            () = roster.wanted(), if follows => self.follow().await,
            config = self.waiting.due(), if !self.stopping => self.try_to_begin(config).await,
            else => std::future::pending().await,
        }
    }

    /// Tells every tenant to stop. Answers with what says that their time is over.
    fn begin_to_stop(&mut self) -> Farewell {
        tracing::info!("stopping: what was taken in is committed first");
        self.stopping = true;
        self.members.values().for_each(Member::tell_to_stop);
        Box::pin(tokio::time::sleep(FAREWELL))
    }

    /// Nothing runs, and nothing may begin to. A paused tenant may be resumed, and a folder that
    /// lost its last TOML may get another.
    fn is_over(&self) -> bool {
        if !self.running.is_empty() || !(self.stopping || self.waiting.is_empty()) {
            return false;
        }
        let known = self.roster.all();
        let mut states = known.iter().map(|(_, known)| &known.state);
        let is_done = |state: &State| matches!(state, State::Stopped { .. } | State::Ended);
        self.stopping
            || self.options.until_caught_up
            || (!known.is_empty() && states.all(is_done))
            || (known.is_empty() && !self.failed.is_empty())
    }

    async fn look(&mut self) {
        for news in self.folder.news() {
            self.take_up(news).await;
        }
        if self.followed.elapsed() >= FOLLOW {
            self.follow().await;
        }
        self.tidy.look();
    }

    async fn take_up(&mut self, news: News) {
        match news {
            News::Broken(error) => {
                tracing::error!(
                    "{error}; mend it: it is read again as it is saved, and nothing else stops"
                );
                if self.options.until_caught_up {
                    self.failed.push(error.to_string());
                }
            }
            News::Gone { tenant, path } => {
                let how = if path.exists() {
                    "names another tenant"
                } else {
                    "is gone"
                };
                tracing::info!(%tenant, "{} {how}: its tenant is let go of, and its tables stay", path.display());
                self.let_go(&tenant);
            }
            News::Pipeline(config) => self.arrive(*config).await,
        }
    }

    fn let_go(&mut self, tenant: &Tenant) {
        self.waiting.remove(tenant);
        let Some(member) = self.members.get_mut(tenant) else {
            return;
        };
        member.leaves = true;
        member.tell_to_stop();
        match member.stop {
            Some(_) => self.roster.set(tenant, State::Stopping),
            None => self.forget(tenant),
        }
    }

    fn forget(&mut self, tenant: &Tenant) {
        self.members.remove(tenant);
        self.roster.remove(tenant);
        self.failed.retain(|failed| *failed != tenant.as_str());
    }

    /// A TOML is new, or says something else. That a running tenant takes up with a restart alone,
    /// or as a staged rule set; one that stopped begins again.
    async fn arrive(&mut self, config: Config) {
        let tenant = config.tenant.clone();
        if let Some(member) = self.members.get_mut(&tenant)
            && member.stop.is_some()
        {
            if let Some(known) = self.roster.get(&tenant)
                && known.take_quota(&config)
            {
                tracing::info!(%tenant, quota = ?config.quota.quota(), "{}: [quota] counts from now on", config.path.display());
            }
            if !self.options.watch {
                tracing::info!(%tenant, "{} was edited: to have its rules judge, say `assay rules stage {tenant}`; the rest counts from the next start", config.path.display());
            }
            if std::mem::take(&mut member.leaves) {
                member.config = config;
            }
            return;
        }
        self.failed.retain(|failed| *failed != tenant.as_str());
        self.waiting.remove(&tenant);
        self.try_to_begin(config).await;
    }

    /// Opens a tenant's lake and begins to run it.
    async fn try_to_begin(&mut self, config: Config) {
        let tenant = config.tenant.clone();
        let begun = match self.admit(&config) {
            Ok(()) => self.begin(&tenant).await,
            Err(error) => Err(error.into()),
        };
        match begun {
            Ok(()) => self.waiting.remove(&tenant),
            Err(error) => self.put_off(config, &error),
        }
    }

    fn admit(&mut self, config: &Config) -> Result<(), LakeError> {
        let tenant = &config.tenant;
        let lake = (self.open)(config)?;
        let before = self.roster.get(tenant);
        let share = match &before {
            Some(before) => before.lake.share().clone(),
            None => self.turns.share(),
        };
        let lake = lake.with_share(share);
        let meter = before.map(|known| known.meter);
        let known = Known {
            pipeline: config.path.clone(),
            lake: lake.clone(),
            meter: meter.unwrap_or_else(|| Arc::new(Meter::default())),
            trust: config.trust.clone(),
            state: State::Running,
            kept: Arc::default(),
        };
        known.take_quota(config);
        self.roster.put(tenant, known);
        let member = Member {
            config: config.clone(),
            lake,
            stop: None,
            leaves: false,
        };
        self.members.insert(tenant.clone(), member);
        Ok(())
    }

    /// A tenant could not begin: it is tried again, where that may help.
    fn put_off(&mut self, config: Config, error: &BeginError) {
        let (tenant, told) = (config.tenant.clone(), told(error));
        let tries = self.waiting.tries(&tenant) + 1;
        let is_last = self.options.until_caught_up && tries >= TRIES_BEFORE_THE_END;
        if error.setback() == Setback::Stop || is_last {
            self.waiting.remove(&tenant);
            self.stopped(&tenant, &told);
            return;
        }
        tracing::error!(%tenant, error = told, "the tenant can't start; nothing is lost, trying again");
        if let Some(known) = self.roster.get(&tenant) {
            known.meter.trouble(&told);
        }
        self.waiting.put(config, tries, pause_after(tries));
    }

    /// Begins to run a tenant, unless the lake says that it is not to.
    async fn begin(&mut self, tenant: &Tenant) -> Result<(), BeginError> {
        let Some(member) = self.members.get_mut(tenant) else {
            return Ok(());
        };
        let standings = self.standings.entry(member.lake.uri().to_owned());
        let standings = standings.or_insert_with(|| Standings::new(&member.lake));
        follow_in_time(standings).await?;
        if let Some(rest) = resting(standings, tenant) {
            tracing::warn!(%tenant, "it is {}: `assay tenant resume {tenant}` has it run", rest.as_str());
            self.roster.set(tenant, rest);
            return Ok(());
        }
        let Some(known) = self.roster.get(tenant) else {
            return Ok(());
        };
        let (stop, shutdown) = watch::channel(false);
        member.stop = Some(stop);
        self.roster.set(tenant, State::Running);
        let (config, lake) = (member.config.clone(), member.lake.clone());
        let share = lake.share().clone();
        let watch = self.options.watch.then(|| Watch::new(&config));
        let sandbox = self.sandbox.clone();
        let kafka = self.options.kafka.clone();
        let until_caught_up = self.options.until_caught_up;
        let work = async move {
            let host = run_tenant(
                config,
                lake.clone(),
                sandbox.clone(),
                kafka,
                known.meter,
                until_caught_up,
                shutdown,
            );
            match watch {
                None => host.await,
                Some(watch) => tokio::select! {
                    ended = host => ended,
                    never = watch.follow(lake, sandbox) => match never {},
                },
            }
        };
        let span = tracing::info_span!("run", %tenant);
        let work = async move { share.metered(work.instrument(span)).await };
        let task = self.running.spawn(work);
        self.tidy.begun();
        self.tasks.insert(task.id(), tenant.clone());
        Ok(())
    }

    /// Does what the lake says of the tenants.
    async fn follow(&mut self) {
        self.followed = Instant::now();
        let looks = self.standings.iter_mut().map(async |(lake, standings)| {
            if let Err(error) = follow_in_time(standings).await {
                tracing::warn!(lake, %error, "looking again");
            }
        });
        join_all(looks).await;
        let tenants: Vec<Tenant> = self.members.keys().cloned().collect();
        for tenant in tenants {
            let Some(member) = self.members.get_mut(&tenant) else {
                continue;
            };
            let Some(standings) = self.standings.get(member.lake.uri()) else {
                continue;
            };
            let rest = resting(standings, &tenant);
            let state = self.roster.get(&tenant).map(|known| known.state);
            match (rest, state) {
                (Some(rest), Some(State::Running)) => {
                    tracing::info!(%tenant, "{}: what was taken in is committed first", rest.as_str());
                    member.tell_to_stop();
                    self.roster.set(&tenant, State::Stopping);
                }
                (None, Some(State::Paused { .. } | State::Deleted { .. })) => {
                    tracing::info!(%tenant, "resumed");
                    let config = member.config.clone();
                    if let Err(error) = self.begin(&tenant).await {
                        self.put_off(config, &error);
                    }
                }
                (Some(rest), Some(State::Paused { .. } | State::Stopped { .. })) => {
                    self.roster.set(&tenant, rest);
                }
                _ => {}
            }
        }
    }

    async fn ended(&mut self, ended: Result<(Id, Result<(), RunError>), JoinError>) {
        let (task, why) = match &ended {
            Ok((task, Ok(()))) => (*task, None),
            Ok((task, Err(error))) => (*task, Some(told(error))),
            Err(error) => (error.id(), Some(error.to_string())),
        };
        let Some(tenant) = self.tasks.remove(&task) else {
            return;
        };
        let Some(member) = self.members.get_mut(&tenant) else {
            return;
        };
        let was_told = member.stop.take().is_some_and(|stop| *stop.borrow());
        if let Some(why) = &why {
            self.stopped(&tenant, why);
        }
        let standings = self.members.get(&tenant).and_then(|member| {
            let standings = self.standings.get(member.lake.uri());
            Some((member.leaves, resting(standings?, &tenant)))
        });
        match standings {
            Some((true, _)) => {
                tracing::info!(%tenant, "let go of");
                self.forget(&tenant);
            }
            Some((false, Some(rest))) => {
                tracing::info!(%tenant, "{}", rest.as_str());
                self.roster.set(&tenant, rest);
            }
            // What it was told to stop for is over.
            _ if why.is_none() && was_told && !self.stopping => {
                let begun = self.begin(&tenant).await;
                let config = self
                    .members
                    .get(&tenant)
                    .map(|member| member.config.clone());
                if let (Err(error), Some(config)) = (begun, config) {
                    self.put_off(config, &error);
                }
            }
            _ if why.is_none() => {
                tracing::info!(%tenant, "ended");
                self.roster.set(&tenant, State::Ended);
            }
            _ => {}
        }
    }

    /// A tenant can't go on; the others do.
    fn stopped(&mut self, tenant: &Tenant, reason: &str) {
        tracing::error!(%tenant, "stopped: {reason}");
        self.failed.push(tenant.to_string());
        let reason = reason.to_owned();
        self.roster.set(tenant, State::Stopped { reason });
    }
}

impl Member {
    fn tell_to_stop(&self) {
        if let Some(stop) = &self.stop {
            stop.send_replace(true);
        }
    }
}

#[cfg(test)]
mod tests;
