//! Who comes next: weighted fair queueing over what each has had.
//!
//! Each account has paid for the CPU time that it had, divided by its weight. The one that waits and
//! has paid least comes next. One that comes back after a pause begins where those are who are being
//! served, so that resting saves nothing up, and is served at once by whoever has had more. Nothing
//! here waits, or looks at a clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The weight of who says nothing.
pub const USUAL_WEIGHT: u32 = 100;

/// What a turn counts for before it is known, in nanoseconds: as long as one goes on before others
/// may come first. So one who has several turns at a time pays for them while they last.
const FORESEEN: u64 = 10_000_000;

/// Who may have turns, and who has them. `W` is what wakes one who waits.
pub struct Queue<W> {
    free: usize,
    accounts: BTreeMap<u64, Account<W>>,
    /// What the last one who was served had paid.
    level: u64,
    /// Counts those who began to wait: of two who have paid the same the first comes first.
    arrivals: u64,
    next: u64,
    waiting: usize,
}

struct Account<W> {
    weight: u32,
    /// CPU time in nanoseconds, as one of the usual weight would have paid it.
    paid: u64,
    turns: u64,
    waits: VecDeque<(u64, W)>,
}

impl<W> Account<W> {
    fn price(&self, time: u64) -> u64 {
        let price = u128::from(time) * u128::from(USUAL_WEIGHT) / u128::from(self.weight.max(1));
        u64::try_from(price).unwrap_or(u64::MAX)
    }

    /// What counts where turns are given out: with what those are foreseen to take that it has.
    fn owed(&self, turns: u64) -> u64 {
        let foreseen = self.price(FORESEEN.saturating_mul(turns));
        self.paid.saturating_add(foreseen)
    }
}

impl<W> Queue<W> {
    /// A queue for so many turns at a time.
    pub fn new(turns: usize) -> Self {
        Self {
            free: turns,
            accounts: BTreeMap::new(),
            level: 0,
            arrivals: 0,
            next: 0,
            waiting: 0,
        }
    }

    /// Opens an account. Answers with its number.
    pub fn open(&mut self) -> u64 {
        self.next += 1;
        let account = Account {
            weight: USUAL_WEIGHT,
            paid: self.level,
            turns: 0,
            waits: VecDeque::new(),
        };
        self.accounts.insert(self.next, account);
        self.next
    }

    /// Closes an account. Nobody may have a turn of it, or wait for one.
    pub fn close(&mut self, number: u64) {
        if let Some(account) = self.accounts.remove(&number) {
            self.waiting -= account.waits.len();
        }
    }

    pub fn weigh(&mut self, number: u64, weight: u32) {
        if let Some(account) = self.accounts.get_mut(&number) {
            account.weight = weight;
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// A turn, if one is free. Where one is, nobody waits.
    pub fn take(&mut self, number: u64) -> bool {
        if self.free == 0 {
            return false;
        }
        self.free -= 1;
        self.come(number);
        self.serve(number);
        true
    }

    /// Waits for a turn, behind the account's others.
    pub fn wait(&mut self, number: u64, wake: W) {
        self.come(number);
        self.arrivals += 1;
        if let Some(account) = self.accounts.get_mut(&number) {
            account.waits.push_back((self.arrivals, wake));
            self.waiting += 1;
        }
    }

    /// Pays for time that a turn had.
    pub fn pay(&mut self, number: u64, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(account) = self.accounts.get_mut(&number) {
            account.paid = account.paid.saturating_add(account.price(time));
        }
    }

    /// Gives a turn back, which was paid for. Answers with who has it now: the account, and what
    /// wakes the one who waited.
    pub fn give_back(&mut self, number: u64) -> Option<(u64, W)> {
        if let Some(account) = self.accounts.get_mut(&number) {
            account.turns = account.turns.saturating_sub(1);
        }
        self.free += 1;
        let next = self.first()?;
        self.free -= 1;
        self.pop(next)
    }

    /// Gives a turn that was paid for to who comes before its account, if anybody does. Who had it
    /// then waits for another, before the account's others, and is woken by `wake`.
    pub fn pass_on(&mut self, number: u64, wake: impl FnOnce() -> W) -> Option<(u64, W)> {
        let next = self.first()?;
        let account = self.accounts.get(&number)?;
        let own = account.owed(account.turns.saturating_sub(1));
        let other = self.accounts.get(&next)?;
        if next == number || other.owed(other.turns) >= own {
            return None;
        }
        self.arrivals += 1;
        if let Some(account) = self.accounts.get_mut(&number) {
            account.turns = account.turns.saturating_sub(1);
            account.waits.push_front((self.arrivals, wake()));
            self.waiting += 1;
        }
        self.pop(next)
    }

    /// One that had nothing to do begins where the others are.
    fn come(&mut self, number: u64) {
        let level = self.level;
        if let Some(account) = self.accounts.get_mut(&number)
            && account.turns == 0
            && account.waits.is_empty()
        {
            account.paid = account.paid.max(level);
        }
    }

    fn serve(&mut self, number: u64) {
        if let Some(account) = self.accounts.get_mut(&number) {
            account.turns += 1;
            self.level = self.level.max(account.paid);
        }
    }

    /// The account that comes next of those who wait.
    fn first(&self) -> Option<u64> {
        let waiting = self.accounts.iter().filter_map(|(number, account)| {
            let (arrival, _) = account.waits.front()?;
            Some(((account.owed(account.turns), *arrival), *number))
        });
        waiting.min().map(|(_, number)| number)
    }

    fn pop(&mut self, number: u64) -> Option<(u64, W)> {
        let (_, wake) = self.accounts.get_mut(&number)?.waits.pop_front()?;
        self.waiting -= 1;
        self.serve(number);
        Some((number, wake))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    /// A machine of some cores on which each account has so many jobs that never end; the time that
    /// each had after so many ticks.
    fn run(cores: usize, jobs: &[(u32, usize)], ticks: usize) -> Vec<usize> {
        let mut queue: Queue<usize> = Queue::new(cores);
        let numbers: Vec<u64> = jobs.iter().map(|_| queue.open()).collect();
        let mut running = Vec::new();
        for (who, (weight, count)) in jobs.iter().enumerate() {
            queue.weigh(numbers[who], *weight);
            for _ in 0..*count {
                match queue.take(numbers[who]) {
                    true => running.push(who),
                    false => queue.wait(numbers[who], who),
                }
            }
        }
        let mut had = vec![0; jobs.len()];
        for _ in 0..ticks {
            for who in &mut running {
                had[*who] += 1;
                queue.pay(numbers[*who], TICK);
                let before = *who;
                if let Some((_, next)) = queue.pass_on(numbers[before], || before) {
                    *who = next;
                }
            }
        }
        had
    }

    #[test]
    fn who_wants_more_at_once_gets_no_more_than_who_wants_one_thing() {
        // One floods with eight jobs, the others have one each: all wait for the same two cores.
        let had = run(2, &[(100, 8), (100, 1), (100, 1), (100, 1)], 4_000);
        for time in &had {
            assert!((1_900..=2_100).contains(time), "{had:?}");
        }
    }

    #[test]
    fn weights_are_shares_and_a_lone_one_has_all_cores() {
        let had = run(1, &[(300, 1), (100, 4)], 4_000);
        assert!((2_950..=3_050).contains(&had[0]), "{had:?}");
        assert_eq!(run(2, &[(1, 2), (100, 0)], 1_000), [2_000, 0]);
    }

    #[test]
    fn who_comes_seldom_is_served_by_the_first_that_passes_its_turn_on() {
        let mut queue: Queue<&str> = Queue::new(2);
        let [loops, floods, good] = [queue.open(), queue.open(), queue.open()];
        assert!(queue.take(loops) && queue.take(floods));
        queue.wait(floods, "floods");
        for round in 0..1_000 {
            queue.pay(loops, TICK);
            queue.pay(floods, TICK);
            queue.pass_on(loops, || "loops");
            if round % 100 == 99 {
                queue.wait(good, "good");
                queue.pay(loops, TICK);
                let served = queue.pass_on(loops, || "loops");
                assert_eq!(served, Some((good, "good")), "in round {round}");
                queue.pay(good, TICK / 2);
                assert!(queue.give_back(good).is_some());
            }
        }
    }

    #[test]
    fn a_rest_saves_nothing_up() {
        let mut queue: Queue<&str> = Queue::new(1);
        let [busy, rests] = [queue.open(), queue.open()];
        assert!(queue.take(busy));
        queue.pay(busy, Duration::from_secs(3_600));
        queue.give_back(busy);
        assert!(queue.take(busy));
        queue.wait(rests, "rests");
        queue.pay(busy, TICK);
        assert_eq!(queue.pass_on(busy, || "busy"), Some((rests, "rests")));
        // It has slept for an hour, and may now have as much as the other had since, not an hour.
        queue.pay(rests, TICK * 3);
        assert_eq!(queue.pass_on(rests, || "rests"), Some((busy, "busy")));
    }

    #[test]
    fn who_is_gone_holds_up_nobody() {
        let mut queue: Queue<&str> = Queue::new(1);
        let [one, gone, other] = [queue.open(), queue.open(), queue.open()];
        assert!(queue.take(one));
        queue.wait(gone, "gone");
        queue.wait(other, "other");
        queue.close(gone);
        assert_eq!(queue.waiting(), 1);
        assert_eq!(queue.give_back(one), Some((other, "other")));
        assert_eq!(queue.give_back(other), None);
        assert!(queue.take(one));
    }
}
