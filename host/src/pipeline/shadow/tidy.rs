//! What becomes of old reports: those of a set that may still be promoted, or judges, stay; of the
//! others, the last ones.

use std::collections::BTreeSet;

use super::report::{folder, reports};
use crate::lake::{Lake, LakeError};
use crate::names::{RuleSetNumber, Tenant};
use crate::ruleset::{Registry, State};

/// Sets that are over and whose reports stay: what somebody may still want to look up.
const KEPT: usize = 10;

/// Which sets are over: they judged once, or could not be taken up.
pub(super) struct Over {
    /// Of the sets that the tenant has, those that are not.
    others: BTreeSet<RuleSetNumber>,
    /// The number that its next one will have.
    next: RuleSetNumber,
}

impl Over {
    pub(super) fn of(registry: &Registry) -> Self {
        let over = |set: &&_| matches!(registry.state(set), State::Retired | State::Failed);
        let others = registry.sets().filter(|set| !over(set));
        Self {
            others: others.map(|set| set.number).collect(),
            next: registry.next(),
        }
    }

    fn holds(&self, number: RuleSetNumber) -> bool {
        number < self.next && !self.others.contains(&number)
    }
}

/// Removes what sets that are over were found to do, but for the last of them.
pub(super) async fn tidy(lake: Lake, tenant: Tenant, over: Over) {
    if let Err(error) = remove(&lake, &tenant, &over).await {
        tracing::warn!(%error, "old reports of shadows are not removed; it is tried again as the next shadow begins");
    }
}

async fn remove(lake: &Lake, tenant: &Tenant, over: &Over) -> Result<(), LakeError> {
    let folders = lake.list_folders(&reports(tenant)).await?;
    let numbers = folders.iter().filter_map(|name| name.parse().ok());
    let mut old: Vec<RuleSetNumber> = numbers.map(RuleSetNumber).collect();
    old.retain(|number| over.holds(*number));
    old.sort_unstable();
    old.truncate(old.len().saturating_sub(KEPT));
    for number in old {
        lake.remove_folder(&folder(tenant, number)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::{Coverage, Report, Shadow};
    use super::*;
    use crate::medallion::compare::Comparison;
    use crate::medallion::definition::Definition;
    use crate::pipeline::config::Config;
    use crate::pipeline::meter::Meter;
    use crate::plugin::{Compiler, Sandbox};
    use crate::ruleset::{Cause, Who};

    const TOML: &str = "version = 1\ntenant = \"north\"\n[source]\nkind = \"file\"\npath = \"events\"\n\
        [event.fields]\ntransaction_id = \"string\"\ntimestamp = \"timestamp\"\n";

    fn definition(most: usize) -> Definition {
        Definition {
            max_columns: Some(most),
            ..Definition::without_rules(Vec::new())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn as_a_shadow_begins_the_reports_of_sets_that_are_over_go_but_for_the_last_ones() {
        let lake = Lake::open("memory:///").unwrap();
        let config = Config::parse(TOML, Path::new("north.toml")).unwrap();
        let sandbox = Sandbox::new(Compiler::Within).unwrap();
        let mut registry = Registry::open(&lake, &config.tenant, sandbox)
            .await
            .unwrap();
        let who = Who {
            by: "ann".to_owned(),
            why: "a test".to_owned(),
        };
        let waits = registry.stage(&definition(1_000), &who, 1).await.unwrap();
        let mut judged = Vec::new();
        for most in 0..15 {
            let of = registry.stage(&definition(most), &who, 2).await.unwrap();
            let cause = Cause::Promotion { of };
            let number = registry.activate(&definition(most), cause, &who, 3).await;
            number.unwrap().unwrap();
            judged.push(of);
        }
        let unknown = RuleSetNumber(77_777);
        for number in judged.iter().copied().chain([waits, unknown]) {
            let report = Report {
                number,
                against: RuleSetNumber(1),
                since: 0,
                until: 0,
                coverage: Coverage::default(),
                comparison: Comparison::default(),
            };
            report.write(&lake, &config.tenant, "a-host").await.unwrap();
        }
        let held = async || {
            let folders = lake.list_folders(&reports(&config.tenant)).await.unwrap();
            let numbers = folders
                .iter()
                .map(|name| RuleSetNumber(name.parse().unwrap()));
            numbers.collect::<BTreeSet<_>>()
        };
        assert_eq!(held().await.len(), 17);

        registry.note_shadow(waits, true, &who, 4).await.unwrap();
        let active = registry.active().unwrap();
        let rules = registry.rules(active).await.unwrap();
        let mut shadow = Shadow::new(&lake, &config, Arc::new(Meter::default()));
        // The last one of them judges; of the fourteen before it the last ten stay.
        let mut wanted: BTreeSet<RuleSetNumber> = judged.iter().skip(4).copied().collect();
        wanted.extend([waits, unknown]);
        for _ in 0..600 {
            shadow.follow(&mut registry, &rules).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if held().await == wanted {
                break;
            }
        }
        assert_eq!(held().await, wanted);
        shadow.end().await;
    }
}
