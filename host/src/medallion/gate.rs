//! How far a rule set may differ from the one that it takes over from. Part of the set that is
//! replaced, so that no change can drop its own gate.

use serde::{Deserialize, Serialize};

use crate::amount::Amount;

/// Limits on what another rule set may change. What has none may change as it likes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// How many rows are to be compared.
    pub rows: u64,
    /// The share of rows that its components can't be got over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trapped: Option<Amount>,
    /// By how much the share of rows in quarantine may move, up or down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_change: Option<Amount>,
    /// By what share of itself a measure of money may move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money_change: Option<Amount>,
    /// The measures that this is about, as `daily_sales.net_amount`; every decimal one, if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub money: Vec<String>,
    /// How many times the fuel it may burn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Amount>,
}
