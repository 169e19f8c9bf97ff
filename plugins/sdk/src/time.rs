//! Moments and days, as the host hands them over. There is no clock: "now" is the column `_now`.

use std::fmt;

const DAY: i64 = 86_400_000_000;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    micros: i64,
}

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z.
    pub const fn of_micros(micros: i64) -> Self {
        Self { micros }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> i64 {
        self.micros
    }

    /// How many whole seconds this lies after `earlier`; below zero if it lies before.
    pub const fn seconds_after(self, earlier: Self) -> i64 {
        self.micros.saturating_sub(earlier.micros) / 1_000_000
    }
}

/// A day: days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    days: i32,
}

impl Date {
    /// From days since 1970-01-01.
    pub const fn of_days(days: i32) -> Self {
        Self { days }
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.days
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(i64::from(self.days));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.micros.div_euclid(DAY));
        let of_day = self.micros.rem_euclid(DAY);
        let seconds = of_day / 1_000_000;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        match of_day % 1_000_000 {
            0 => f.write_str("Z"),
            micros if micros % 1000 == 0 => write!(f, ".{:03}Z", micros / 1000),
            micros => write!(f, ".{micros:06}Z"),
        }
    }
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar. Counts
/// from a first of March, so that a leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The number of days since 1970-01-01.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_is_named_and_found_again() {
        let mut last = (0, 0, 0);
        for days in days_of(1600, 1, 1)..days_of(2400, 1, 1) {
            let (year, month, day) = civil(days);
            assert!((year, month, day) > last);
            assert_eq!(days_of(year, month, day), days);
            last = (year, month, day);
        }
        assert_eq!(last, (2399, 12, 31));
    }

    #[test]
    fn a_moment_is_written_as_rfc_3339() {
        assert_eq!(Timestamp::of_micros(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(
            Timestamp::of_micros(-1).to_string(),
            "1969-12-31T23:59:59.999999Z"
        );
        let leap = days_of(2024, 2, 29) * DAY + 45_296_789_000;
        assert_eq!(
            Timestamp::of_micros(leap).to_string(),
            "2024-02-29T12:34:56.789Z"
        );
        assert_eq!(Date::of_days(-1).to_string(), "1969-12-31");
    }
}
