//! How long partitions wait for their commits, from the times in bronze's own log.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::place::Place;

/// A restart that took longer than what was left would look quick.
const ROOM: Duration = Duration::from_secs(12);

/// When bronze took something in, partition by partition.
pub struct Waits {
    commits: BTreeMap<String, Vec<SystemTime>>,
    /// When no more was produced.
    end: SystemTime,
}

/// What bronze's log says, up to when no more was produced.
pub fn of(place: &Place, end: SystemTime) -> Waits {
    let log = place.lake().join("retail/bronze/_delta_log");
    let files = fs::read_dir(log).unwrap().map(|file| file.unwrap().path());
    let mut versions: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .collect();
    versions.sort();
    let mut commits: BTreeMap<String, Vec<SystemTime>> = BTreeMap::new();
    for version in versions {
        let text = fs::read_to_string(version).unwrap();
        let actions: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let time = actions
            .iter()
            .find_map(|action| action["commitInfo"]["timestamp"].as_u64());
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(time.unwrap());
        let moved = actions
            .iter()
            .filter_map(|action| action["txn"]["appId"].as_str());
        for app_id in moved.filter(|app_id| !app_id.ends_with("/start")) {
            commits.entry(app_id.to_owned()).or_default().push(time);
        }
    }
    Waits { commits, end }
}

impl Waits {
    /// The longest that a partition went without a commit while messages came, and which partition,
    /// from when on.
    pub fn longest(&self) -> (Duration, String) {
        let waits = self.commits.iter().flat_map(|(app_id, times)| {
            let times = times.iter().copied().filter(|time| *time < self.end);
            let times: Vec<_> = times.chain([self.end]).collect();
            let between = times.windows(2);
            let between = between.map(|pair| (since(pair[1], pair[0]), app_id, pair[0]));
            between.collect::<Vec<_>>()
        });
        let longest = waits.max_by_key(|(wait, ..)| *wait);
        longest.map_or_else(Default::default, |(wait, app_id, from)| {
            let from = since(from, SystemTime::UNIX_EPOCH).as_secs();
            (
                wait,
                format!("{app_id} waited {wait:?} from second {from} on"),
            )
        })
    }

    /// For each of these moments, how long it was until the first partition had a commit, and until
    /// every partition had had one. Moments behind which less than `room` was left are left out.
    fn until(&self, moments: &[SystemTime], room: Duration) -> [Vec<Duration>; 2] {
        let early = moments.iter().filter(|moment| **moment + room < self.end);
        let (mut first, mut all) = (Vec::new(), Vec::new());
        for moment in early {
            let next = self.commits.values().map(|times| {
                let after = times.iter().find(|time| *time > moment);
                since(after.copied().unwrap_or(self.end), *moment)
            });
            first.extend(next.clone().min());
            all.extend(next.max());
        }
        first.sort();
        all.sort();
        [first, all]
    }

    /// Within which there was a commit after 99 of 100 restarts.
    pub fn first_commit(&self, restarts: &[SystemTime]) -> Duration {
        let [first, _] = self.until(restarts, ROOM);
        part(&first, 99)
    }

    /// In words, with the time that restarts took until every partition had its next commit.
    pub fn told(&self, restarts: &[SystemTime]) -> String {
        let (longest, _) = self.longest();
        let longest = format!("the longest wait of a partition was {longest:?}");
        let [first, all] = self.until(restarts, ROOM);
        if all.is_empty() {
            return longest;
        }
        format!(
            "after {} restarts the first commit came within {}, and every partition had one within {}; {longest}",
            all.len(),
            parts(&first),
            parts(&all)
        )
    }
}

/// Half of these, which are in order, nearly all of them, and the longest.
fn parts(waits: &[Duration]) -> String {
    let [half, most, all] = [50, 99, 100].map(|share| part(waits, share));
    format!("p50 {half:?}, p99 {most:?}, at most {all:?}")
}

/// The longest of so many of a hundred of these, which are in order.
fn part(waits: &[Duration], share: usize) -> Duration {
    let index = (waits.len() * share).div_ceil(100).saturating_sub(1);
    waits.get(index).copied().unwrap_or_default()
}

fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}
