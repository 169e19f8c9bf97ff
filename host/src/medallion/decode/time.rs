//! Timestamps as RFC 3339 and dates as `YYYY-MM-DD`, by hand: every event has one.

const SECONDS_A_DAY: i64 = 86_400;

/// Microseconds since 1970 in UTC. What is finer than a microsecond is cut off. A leap second is
/// the first moment of the next minute.
pub fn timestamp(text: &str) -> Option<i64> {
    let (head, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        m0,
        m1,
        b'-',
        d0,
        d1,
        b'T' | b't' | b' ',
        tail @ ..,
    ] = *head
    else {
        return None;
    };
    let [h0, h1, b':', n0, n1, b':', s0, s1] = tail else {
        return None;
    };
    let days = days([y0, y1, y2, y3], [m0, m1], [d0, d1])?;
    let (hour, minute, second) = (two(h0, h1)?, two(n0, n1)?, two(s0, s1)?);
    if hour > 23 || minute > 59 || second > 59 && !(second == 60 && minute == 59) {
        return None;
    }
    let (micros, zone) = fraction(rest)?;
    let seconds = i64::from(days) * SECONDS_A_DAY + hour * 3600 + minute * 60 + second;
    Some((seconds - offset(zone)?) * 1_000_000 + micros)
}

/// Days since 1970.
pub fn date(text: &str) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text.as_bytes() else {
        return None;
    };
    days([y0, y1, y2, y3], [m0, m1], [d0, d1])
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// The microseconds of a fraction, if there is one, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = digits.split_at_checked(count)?;
    let mut micros = 0;
    for place in 0..6 {
        let digit = digits.get(place).map_or(0, |byte| byte - b'0');
        micros = micros * 10 + i64::from(digit);
    }
    (count > 0).then_some((micros, rest))
}

/// How far a zone is ahead of UTC, in seconds.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, h0, h1, m0, m1) = match *zone {
        [b'Z' | b'z'] => return Some(0),
        [b'+', h0, h1, b':', m0, m1] => (1, h0, h1, m0, m1),
        [b'-', h0, h1, b':', m0, m1] => (-1, h0, h1, m0, m1),
        _ => return None,
    };
    let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days(year: [u8; 4], month: [u8; 2], day: [u8; 2]) -> Option<i32> {
    let [y0, y1, y2, y3] = year;
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let [m0, m1] = month;
    let [d0, d1] = day;
    let (month, day) = (two(m0, m1)?, two(d0, d1)?);
    if !(1..=12).contains(&month) || day < 1 || day > length(year, month) {
        return None;
    }
    // The year begins in March here, so that the leap day is its last.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    i32::try_from(days).ok()
}

fn length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration, NaiveDate};

    use super::*;

    #[test]
    fn moments_are_what_chrono_says_they_are() {
        for text in [
            "2025-03-01T00:00:00.123Z",
            "2025-03-01T00:00:00+01:00",
            "2024-02-29T23:59:59.999999-11:30",
            "1969-12-31T23:59:59.5Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2000-02-29 12:00:00Z",
            "1900-03-01t12:00:00z",
        ] {
            let expected = DateTime::parse_from_rfc3339(text).unwrap();
            assert_eq!(timestamp(text), Some(expected.timestamp_micros()), "{text}");
        }
        assert_eq!(timestamp("1970-01-01T00:00:00.1234569Z"), Some(123_456));
        assert_eq!(
            timestamp("2016-12-31T23:59:60Z"),
            timestamp("2017-01-01T00:00:00Z")
        );
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "not-a-date",
            "2025-13-45T99:00:00Z",
            "03/01/2025 10:00",
            "2025-03-01T10:00:00",
            "2025-03-01T10:00Z",
            "2025-03-01T10:00:00.Z",
            "2025-03-01T10:00:00+0100",
            "2025-03-01T10:00:00+24:00",
            "2025-03-01T24:00:00Z",
            "2025-03-01T10:00:60Z",
            "2025-02-29T10:00:00Z",
            "1900-02-29T10:00:00Z",
            "2025-03-01T10:00:00Zé",
            "+025-03-01T10:00:00Z",
            "2025-03-01",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn every_date_of_four_centuries_is_read() {
        let first = NaiveDate::from_ymd_opt(1799, 12, 25).unwrap();
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for n in 0..150_000 {
            let day = first + Duration::days(n);
            let expected = i32::try_from((day - epoch).num_days()).unwrap();
            assert_eq!(date(&day.to_string()), Some(expected));
        }
        for bad in [
            "2025-02-29",
            "2025-00-01",
            "2025-1-01",
            "2025-01-00",
            "2025-01-01 ",
            "",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }
}
