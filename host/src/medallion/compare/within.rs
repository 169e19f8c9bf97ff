//! Whether what was found is within a gate.

use super::Comparison;
use crate::amount::Amount;
use crate::medallion::gate::Gate;

/// What goes past the gate's limits, a sentence each. How many rows there are is not asked here.
pub fn exceeded(gate: &Gate, found: &Comparison) -> Vec<String> {
    let mut said = Vec::new();
    let percent = |share: f64| {
        format!("{:.4}", share * 100.0)
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
            + " %"
    };
    let allowed = |limit: Amount| format!("{} allowed", percent(limit.about()));
    if let Some(limit) = gate.trapped
        && found.trapped_share() > limit.about()
    {
        said.push(format!(
            "components fail on {} of the rows ({})",
            percent(found.trapped_share()),
            allowed(limit)
        ));
    }
    if let Some(limit) = gate.quarantine_change
        && found.quarantine_change().abs() > limit.about()
    {
        let change = found.quarantine_change();
        let (more, before, after) = (
            if change > 0.0 { "more" } else { "fewer" },
            found.before.quarantine,
            found.after.quarantine,
        );
        said.push(format!(
            "{} of the rows {more} end in quarantine, {before} -> {after} ({})",
            percent(change.abs()),
            allowed(limit)
        ));
    }
    if let Some(limit) = gate.money_change {
        let asked = |name: &String| gate.money.is_empty() || gate.money.contains(name);
        for (name, sums) in found.money().filter(|(name, _)| asked(name)) {
            if sums.change() > limit.about() {
                said.push(format!(
                    "{name} changes by {}, {} -> {} ({})",
                    percent(sums.change()),
                    sums.before,
                    sums.after,
                    allowed(limit)
                ));
            }
        }
    }
    if let Some(limit) = gate.cost
        && found.fuel_ratio() > limit.about()
    {
        said.push(format!(
            "components burn {:.2} times the fuel ({limit} allowed)",
            found.fuel_ratio()
        ));
    }
    said
}
