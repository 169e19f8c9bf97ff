//! Numbers from their own text. Nothing here passes through a float, so money stays exact.

use std::borrow::Cow;

/// The longest spelling that stays as plain digits in [`canonical`]; an exponent can ask for
/// millions of zeros.
const LONGEST_PLAIN: usize = 64;

/// The most digits that an `i128` surely holds.
const MOST_DIGITS: usize = 38;

const POWERS: [u64; 19] = powers();

const fn powers() -> [u64; 19] {
    let mut powers = [1; 19];
    let mut n = 1;
    while n < powers.len() {
        #[expect(clippy::indexing_slicing, reason = "n is between 1 and the length")]
        {
            powers[n] = powers[n - 1] * 10;
        }
        n += 1;
    }
    powers
}

/// The number times 10^`scale`, if that is a whole number of at most 38 digits. `None` also for
/// what is no JSON number (leading zeros are let pass).
pub fn scaled(text: &str, scale: u8) -> Option<i128> {
    short(text.as_bytes(), scale).or_else(|| Parts::of(text)?.scaled(scale))
}

/// [`scaled`] for at most 18 digits without an exponent, which is nearly every number.
fn short(text: &[u8], scale: u8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.len() > 19 {
        return None;
    }
    let (mut units, mut count, mut point) = (0_u64, 0_usize, None);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            units = units.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        } else if *byte == b'.' && point.is_none() && count > 0 {
            point = Some(count);
        } else {
            return None;
        }
    }
    let decimals = count - point.unwrap_or(count);
    if count == 0 || count > 18 || (point.is_some() && decimals == 0) {
        return None;
    }
    let missing = usize::from(scale).checked_sub(decimals)?;
    let units = i128::from(units) * i128::from(*POWERS.get(missing)?);
    Some(if negative { -units } else { units })
}

/// The one spelling of a number: `12.50`, `12.5` and `1250e-2` are all `12.5`. What is no number
/// comes back as it is.
pub fn canonical(text: &str) -> Cow<'_, str> {
    let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if text.len() > LONGEST_PLAIN || !text.as_bytes().iter().all(plain) {
        return match Parts::of(text) {
            Some(parts) => Cow::Owned(parts.spell()),
            None => Cow::Borrowed(text),
        };
    }
    let short = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    };
    Cow::Borrowed(if short == "-0" { "0" } else { short })
}

/// Whether the number was written as a whole one: without a fraction or an exponent.
pub fn is_whole(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// digits × 10^exponent, the digits without zeros at either end; zero has none.
struct Parts {
    negative: bool,
    digits: Vec<u8>,
    exponent: i128,
}

impl Parts {
    fn of(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let mut digits = [whole.as_bytes(), fraction.as_bytes()].concat();
        if whole.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut exponent = exponent - i128::try_from(fraction.len()).ok()?;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent += 1;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        Some(Self {
            negative: negative && !digits.is_empty(),
            digits,
            exponent,
        })
    }

    fn scaled(&self, scale: u8) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let zeros = usize::try_from(self.exponent + i128::from(scale)).ok()?;
        if zeros.checked_add(self.digits.len())? > MOST_DIGITS {
            return None;
        }
        let mut units = self
            .digits
            .iter()
            .fold(0_i128, |units, digit| units * 10 + i128::from(digit - b'0'));
        for _ in 0..zeros {
            units *= 10;
        }
        Some(if self.negative { -units } else { units })
    }

    fn spell(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digits = String::from_utf8_lossy(&self.digits);
        if digits.is_empty() {
            return "0".into();
        }
        let count = i128::try_from(digits.len()).unwrap_or(i128::MAX);
        let point = count.saturating_add(self.exponent);
        let longest = i128::try_from(LONGEST_PLAIN - sign.len()).unwrap_or_default();
        if self.exponent >= 0 && point <= longest {
            let width = usize::try_from(point).unwrap_or_default();
            return format!("{sign}{digits:0<width$}");
        }
        if self.exponent < 0 && point > 0 && count < longest {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or_default());
            return format!("{sign}{whole}.{fraction}");
        }
        if self.exponent < 0 && point <= 0 && 2 - point + count <= longest {
            let zeros = "0".repeat(usize::try_from(-point).unwrap_or_default());
            return format!("{sign}0.{zeros}{digits}");
        }
        format!("{sign}{digits}e{}", self.exponent)
    }
}

/// `None` where it is no exponent, or so long that adding to it could overflow.
fn read_exponent(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.is_empty() || digits.len() > MOST_DIGITS - 2 {
        return None;
    }
    let mut exponent = 0_i128;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        exponent = exponent * 10 + i128::from(digit - b'0');
    }
    Some(if negative { -exponent } else { exponent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_read_to_the_cent_however_it_is_spelled() {
        for (text, cents) in [
            ("12.5", 1250),
            ("12.50", 1250),
            ("12.500", 1250),
            ("1250e-2", 1250),
            ("0.125E+2", 1250),
            ("-0.01", -1),
            ("0", 0),
            ("-0.00", 0),
            ("0e99999999999999999999999999", 0),
            ("9999999999999999.99", 999_999_999_999_999_999),
        ] {
            assert_eq!(scaled(text, 2), Some(cents), "{text}");
        }
    }

    #[test]
    fn what_would_have_to_be_rounded_or_is_no_number_is_refused() {
        for text in [
            "0.005",
            "1e-3",
            "1e40",
            "1e999999999999999999999999999999999999999999",
            "",
            "-",
            ".5",
            "5.",
            "1.2.3",
            "+1",
            "1e",
            "1e+",
            "NaN",
            "1_0",
            " 1",
            "e5",
            "1.e5",
            "--1",
            "٣",
        ] {
            assert_eq!(scaled(text, 2), None, "{text:?}");
        }
        assert_eq!(scaled(&format!("1.{}", "0".repeat(100)), 2), Some(100));
        assert_eq!(scaled("170141183460469231731687303715884105728", 0), None);
    }

    #[test]
    fn equal_numbers_have_one_spelling() {
        for (spelling, texts) in [
            (
                "12.5",
                vec!["12.5", "12.50", "1250e-2", "0.0125e3", "1.25E1"],
            ),
            ("0", vec!["0", "-0", "0.0", "-0.000", "0e7", "0E-7"]),
            ("100", vec!["100", "1e2", "100.0", "1000e-1"]),
            ("-0.001", vec!["-0.001", "-1e-3", "-0.0010"]),
            ("1e100", vec!["1e100", "10e99", "0.1e101"]),
        ] {
            for text in texts {
                assert_eq!(canonical(text), spelling, "{text}");
            }
        }
        let hundred = format!("1{}", "0".repeat(100));
        assert_eq!(canonical(&hundred), "1e100");
        assert_eq!(canonical(&format!("{hundred}.0")), "1e100");
    }

    #[test]
    fn the_border_between_plain_digits_and_an_exponent_is_one_for_all_spellings() {
        for zeros in 50..80 {
            for sign in ["", "-"] {
                let plain = format!("{sign}7{}", "0".repeat(zeros));
                assert_eq!(canonical(&plain), canonical(&format!("{sign}7e{zeros}")));
                let small = format!("{sign}0.{}7", "0".repeat(zeros));
                let exponent = zeros + 1;
                assert_eq!(
                    canonical(&small),
                    canonical(&format!("{sign}7e-{exponent}"))
                );
                let long = format!("{sign}1.{}7", "3".repeat(zeros));
                assert_eq!(canonical(&long), canonical(&format!("{long}0e0")), "{long}");
            }
        }
    }
}
