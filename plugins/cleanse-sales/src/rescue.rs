//! What the event held in another type than its schema says: read here where there is no doubt
//! what was meant.

use std::borrow::Cow;

use assay_rules::json::{self, Value};
use assay_rules::prelude::*;

/// The content of `_rescued`. Most rows have none.
pub(crate) struct Rescued<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Rescued<'a> {
    pub(crate) fn read(text: Option<&'a str>) -> Self {
        match text.map(json::parse) {
            Some(Ok(Value::Object(fields))) => Self(fields),
            _ => Self(Vec::new()),
        }
    }

    fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }

    /// A number, as it was written: as a number, or as text with spaces around it.
    fn number(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Number(number) => Some(number),
            Value::Text(text) => Some(text.trim()),
            _ => None,
        }
    }

    /// A whole number: `"3"`, `" 3 "`, `3.0`; not `"3 pieces"`, not `3.5`.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.number(name)?
            .parse::<Decimal<0>>()
            .ok()
            .map(Decimal::units)
    }

    /// An amount that fits without rounding: `"12.50"`, `12.5`; not `12.505`, not `"€ 12"`.
    pub(crate) fn decimal(&self, name: &str) -> Option<Decimal<2>> {
        self.number(name)?.parse().ok()
    }

    /// An id that came as a whole number.
    pub(crate) fn id(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Number(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some((*number).to_owned())
            }
            _ => None,
        }
    }
}
