//! What a component says of itself, as owned values that were checked: names that are safe as
//! columns, no duplicates, keys among what is read.

use std::collections::BTreeSet;
use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};

use super::bindings::assay::rules::types as wit;
use super::{PluginError, Step};
use crate::names::check_name;

/// Digits of a decimal whose units fit in the 64 bits that rules count with.
const DECIMAL_DIGITS: u8 = 18;

/// Digits that the units of a decimal in 64 bits may have.
const SUM_DIGITS: u8 = 19;

/// More columns, rules or look-ups than anyone writes by hand are a mistake, or malice.
const MOST_ITEMS: usize = 1_000;

/// Bytes of a column's name.
const LONGEST_NAME: usize = 128;

/// What a component reads and makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    /// Of a component that cleanses, validates or enriches.
    Rows(RowDescription),
    /// Of a component that aggregates.
    Groups(GroupDescription),
}

/// A component that works row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDescription {
    pub reads: Vec<Field>,
    pub look_ups: Vec<LookUp>,
    pub writes: Vec<Field>,
    pub rules: Vec<Rule>,
}

/// A component that makes a gold table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub reads: Vec<Field>,
    /// Names among `reads`, at least one.
    pub keys: Vec<String>,
    pub state: Vec<Field>,
    pub measures: Vec<Field>,
}

/// A column by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
    /// In `reads` and look-ups: the configuration is refused where there is no such column.
    pub required: bool,
}

/// Fields that the host joins to each row from a dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookUp {
    pub dimension: String,
    /// Pairs of a column of the row and a key column of the dimension.
    pub on: Vec<(String, String)>,
    /// The timestamp column that decides which version holds; absent: the event's time.
    pub as_of: Option<String>,
    pub fields: Vec<Field>,
}

/// One named check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub name: String,
    pub description: String,
    pub action: Action,
}

/// What becomes of a row that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Warn,
    Drop,
    Quarantine,
    Fail,
}

/// What kind of value a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Integer,
    Float,
    /// With so many decimals.
    Decimal(u8),
    Text,
    Binary,
    Timestamp,
    Date,
}

impl Action {
    /// As the SDK and the tables spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Drop => "drop",
            Self::Quarantine => "quarantine",
            Self::Fail => "fail",
        }
    }
}

impl Kind {
    /// The type of a column of this kind that comes back from a component. Decimals have 18
    /// digits: what 64 bits of units can hold.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Decimal(scale) => {
                DataType::Decimal128(DECIMAL_DIGITS, i8::try_from(scale).unwrap_or(i8::MAX))
            }
            Self::Text => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
        }
    }

    /// The type of a column of this kind among a group's state and measures: a sum may have all of
    /// the contract's 64 bits.
    pub fn summed(self) -> DataType {
        match self.arrow() {
            DataType::Decimal128(_, scale) => DataType::Decimal128(SUM_DIGITS, scale),
            other => other,
        }
    }

    /// Whether a column of `held` can be lent to a component that reads this kind. A decimal with
    /// fewer decimals, of whatever precision, can: it is widened.
    pub fn accepts(self, held: &DataType) -> bool {
        match (self, held) {
            (Self::Decimal(scale), DataType::Decimal128(_, decimals)) => {
                u8::try_from(*decimals).is_ok_and(|decimals| decimals <= scale)
            }
            (Self::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, _)) => true,
            _ => self.arrow() == *held,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Decimal(scale) => return write!(f, "decimal({scale})"),
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
        })
    }
}

impl RowDescription {
    /// How many columns a call is given: those read, then each look-up's fields and its `found`.
    pub fn columns(&self) -> usize {
        let joined: usize = self.look_ups.iter().map(|l| l.fields.len() + 1).sum();
        self.reads.len() + joined
    }

    /// The kinds of the columns that a call is given, in their order.
    pub fn kinds(&self) -> Vec<Kind> {
        let joined = self.look_ups.iter().flat_map(|look_up| {
            let fields = look_up.fields.iter().map(|field| field.kind);
            fields.chain([Kind::Boolean])
        });
        self.reads
            .iter()
            .map(|field| field.kind)
            .chain(joined)
            .collect()
    }

    /// # Errors
    /// The first thing that is wrong with it, for the component's author.
    pub(super) fn check(step: Step, said: wit::RowDescription) -> Result<Self, PluginError> {
        let made = Self {
            reads: said.reads.into_iter().map(Field::from).collect(),
            look_ups: said.look_ups.into_iter().map(LookUp::from).collect(),
            writes: said.writes.into_iter().map(Field::from).collect(),
            rules: said.rules.into_iter().map(Rule::from).collect(),
        };
        made.problem(step).map_or(Ok(made), |problem| {
            Err(PluginError::Description { problem })
        })
    }

    fn problem(&self, step: Step) -> Option<String> {
        if step == Step::Validate && !self.writes.is_empty() {
            return Some("a component that validates writes no columns".into());
        }
        bad_columns("reads", &self.reads, false)
            .or_else(|| bad_columns("writes", &self.writes, true))
            .or_else(|| self.bad_look_up())
            .or_else(|| self.bad_rule())
    }

    fn bad_look_up(&self) -> Option<String> {
        if let Some(problem) = too_many("look-ups", self.look_ups.len()) {
            return Some(problem);
        }
        let mut known = BTreeSet::new();
        for look_up in &self.look_ups {
            let name = &look_up.dimension;
            if let Err(error) = check_name(name, "dimension") {
                return Some(format!("in look-ups: {error}"));
            }
            if look_up.on.is_empty() {
                return Some(format!("the look-up in {name} says no key columns in `on`"));
            }
            let list = format!("look-up in {name}");
            if let Some(problem) = bad_columns(&list, &look_up.fields, false) {
                return Some(problem);
            }
            for (column, _) in &look_up.on {
                if column.contains('.') && !known.contains(column) {
                    return Some(format!(
                        "the look-up in {name} uses {column}, which no look-up before it makes"
                    ));
                }
            }
            known.extend(look_up.fields.iter().map(|f| format!("{name}.{}", f.name)));
        }
        None
    }

    fn bad_rule(&self) -> Option<String> {
        let mut known = BTreeSet::new();
        for rule in &self.rules {
            let name = &rule.name;
            let snake = name
                .chars()
                .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'));
            if !snake || check_name(name, "rule").is_err() {
                return Some(format!(
                    "{name:?} is no name for a rule: use 1 to 63 of a-z, 0-9 and `_`, beginning with a letter"
                ));
            }
            if !known.insert(name) {
                return Some(format!("two rules are called {name}"));
            }
        }
        too_many("rules", self.rules.len())
    }
}

impl GroupDescription {
    /// # Errors
    /// The first thing that is wrong with it, for the component's author.
    pub(super) fn check(said: wit::GroupDescription) -> Result<Self, PluginError> {
        let made = Self {
            reads: said.reads.into_iter().map(Field::from).collect(),
            keys: said.keys,
            state: said.state.into_iter().map(Field::from).collect(),
            measures: said.measures.into_iter().map(Field::from).collect(),
        };
        made.problem().map_or(Ok(made), |problem| {
            Err(PluginError::Description { problem })
        })
    }

    fn problem(&self) -> Option<String> {
        bad_columns("reads", &self.reads, false)
            .or_else(|| bad_columns("state", &self.state, true))
            .or_else(|| bad_columns("measures", &self.measures, true))
            .or_else(|| self.bad_key())
    }

    fn bad_key(&self) -> Option<String> {
        if self.keys.is_empty() || self.state.is_empty() || self.measures.is_empty() {
            return Some("keys, state and measures need one item at least".into());
        }
        let mut known = BTreeSet::new();
        for key in &self.keys {
            if !self.reads.iter().any(|field| field.name == *key) {
                return Some(format!("the key {key} is not among the columns in reads"));
            }
            if !known.insert(key) {
                return Some(format!("the key {key} stands twice in keys"));
            }
            if self.measures.iter().any(|field| field.name == *key) {
                return Some(format!(
                    "{key} is a key and a measure; the gold table has one of them"
                ));
            }
        }
        None
    }
}

/// What is wrong with a list of columns. Columns that a component makes must be plain names.
fn bad_columns(list: &str, fields: &[Field], made: bool) -> Option<String> {
    let mut known = BTreeSet::new();
    for Field { name, kind, .. } in fields {
        let fits = !name.is_empty() && name.len() <= LONGEST_NAME;
        if !fits || name.chars().any(char::is_control) {
            return Some(format!(
                "{list}: {name:?} is no name for a column: use 1 to {LONGEST_NAME} bytes of text"
            ));
        }
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if made && !(plain && name.starts_with(|c: char| c.is_ascii_alphabetic())) {
            return Some(format!(
                "{list}: {name:?} is no name for a new column: use letters, digits and `_`, beginning with a letter"
            ));
        }
        if !known.insert(name.to_ascii_lowercase()) {
            return Some(format!(
                "{list}: {name} stands there twice (upper and lower case are one)"
            ));
        }
        if matches!(kind, Kind::Decimal(scale) if *scale > DECIMAL_DIGITS) {
            return Some(format!(
                "{list}: {name} is {kind}; a decimal has {DECIMAL_DIGITS} decimals at most"
            ));
        }
    }
    too_many(list, fields.len())
}

fn too_many(list: &str, count: usize) -> Option<String> {
    (count > MOST_ITEMS)
        .then(|| format!("{list}: {count} are more than the {MOST_ITEMS} there may be"))
}

impl From<wit::Field> for Field {
    fn from(said: wit::Field) -> Self {
        Self {
            name: said.name,
            kind: match said.kind {
                wit::Kind::Boolean => Kind::Boolean,
                wit::Kind::Integer => Kind::Integer,
                wit::Kind::Float => Kind::Float,
                wit::Kind::Decimal(scale) => Kind::Decimal(scale),
                wit::Kind::Text => Kind::Text,
                wit::Kind::Binary => Kind::Binary,
                wit::Kind::Timestamp => Kind::Timestamp,
                wit::Kind::Date => Kind::Date,
            },
            required: said.required,
        }
    }
}

impl From<wit::LookUp> for LookUp {
    fn from(said: wit::LookUp) -> Self {
        Self {
            dimension: said.dimension,
            on: said.on,
            as_of: said.as_of,
            fields: said.fields.into_iter().map(Field::from).collect(),
        }
    }
}

impl From<wit::Rule> for Rule {
    fn from(said: wit::Rule) -> Self {
        Self {
            name: said.name,
            description: said.description,
            action: match said.action {
                wit::Action::Warn => Action::Warn,
                wit::Action::Drop => Action::Drop,
                wit::Action::Quarantine => Action::Quarantine,
                wit::Action::Fail => Action::Fail,
            },
        }
    }
}
