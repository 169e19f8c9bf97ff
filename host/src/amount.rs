//! Exact sums: whole units of a power of ten.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `units / 10^scale`. Written as text, so that no reader makes a float of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount {
    units: i128,
    scale: u8,
}

impl Amount {
    pub fn new(units: i128, scale: u8) -> Self {
        Self { units, scale }
    }

    /// Nothing, or nothing left.
    pub fn is_zero(self) -> bool {
        self.units == 0
    }

    /// The sum, with the finer scale of the two. Past 38 digits it stays at the largest that can be.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let scale = self.scale.max(other.scale);
        Self {
            units: self.at(scale).saturating_add(other.at(scale)),
            scale,
        }
    }

    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(Self {
            units: other.units.saturating_neg(),
            scale: other.scale,
        })
    }

    /// For ratios and orders; the sum itself is never taken from it.
    pub fn about(self) -> f64 {
        self.units as f64 / 10_f64.powi(i32::from(self.scale))
    }

    fn at(self, scale: u8) -> i128 {
        let more = u32::from(scale.saturating_sub(self.scale));
        let factor = 10_i128.checked_pow(more).unwrap_or(i128::MAX);
        self.units.saturating_mul(factor)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::from(self.scale);
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = scale + 1);
        let (whole, part) = digits.split_at(digits.len() - scale);
        let text = match part {
            "" => whole.to_owned(),
            part => format!("{whole}.{part}"),
        };
        f.pad_integral(self.units >= 0, "", &text)
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

impl TryFrom<String> for Amount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let scale = text.split_once('.').map_or(0, |(_, part)| part.len());
        let units = text.replacen('.', "", 1).parse();
        match (units, u8::try_from(scale)) {
            (Ok(units), Ok(scale)) => Ok(Self { units, scale }),
            _ => Err(format!("{text:?} is no amount")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_exact_and_reads_as_it_is_written() {
        for (units, scale, text) in [
            (0, 0, "0"),
            (-5, 2, "-0.05"),
            (1_250, 2, "12.50"),
            (7, 0, "7"),
        ] {
            let amount = Amount::new(units, scale);
            assert_eq!(amount.to_string(), text);
            assert_eq!(Amount::try_from(text.to_owned()), Ok(amount));
        }
        let third = Amount::new(1, 3);
        assert_eq!(Amount::new(10, 1).plus(third), Amount::new(1_001, 3));
        assert_eq!(
            Amount::new(1, 2).minus(Amount::new(1, 2)).to_string(),
            "0.00"
        );
        assert!(Amount::try_from("1.2.3".to_owned()).is_err());
    }
}
