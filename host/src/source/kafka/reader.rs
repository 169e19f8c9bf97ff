//! The thread that polls: messages into chunks, and everything else to where it is met.
//!
//! It waits for no member and for no answer of the cluster, so that the group always finds it alive
//! and nobody waits for another. A rebalance that comes in the middle of one waits its turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

use super::asks::Asks;
use super::group::{Rebalance, Standing};
use super::hub::{Command, Hub};
use super::member::{Leaver, Member};
use super::native::{Client, Failure, What};
use super::trouble::stops;
use super::{Settings, WAITING_BYTES};
use crate::source::SourceError;

/// How long the thread rests at most where something is to be done soon.
const SOON: Duration = Duration::from_millis(5);
/// How long it rests at most; what happens meanwhile wakes it.
const REST: Duration = Duration::from_millis(100);

/// The thread's own state.
pub struct Reader {
    pub(super) client: Arc<Client>,
    pub(super) settings: Arc<Settings>,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) standing: Standing,
    pub(super) rebalances: VecDeque<Rebalance>,
    hub: Arc<Hub>,
    commands: std_mpsc::Receiver<Command>,
    asks: Asks,
    /// Those that wait for the client's end.
    last: Vec<oneshot::Sender<()>>,
    /// Why the client can't go on.
    broken: Option<Broken>,
}

/// Why a client can't go on.
enum Broken {
    Failed(Failure),
    /// The wall clock was set back, by so many seconds.
    SetBack(u64),
}

impl Reader {
    /// Without members yet, by the thread that will run it.
    pub fn new(client: Arc<Client>, hub: Arc<Hub>, commands: std_mpsc::Receiver<Command>) -> Self {
        client.wakes(std::thread::current());
        let settings = hub.settings.clone();
        Self {
            asks: Asks::new(client.clone(), settings.clone()),
            client,
            settings,
            members: BTreeMap::new(),
            standing: Standing::default(),
            rebalances: VecDeque::new(),
            hub,
            commands,
            last: Vec::new(),
            broken: None,
        }
    }

    /// Runs until the last member has left, or the client can't go on.
    pub fn run(mut self) {
        while self.broken.is_none() && !(self.members.is_empty() && self.hub.is_over()) {
            self.listen();
            self.poll();
            self.serve_group();
            if !self.serve_members() {
                std::thread::park_timeout(self.patience());
            }
        }
        self.end();
    }

    fn listen(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Join(joining) => {
                    let (client, settings) = (self.client.clone(), self.settings.clone());
                    if let Some(mut member) = Member::new(joining, client, settings) {
                        // Of one that read the same before it, and left just now.
                        member.held = self.standing.held_of(&member.topics).into_iter().collect();
                        self.members.insert(member.id, member);
                    }
                }
                Command::Restart(id) => {
                    if let Some(member) = self.members.get_mut(&id) {
                        member.restart = true;
                    }
                }
                Command::Close(id) => self.close(id),
                Command::Forsake(by) => self.broken = Some(Broken::SetBack(by)),
            }
        }
    }

    /// A member leaves; its partitions stay where they are until the group has heard of it.
    fn close(&mut self, id: u64) {
        let Some(mut member) = self.members.remove(&id) else {
            return;
        };
        member.halt();
        self.standing.change();
        let finished = member.end().finished;
        if self.members.is_empty() && self.hub.is_over() {
            self.last.push(finished);
        } else {
            let _ = finished.send(());
        }
    }

    /// Takes in what the client says that is nobody's own, and what was asked.
    fn poll(&mut self) {
        let client = self.client.clone();
        while let Some(happened) = client.poll() {
            match happened.what() {
                What::Assign(places) => self.rebalances.push_back(Rebalance::Assign(places)),
                What::Revoke(places) => self.rebalances.push_back(Rebalance::Revoke(places)),
                What::Failure(failure) => self.meet(failure),
                // Of a partition that nobody reads any more.
                What::Message(_) | What::End(..) | What::Nothing => {}
            }
        }
        while let Some((ticket, answer)) = self.asks.answered() {
            let Some(member) = self.members.get_mut(&ticket.member) else {
                continue;
            };
            let was_checked = member.is_checked;
            member.answered(ticket, answer);
            if member.is_checked != was_checked {
                self.standing.change();
            }
        }
    }

    /// A failure of a topic is its reader's; what is nobody's own is everybody's, and the client's
    /// end where that can't go on.
    fn meet(&mut self, failure: Failure) {
        let own = failure.place.as_ref().map(|(topic, _)| topic.as_str());
        if own.is_none() && stops(&failure, &self.settings) {
            self.broken = Some(Broken::Failed(failure));
            return;
        }
        for member in self.members.values_mut() {
            if own.is_none_or(|topic| member.reads(topic)) {
                member.meet(&failure, &mut self.asks);
            }
        }
    }

    /// Gives each member its turn; whether there was something to do.
    fn serve_members(&mut self) -> bool {
        let share = WAITING_BYTES / self.members.len().max(1);
        let mut is_busy = false;
        for member in self.members.values_mut() {
            member.deliver(share);
            member.advance(&mut self.asks, self.standing.takes_from(member.id));
            is_busy |= member.poll(&mut self.asks);
            member.cut();
        }
        is_busy
    }

    fn patience(&self) -> Duration {
        let members = self.members.values().map(Member::patience);
        let unsettled = self.standing.is_unsettled() || !self.rebalances.is_empty();
        members
            .chain(unsettled.then_some(SOON))
            .min()
            .unwrap_or(REST)
            .min(REST)
    }

    /// Ends the client, then says what is still to be said to each.
    fn end(mut self) {
        self.hub.end();
        // Who joined meanwhile is told as well.
        self.listen();
        if let Some(broken) = self.broken.take() {
            for member in self.members.values_mut() {
                match &broken {
                    Broken::Failed(failure) => member.meet(failure, &mut self.asks),
                    Broken::SetBack(by) => {
                        member.stop(None, SourceError::ClockSetBack { by: *by });
                    }
                }
            }
        }
        let members = std::mem::take(&mut self.members);
        let members = members.into_iter().map(|(id, member)| (id, member.end()));
        let mut leavers: BTreeMap<u64, Leaver> = members.collect();
        leavers.values_mut().for_each(Leaver::deliver);
        let (commands, last) = (self.commands, self.last);
        drop((self.asks, self.client));
        for finished in last {
            let _ = finished.send(());
        }
        while !leavers.is_empty() {
            while let Ok(command) = commands.try_recv() {
                if let Command::Close(id) = command
                    && let Some(leaver) = leavers.remove(&id)
                {
                    let _ = leaver.finished.send(());
                }
            }
            leavers.values_mut().for_each(Leaver::deliver);
            std::thread::park_timeout(REST);
        }
    }
}
