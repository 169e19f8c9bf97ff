//! How a tenant does, for the page and for scripts: what its meter shows, as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::health::readiness;
use crate::names::{RuleSetNumber, Tenant};
use crate::pipeline::answers;
use crate::pipeline::host::Known;
use crate::pipeline::meter::Seen;

/// How a tenant does on this host. Counts are since the host began with it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    #[schema(value_type = String)]
    pub tenant: Tenant,
    /// `running`, `stopping`, `paused`, `deleted`, `stopped` or `ended`.
    pub state: &'static str,
    pub ready: bool,
    /// Why it is not ready, or what is amiss though it is.
    pub reason: Option<String>,
    /// How long this host counts for it, in seconds.
    pub seconds: f64,
    pub rows: Rows,
    /// Payload that went to bronze, in bytes.
    pub bytes: u64,
    pub batches: u64,
    /// Rows in quarantine, by step and first rule.
    pub quarantine: Vec<Refused>,
    /// Commits of gold tables.
    pub gold: BTreeMap<String, u64>,
    /// From a message's arrival at the broker to its commit in silver, of the oldest of each of the
    /// last batches; absent before the first.
    pub latency: Option<Latency>,
    /// Positions of the source past bronze, by topic and partition: messages of Kafka, bytes of
    /// files.
    pub lag: Vec<Lag>,
    /// Partitions that this host reads.
    pub partitions: Option<usize>,
    /// The rule set that judges what comes now.
    pub ruleset: Option<i64>,
    /// The last changes of the rule sets, the oldest first.
    #[schema(value_type = Vec<Object>)]
    pub history: Vec<Value>,
    /// What this host found of the rule set that judges beside the active one, since that began
    /// here; absent where none does, or none was looked at yet.
    pub shadow: Option<Shadow>,
    pub components: Vec<Component>,
    /// Memory of the duplicates index, about, in bytes.
    pub dedup_bytes: usize,
    pub usage: Usage,
    pub quota: Quota,
}

/// What a tenant used.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    /// CPU time that the host spent on it, but for its Kafka client and compiling.
    pub cpu_seconds: f64,
    /// Time that its work waited for a core while other tenants had it.
    pub cpu_wait_seconds: f64,
    /// Fuel of its components, about one unit an instruction.
    pub fuel: u64,
    /// Bytes of the live files of bronze, quarantine, silver and gold.
    pub lake_bytes: u64,
    /// Time that nothing was taken in because more came than `rows_per_second`.
    pub slowed_seconds: f64,
}

/// What `[quota]` says; what is absent has no limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Quota {
    pub cpu_share: u32,
    pub rows_per_second: Option<u64>,
    pub lake_bytes: Option<u64>,
}

/// Rows that were committed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rows {
    pub bronze: u64,
    pub silver: u64,
    pub quarantine: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Refused {
    pub step: String,
    pub rule: String,
    pub rows: u64,
}

/// In milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Latency {
    pub p50: u64,
    pub p99: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Lag {
    pub topic: String,
    pub partition: i32,
    pub behind: i64,
}

/// What another rule set would do. `GET …/rules/{number}/report` tells all of it, of all hosts.
#[derive(Debug, Serialize, ToSchema)]
pub struct Shadow {
    #[schema(value_type = i64)]
    pub number: RuleSetNumber,
    #[schema(value_type = i64)]
    pub against: RuleSetNumber,
    /// Rows that were compared.
    pub rows: u64,
    /// Those of them whose end, step or rule is another.
    pub changed: u64,
    /// Messages that there was no time for.
    pub messages_left_out: u64,
    pub money: Vec<Money>,
}

/// A measure of gold that is money, over the rows that were compared. Amounts are texts, to the cent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Money {
    /// As `daily_sales.net_amount`.
    pub measure: String,
    pub before: String,
    pub after: String,
    pub difference: String,
}

/// What a component used.
#[derive(Debug, Serialize, ToSchema)]
pub struct Component {
    pub step: String,
    pub name: String,
    pub calls: u64,
    pub fuel: u64,
    pub cpu_seconds: f64,
}

impl Status {
    pub fn of(tenant: Tenant, known: &Known) -> Self {
        let counts = known.meter.counts();
        let (ready, reason) = readiness(known);
        let mut latencies = counts.latencies;
        latencies.sort_unstable();
        let at = |share: usize| {
            let place = latencies.len().saturating_sub(1) * share / 100;
            latencies.get(place).copied()
        };
        let standing = counts.standing;
        Self {
            tenant,
            state: known.state.as_str(),
            ready,
            reason,
            seconds: counts.since.elapsed().as_secs_f64(),
            rows: Rows {
                bronze: counts.bronze,
                silver: counts.silver,
                quarantine: counts.refused.values().sum(),
            },
            bytes: counts.bytes,
            batches: counts.batches,
            quarantine: counts
                .refused
                .into_iter()
                .map(|((step, rule), rows)| Refused { step, rule, rows })
                .collect(),
            gold: counts.gold,
            latency: at(50).zip(at(99)).map(|(p50, p99)| Latency { p50, p99 }),
            lag: standing
                .lag
                .into_iter()
                .map(|(partition, behind)| Lag {
                    topic: partition.topic.to_string(),
                    partition: partition.number,
                    behind,
                })
                .collect(),
            usage: Usage {
                cpu_seconds: known.lake.share().used().as_secs_f64(),
                cpu_wait_seconds: known.lake.share().waited().as_secs_f64(),
                fuel: counts.used.values().map(|usage| usage.fuel).sum(),
                lake_bytes: standing.lake_bytes,
                slowed_seconds: counts.slowed.as_secs_f64(),
            },
            quota: Quota {
                cpu_share: counts.quota.cpu_share,
                rows_per_second: counts.quota.rows_per_second,
                lake_bytes: counts.quota.lake_bytes,
            },
            partitions: standing.partitions,
            ruleset: standing.ruleset,
            shadow: standing.shadow.map(Shadow::of),
            history: standing.history.iter().map(answers::change).collect(),
            components: counts
                .used
                .into_iter()
                .map(|((step, name), usage)| Component {
                    step,
                    name,
                    calls: usage.calls,
                    fuel: usage.fuel,
                    cpu_seconds: usage.cpu.as_secs_f64(),
                })
                .collect(),
            dedup_bytes: standing.dedup_bytes,
        }
    }
}

impl Shadow {
    fn of(seen: Seen) -> Self {
        let money = seen.money.into_iter();
        Self {
            number: seen.number,
            against: seen.against,
            rows: seen.rows,
            changed: seen.changed,
            messages_left_out: seen.messages_left_out,
            money: money
                .map(|(measure, sums)| Money {
                    measure,
                    before: sums.before.to_string(),
                    after: sums.after.to_string(),
                    difference: sums.difference().to_string(),
                })
                .collect(),
        }
    }
}
