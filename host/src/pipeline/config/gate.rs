//! `[shadow]`, `[promotion]` and `[rollback]`: how a rule set is looked at before it counts, and how
//! far it may differ from the one that it replaces.

use serde::Deserialize;
use toml::Spanned;

use crate::amount::Amount;
use crate::medallion::gate::Gate;

/// What judges beside the active rule set, for a report.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShadowConfig {
    /// `cpu`: the share of one core that it may have.
    pub cpu: Spanned<f64>,
}

impl Default for ShadowConfig {
    /// With the lowest priority, a twentieth of two cores that are busy, and less.
    fn default() -> Self {
        Self {
            cpu: Spanned::new(0..0, 0.1),
        }
    }
}

/// `[promotion]` and `[rollback]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// `rows`: how many are to be compared.
    rows: Spanned<u64>,
    /// `trapped`: the share of rows that components may fail on.
    trapped: Option<Spanned<f64>>,
    /// `quarantine_change`: by how much the share of rows in quarantine may move.
    quarantine_change: Option<Spanned<f64>>,
    /// `money_change`: by what share of itself a measure may move.
    money_change: Option<Spanned<f64>>,
    /// `money`: those measures, as `daily_sales.net_amount`; every decimal one without it.
    money: Vec<String>,
    /// `cost`: how many times the fuel may be burnt.
    cost: Option<Spanned<f64>>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            rows: Spanned::new(0..0, 10_000),
            trapped: None,
            quarantine_change: None,
            money_change: None,
            money: Vec::new(),
            cost: None,
        }
    }
}

impl GateConfig {
    pub fn gate(&self) -> Gate {
        let exact = |limit: &Option<Spanned<f64>>| {
            let limit = limit.as_ref()?;
            // A float is written as the decimal that it was read from.
            Amount::try_from(limit.get_ref().to_string()).ok()
        };
        Gate {
            rows: *self.rows.get_ref(),
            trapped: exact(&self.trapped),
            quarantine_change: exact(&self.quarantine_change),
            money_change: exact(&self.money_change),
            money: self.money.clone(),
            cost: exact(&self.cost),
        }
    }

    /// What is wrong, and where in the text it stands.
    pub(super) fn check(&self) -> Result<(), (usize, String)> {
        if *self.rows.get_ref() == 0 {
            let problem = "rows = 0 compares nothing: use 1 or more".to_owned();
            return Err((self.rows.span().start, problem));
        }
        for (name, limit) in [
            ("trapped", &self.trapped),
            ("quarantine_change", &self.quarantine_change),
            ("money_change", &self.money_change),
            ("cost", &self.cost),
        ] {
            let Some(limit) = limit else { continue };
            let value = *limit.get_ref();
            if !value.is_finite() || value < 0.0 {
                let problem = format!("{name} = {value} is no limit: use 0 or more, as in 0.01");
                return Err((limit.span().start, problem));
            }
        }
        for (name, share) in [
            ("trapped", &self.trapped),
            ("quarantine_change", &self.quarantine_change),
        ] {
            if let Some(share) = share
                && *share.get_ref() > 1.0
            {
                let value = share.get_ref();
                let problem = format!("{name} = {value} is no share of rows: use at most 1");
                return Err((share.span().start, problem));
            }
        }
        if !self.money.is_empty() && self.money_change.is_none() {
            let problem =
                "money names measures; money_change says how far they may move".to_owned();
            return Err((self.rows.span().start, problem));
        }
        Ok(())
    }
}
