//! What all members of a client have in common: the subscription, and the partitions that the group
//! gives for it and takes away.
//!
//! The group is answered at once, also where a member is not ready for what it is given: until that
//! is answered, librdkafka fetches nothing for anybody. So what comes is assigned paused, and flows
//! once its reader has said where to start; only what goes waits, and not for ever, until its reader
//! has landed what it holds.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;

use super::lane::known;
use super::native::{Place, list};
use super::reader::Reader;

/// How long members come and go before the group is told, so that a host with hundreds of tenants
/// does not join its group hundreds of times.
const SETTLE: Duration = Duration::from_millis(50);
/// How long a member may take to land what it holds of what goes, where others wait for it. What
/// comes later is fenced by the tables.
const RELEASE: Duration = Duration::from_secs(3);

/// How long after its first assignment a member looks whether the group knows what it subscribes to:
/// what others have to give back first has come by then.
const SETTLED_IN: Duration = Duration::from_secs(3);

/// What the group wants done.
pub enum Rebalance {
    Assign(Vec<Place>),
    Revoke(Vec<Place>),
}

/// Partitions that go, once their readers have landed what they hold.
pub struct Releasing {
    places: Vec<Place>,
    members: Vec<u64>,
    since: Instant,
}

/// Where the client stands with its group.
#[derive(Default)]
pub struct Standing {
    /// What the group gave.
    held: BTreeSet<Place>,
    /// What it was told to give of.
    subscribed: BTreeSet<String>,
    /// When members came or went and the group was not told yet.
    changed: Option<Instant>,
    releasing: Option<Releasing>,
    /// When the first partitions were given, until it was looked whether they are the right ones.
    joined: Option<Instant>,
    has_joined: bool,
}

impl Standing {
    /// Members came or went.
    pub fn change(&mut self) {
        self.changed.get_or_insert_with(Instant::now);
    }

    /// The group is taking partitions of this member away.
    pub fn takes_from(&self, member: u64) -> bool {
        let releasing = self.releasing.as_ref();
        releasing.is_some_and(|releasing| releasing.members.contains(&member))
    }

    /// Something is to be done soon.
    pub fn is_unsettled(&self) -> bool {
        self.changed.is_some() || self.releasing.is_some()
    }

    /// What the group gave of these topics.
    pub fn held_of(&self, topics: &[String]) -> Vec<Place> {
        let held = self.held.iter();
        held.filter(|(topic, _)| topics.contains(topic))
            .cloned()
            .collect()
    }

    /// Whether the group knows what is subscribed to: each topic has brought partitions, and no
    /// other has.
    fn fits(&self) -> bool {
        let topics: BTreeSet<&String> = self.held.iter().map(|(topic, _)| topic).collect();
        topics.into_iter().eq(&self.subscribed)
    }
}

impl Reader {
    /// Goes a step on with the group.
    pub(super) fn serve_group(&mut self) {
        self.give_back();
        if self.standing.releasing.is_none()
            && let Some(rebalance) = self.rebalances.pop_front()
        {
            match rebalance {
                Rebalance::Assign(places) => self.take(&places),
                Rebalance::Revoke(places) => self.begin_to_release(places),
            }
        }
        self.introduce();
        self.subscribe();
    }

    /// Takes what the group gives, paused.
    fn take(&mut self, places: &[Place]) {
        let consumer = self.client.consumer();
        let known = known(&self.client, places);
        let paused = consumer.pause(&list(places.iter().map(|place| (place, None))));
        // From anywhere: each is moved before it flows.
        let begin = list(places.iter().map(|place| (place, Some(0))));
        let taken = match self.client.is_cooperative() {
            true => consumer.incremental_assign(&begin),
            false => consumer.assign(&begin),
        };
        drop(known);
        self.done("take partitions", paused.and(taken));
        self.standing.held.extend(places.iter().cloned());
        for member in self.members.values_mut() {
            let own = places.iter().filter(|(topic, _)| member.reads(topic));
            member.given(own.cloned().collect());
        }
        if !std::mem::replace(&mut self.standing.has_joined, true) {
            self.standing.joined = Some(Instant::now());
        }
    }

    /// A static member that comes back is given what it had, by what it subscribed to then, and what
    /// is new would wait for the next rebalance, which may never come. So it subscribes anew, once.
    fn introduce(&mut self) {
        let is_due = |joined: Instant| joined.elapsed() >= SETTLED_IN;
        if !self.standing.joined.is_some_and(is_due) || self.is_rebalancing() {
            return;
        }
        self.standing.joined = None;
        if self.settings.is_static() && !self.standing.fits() {
            tracing::debug!("the group may know this member by other topics; it subscribes anew");
            self.client.consumer().unsubscribe();
            self.standing.subscribed.clear();
            self.standing.change();
        }
    }

    fn is_rebalancing(&self) -> bool {
        self.standing.releasing.is_some() || !self.rebalances.is_empty()
    }

    fn begin_to_release(&mut self, places: Vec<Place>) {
        let places = match self.client.is_cooperative() {
            true => places,
            false => self.standing.held.iter().cloned().collect(),
        };
        let mut members = Vec::new();
        for member in self.members.values_mut() {
            if places.iter().any(|place| member.held.contains(place)) {
                member.unsettle();
                members.push(member.id);
            }
        }
        self.standing.releasing = Some(Releasing {
            places,
            members,
            since: Instant::now(),
        });
        self.give_back();
    }

    /// Gives back what goes, once nobody is waited for.
    fn give_back(&mut self) {
        let Some(releasing) = self.standing.releasing.take() else {
            return;
        };
        let mut members = releasing.members.iter();
        let waits =
            members.any(|id| (self.members.get(id)).is_some_and(|member| member.is_releasing()));
        let is_alone = self.members.len() < 2;
        if waits && (is_alone || releasing.since.elapsed() < RELEASE) {
            self.standing.releasing = Some(releasing);
            return;
        }
        let places = &releasing.places;
        let consumer = self.client.consumer();
        let given = match self.client.is_cooperative() {
            true => consumer.incremental_unassign(&list(places.iter().map(|p| (p, None)))),
            false => consumer.unassign(),
        };
        for place in places {
            self.standing.held.remove(place);
            for member in self.members.values_mut() {
                member.held.remove(place);
            }
        }
        self.done("give partitions back", given);
    }

    /// Tells the group which topics are read, where these are others than before.
    fn subscribe(&mut self) {
        let settled = self
            .standing
            .changed
            .is_some_and(|at| at.elapsed() >= SETTLE);
        if !settled || self.is_rebalancing() {
            return;
        }
        self.standing.changed = None;
        let members = self.members.values().filter(|member| member.is_checked);
        let wanted: BTreeSet<String> = members.flat_map(|m| m.topics.clone()).collect();
        if wanted == self.standing.subscribed {
            return;
        }
        let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let consumer = self.client.consumer();
        let told = match names.is_empty() {
            true => {
                consumer.unsubscribe();
                Ok(())
            }
            false => consumer.subscribe(&names),
        };
        match &told {
            Ok(()) => {
                self.standing.subscribed = wanted;
                if self.standing.has_joined {
                    // From this the group knows it by all of its topics.
                    self.standing.joined = None;
                }
            }
            Err(_) => self.standing.change(),
        }
        self.done("subscribe", told);
        // A group may have nothing to say to a member that it gives nothing.
        for member in self.members.values_mut().filter(|member| member.epoch == 0) {
            member.given(Vec::new());
        }
    }

    fn done(&mut self, what: &str, result: KafkaResult<()>) {
        let Err(error) = result else { return };
        for member in self.members.values_mut() {
            let event = member
                .trouble
                .degraded(format!("could not {what}: {error}"));
            member.tell(event);
        }
    }
}
