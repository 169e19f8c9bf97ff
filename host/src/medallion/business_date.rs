//! The business date and hour of each row, in the zone of its store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use chrono::{DateTime, Offset as _, TimeZone as _};
use chrono_tz::Tz;

use super::rules::Rules;

const MICROS_AN_HOUR: i64 = 3_600_000_000;
const MICROS_A_DAY: i64 = 24 * MICROS_AN_HOUR;
/// Zones change their offset on quarters of an hour of UTC, so one answer holds for a quarter.
const MICROS_A_QUARTER: i64 = MICROS_AN_HOUR / 4;
/// Dates outside of these years are no dates of sales, and break readers of the tables.
const FIRST_DAY: i64 = -25_567; // 1900-01-01
const LAST_DAY: i64 = 2_932_896; // 9999-12-31

/// `sale_date`, `sale_hour`, and the rows that have none.
pub struct BusinessDates {
    pub date: ArrayRef,
    pub hour: ArrayRef,
    pub absent: Vec<usize>,
}

impl BusinessDates {
    /// Makes the date and hour of each row from the event's time.
    ///
    /// # Errors
    /// A zone look-up whose columns do not fit the dimension.
    pub fn make(
        rules: &Rules,
        columns: &BTreeMap<String, ArrayRef>,
        rows: usize,
    ) -> Result<Self, ArrowError> {
        let zones = zones(rules, columns)?;
        let mut clock = Clock::new(&rules.definition.zone);
        let moments = columns.get(&rules.definition.time).cloned();
        let moments = moments
            .as_ref()
            .and_then(|column| column.as_any().downcast_ref::<TimestampMicrosecondArray>());
        let mut dates = Vec::with_capacity(rows);
        let mut hours = Vec::with_capacity(rows);
        let mut absent = Vec::new();
        for row in 0..rows {
            let moment = moments.filter(|m| m.is_valid(row)).map(|m| m.value(row));
            let zone = zones
                .as_ref()
                .filter(|z| z.is_valid(row))
                .map(|z| z.value(row));
            let local = moment.map(|moment| clock.local(moment, zone));
            let day = local.map(|local| local.div_euclid(MICROS_A_DAY));
            let day = day.filter(|day| (FIRST_DAY..=LAST_DAY).contains(day));
            if day.is_none() {
                absent.push(row);
            }
            dates.push(day.and_then(|day| i32::try_from(day).ok()));
            hours.push(local.map(|local| local.rem_euclid(MICROS_A_DAY) / MICROS_AN_HOUR));
        }
        Ok(Self {
            date: Arc::new(Date32Array::from(dates)),
            hour: Arc::new(Int64Array::from(hours)),
            absent,
        })
    }
}

/// The zone that the dimension names for each row.
fn zones(
    rules: &Rules,
    columns: &BTreeMap<String, ArrayRef>,
) -> Result<Option<StringArray>, ArrowError> {
    let Some(from) = &rules.definition.zone_from else {
        return Ok(None);
    };
    let Some(dimension) = rules.dimensions.get(&from.dimension) else {
        return Ok(None);
    };
    let on: Vec<(ArrayRef, &str)> = from
        .on
        .iter()
        .filter_map(|(column, key)| Some((columns.get(column)?.clone(), key.as_str())))
        .collect();
    let found = dimension
        .look_up(
            &on,
            columns.get(&rules.definition.time),
            &[(from.field.as_str(), DataType::Utf8)],
        )
        .map_err(|error| ArrowError::ComputeError(error.to_string()))?;
    let zones = found.fields.into_iter().next().flatten();
    Ok(zones.and_then(|zones| zones.as_any().downcast_ref::<StringArray>().cloned()))
}

/// Local time by zone, remembering what was asked before.
struct Clock {
    default: Tz,
    zones: HashMap<String, Tz, foldhash::fast::RandomState>,
    offsets: HashMap<(Tz, i64), i64, foldhash::fast::RandomState>,
    last: Option<((Tz, i64), i64)>,
}

impl Clock {
    fn new(default: &str) -> Self {
        Self {
            default: default.parse().unwrap_or(Tz::UTC),
            zones: HashMap::default(),
            offsets: HashMap::default(),
            last: None,
        }
    }

    /// Microseconds of local time. A zone that is not known counts as the default.
    fn local(&mut self, moment: i64, zone: Option<&str>) -> i64 {
        let zone = match zone {
            None => self.default,
            Some(name) => match self.zones.get(name) {
                Some(zone) => *zone,
                None => {
                    let zone = name.parse().unwrap_or(self.default);
                    self.zones.insert(name.to_owned(), zone);
                    zone
                }
            },
        };
        let asked = (zone, moment.div_euclid(MICROS_A_QUARTER));
        if let Some((last, offset)) = self.last
            && last == asked
        {
            return moment.saturating_add(offset);
        }
        let offset = *self.offsets.entry(asked).or_insert_with(|| {
            DateTime::from_timestamp_micros(moment).map_or(0, |utc| {
                let offset = zone.offset_from_utc_datetime(&utc.naive_utc()).fix();
                i64::from(offset.local_minus_utc()) * 1_000_000
            })
        });
        self.last = Some((asked, offset));
        moment.saturating_add(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    #[test]
    fn a_sale_before_midnight_utc_is_the_next_day_where_summer_time_holds() {
        let mut clock = Clock::new("Europe/London");
        let day = |clock: &mut Clock, text: &str, zone| {
            clock.local(at(text), zone).div_euclid(MICROS_A_DAY)
        };
        let winter = day(&mut clock, "2025-03-29T23:30:00Z", None);
        let summer = day(&mut clock, "2025-03-30T23:30:00Z", None);
        assert_eq!(summer - winter, 2);
        assert_eq!(
            day(&mut clock, "2025-03-30T23:30:00Z", Some("UTC")) - winter,
            1
        );
        assert_eq!(
            day(&mut clock, "2025-03-30T23:30:00Z", Some("Nowhere/At_All")),
            summer
        );
    }
}
