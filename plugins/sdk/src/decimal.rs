//! Exact decimals. Nothing here is ever a float; what does not divide evenly is rounded half away
//! from zero, as a till does; what does not fit 64 bits is `None`, never something else.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A decimal number with `SCALE` digits after the point: `Decimal<2>` is money in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal<const SCALE: u8> {
    units: i64,
}

impl<const SCALE: u8> Decimal<SCALE> {
    /// No amount at all.
    pub const ZERO: Self = Self { units: 0 };

    /// From a number of the smallest unit: `Decimal::<2>::of_units(250)` is 2.50.
    pub const fn of_units(units: i64) -> Self {
        Self { units }
    }

    /// How many of the smallest unit: cents, where the scale is 2.
    pub const fn units(self) -> i64 {
        self.units
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.units < 0
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.units == 0
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.units.checked_add(other.units).map(Self::of_units)
    }

    /// The difference.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.units.checked_sub(other.units).map(Self::of_units)
    }

    /// This, so many times over. Exact.
    pub fn times(self, count: i64) -> Option<Self> {
        multiplied(self.units, count).map(Self::of_units)
    }

    /// This times another decimal, rounded to this one's scale: a price times a rate.
    pub fn times_rate<const OTHER: u8>(self, rate: Decimal<OTHER>) -> Option<Self> {
        self.product(rate.units, u32::from(OTHER))
    }

    /// So many percent of this: 10 percent of 0.25 is 0.03.
    pub fn percent<const OTHER: u8>(self, percent: Decimal<OTHER>) -> Option<Self> {
        self.product(percent.units, u32::from(OTHER) + 2)
    }

    /// This divided by another decimal, rounded to this one's scale: an average, or a price without
    /// the tax that it includes. `None` where the other is zero, too.
    pub fn divided_by<const OTHER: u8>(self, divisor: Decimal<OTHER>) -> Option<Self> {
        let scaled = i128::from(self.units).checked_mul(10_i128.checked_pow(OTHER.into())?)?;
        let divisor = i128::from(divisor.units);
        rounded(scaled * divisor.signum(), divisor.abs()).map(Self::of_units)
    }

    /// The same amount with another number of decimals.
    pub fn rescale<const OTHER: u8>(self) -> Option<Decimal<OTHER>> {
        let (from, to) = (u32::from(SCALE), u32::from(OTHER));
        let units = if to >= from {
            self.units.checked_mul(10_i64.checked_pow(to - from)?)?
        } else {
            rounded(i128::from(self.units), 10_i128.checked_pow(from - to)?)?
        };
        Some(Decimal { units })
    }

    fn product(self, units: i64, decimals: u32) -> Option<Self> {
        // In all but odd cases 64 bits are enough, and to divide those is much quicker.
        if let (Some(product), Some(divisor)) =
            (multiplied(self.units, units), power_of_ten(decimals))
            && let Some(units) = rounded_quickly(product, divisor)
        {
            return Some(Self { units });
        }
        let product = i128::from(self.units) * i128::from(units);
        let units = rounded(product, 10_i128.checked_pow(decimals)?)?;
        Some(Self { units })
    }
}

/// `a * b`. To find an overflow of 64 bits takes WebAssembly a product of 128, which two numbers of
/// 32 bits are spared.
fn multiplied(a: i64, b: i64) -> Option<i64> {
    match (i32::try_from(a), i32::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i64::from(a) * i64::from(b)),
        _ => a.checked_mul(b),
    }
}

/// 10 to that power, as far as 64 bits hold it.
fn power_of_ten(exponent: u32) -> Option<i64> {
    const POWERS: [i64; 10] = [
        1,
        10,
        100,
        1_000,
        10_000,
        100_000,
        1_000_000,
        10_000_000,
        100_000_000,
        1_000_000_000,
    ];
    match POWERS.get(usize::try_from(exponent).ok()?) {
        Some(power) => Some(*power),
        None => 10_i64.checked_pow(exponent),
    }
}

/// `value / divisor`, rounded half away from zero. `None` where 64 bits are too few for a step.
fn rounded_quickly(value: i64, divisor: i64) -> Option<i64> {
    let half = divisor / 2;
    let moved = if value < 0 {
        value.checked_sub(half)
    } else {
        value.checked_add(half)
    };
    moved?.checked_div(divisor)
}

/// `value / divisor`, rounded half away from zero. `None` where the answer needs over 64 bits.
fn rounded(value: i128, divisor: i128) -> Option<i64> {
    let half = divisor / 2;
    let moved = if value < 0 {
        value.checked_sub(half)
    } else {
        value.checked_add(half)
    };
    i64::try_from(moved?.checked_div(divisor)?).ok()
}

impl<const SCALE: u8> fmt::Display for Decimal<SCALE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.units < 0 {
            f.write_str("-")?;
        }
        let units = self.units.unsigned_abs();
        match 10_u64.checked_pow(u32::from(SCALE)) {
            Some(1) => write!(f, "{units}"),
            Some(one) => {
                write!(
                    f,
                    "{}.{:0>width$}",
                    units / one,
                    units % one,
                    width = usize::from(SCALE)
                )
            }
            // A scale past what 64 bits can hold: all digits are decimals.
            None => write!(f, "0.{units:0>width$}", width = usize::from(SCALE)),
        }
    }
}

/// A text that is no decimal of the wanted scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDecimal {
    text: String,
    scale: u8,
}

impl fmt::Display for BadDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, scale } = self;
        write!(
            f,
            "{text:?} is no decimal number with at most {scale} digits after the point"
        )
    }
}

impl std::error::Error for BadDecimal {}

impl<const SCALE: u8> FromStr for Decimal<SCALE> {
    type Err = BadDecimal;

    /// Reads `-12.5`. Digits past the scale must be zeros: reading never rounds.
    fn from_str(text: &str) -> Result<Self, BadDecimal> {
        parse_units(text, SCALE)
            .map(Self::of_units)
            .ok_or_else(|| BadDecimal {
                text: text.to_owned(),
                scale: SCALE,
            })
    }
}

/// The units of a decimal text. `None` if it is none, or needs a larger scale or over 64 bits.
pub(crate) fn parse_units(text: &str, scale: u8) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if whole.is_empty() || fraction.is_empty() {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = usize::from(scale).checked_sub(fraction.len())?;
    let mut units: i64 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(byte - b'0');
        // Counted downwards, so that the lowest number of 64 bits can be read too.
        units = units.checked_mul(10)?.checked_sub(digit)?;
    }
    units = units.checked_mul(10_i64.checked_pow(u32::try_from(missing).ok()?)?)?;
    if negative {
        Some(units)
    } else {
        units.checked_neg()
    }
}

/// In params: a number, or a text such as `"0.10"`; exact either way.
impl<'de, const SCALE: u8> Deserialize<'de> for Decimal<SCALE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DecimalVisitor)
    }
}

struct DecimalVisitor<const SCALE: u8>;

impl<const SCALE: u8> Visitor<'_> for DecimalVisitor<SCALE> {
    type Value = Decimal<SCALE>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number with at most {SCALE} decimals")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Decimal<2> {
        text.parse().unwrap()
    }

    #[test]
    fn a_text_is_read_to_the_unit_and_written_back() {
        for text in [
            "0.00",
            "2.50",
            "-0.01",
            "92233720368547758.07",
            "-92233720368547758.08",
        ] {
            assert_eq!(money(text).to_string(), text);
        }
        assert_eq!(money("12").units(), 1200);
        assert_eq!(money("12.5000").units(), 1250);
        assert_eq!(money("-7.3").units(), -730);
        assert_eq!("12".parse::<Decimal<0>>().unwrap().to_string(), "12");
        assert_eq!(
            "0.0000".parse::<Decimal<4>>().unwrap().to_string(),
            "0.0000"
        );
    }

    #[test]
    fn what_is_no_decimal_of_the_scale_is_refused_not_rounded() {
        let bad = [
            "",
            "-",
            ".",
            ".5",
            "5.",
            "1e3",
            "1,5",
            " 1",
            "+1",
            "0.001",
            "--1",
            "92233720368547758.08",
        ];
        for text in bad {
            assert!(text.parse::<Decimal<2>>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_half_is_rounded_away_from_zero() {
        let ten = Decimal::<0>::of_units(10);
        for (amount, expected) in [
            ("0.25", "0.03"),
            ("-0.25", "-0.03"),
            ("0.24", "0.02"),
            ("-0.24", "-0.02"),
            ("0.00", "0.00"),
        ] {
            assert_eq!(
                money(amount).percent(ten),
                Some(money(expected)),
                "{amount}"
            );
        }
        assert_eq!(
            "2.5".parse::<Decimal<1>>().unwrap().rescale::<0>(),
            Some(Decimal::of_units(3))
        );
        assert_eq!(
            "-2.5".parse::<Decimal<1>>().unwrap().rescale::<0>(),
            Some(Decimal::of_units(-3))
        );
        assert_eq!(
            "2.4".parse::<Decimal<1>>().unwrap().rescale::<3>(),
            Some(Decimal::of_units(2400))
        );
    }

    #[test]
    fn a_quotient_is_rounded_half_away_from_zero_whatever_the_signs() {
        let by = |amount: &str, divisor: &str| {
            let divisor: Decimal<4> = divisor.parse().unwrap();
            money(amount).divided_by(divisor).map(|m| m.to_string())
        };
        for (amount, divisor, expected) in [
            ("10.00", "3", "3.33"),
            ("20.00", "3", "6.67"),
            ("0.05", "2", "0.03"),
            ("-0.05", "2", "-0.03"),
            ("0.05", "-2", "-0.03"),
            ("-0.05", "-2", "0.03"),
            ("0.04", "9", "0.00"),
            ("119.00", "1.19", "100.00"),
            ("0.00", "7", "0.00"),
        ] {
            let found = by(amount, divisor);
            assert_eq!(found.as_deref(), Some(expected), "{amount} / {divisor}");
        }
        assert_eq!(by("1.00", "0"), None);
        assert_eq!(by("92233720368547758.07", "0.5"), None);
        assert_eq!(
            by("92233720368547758.07", "1").as_deref(),
            Some("92233720368547758.07")
        );
        let least = Decimal::<2>::of_units(i64::MIN);
        assert_eq!(least.divided_by(Decimal::<0>::of_units(-1)), None);
        assert_eq!(least.divided_by(Decimal::<0>::of_units(1)), Some(least));
    }

    #[test]
    fn the_quick_way_and_the_wide_way_agree() {
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let amount = (seed >> 20) as i64 % 1_000_000_007 - 500_000_000;
            let rate = (seed >> 7) as i64 % 20_001 - 10_000;
            let wide = rounded(i128::from(amount) * i128::from(rate), 10_000);
            assert_eq!(
                Decimal::<2>::of_units(amount)
                    .percent(Decimal::<2>::of_units(rate))
                    .map(Decimal::units),
                wide
            );
        }
    }

    #[test]
    fn an_intermediate_product_may_need_more_than_64_bits() {
        let most = Decimal::<2>::of_units(i64::MAX);
        assert_eq!(most.percent(Decimal::<2>::of_units(10_000)), Some(most));
        assert_eq!(most.percent(Decimal::<2>::of_units(10_001)), None);
        assert_eq!(
            Decimal::<2>::of_units(i64::MIN).percent(Decimal::<0>::of_units(100)),
            Some(Decimal::of_units(i64::MIN))
        );
    }

    #[test]
    fn what_does_not_fit_is_none() {
        let most = Decimal::<2>::of_units(i64::MAX);
        assert_eq!(most.plus(Decimal::of_units(1)), None);
        assert_eq!(
            Decimal::<2>::of_units(i64::MIN).minus(Decimal::of_units(1)),
            None
        );
        assert_eq!(most.times(2), None);
        assert_eq!(most.rescale::<3>(), None);
    }
}
