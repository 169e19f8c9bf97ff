//! Rows that an author wrote, as the columns of a batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, RecordBatch, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null, take};
use arrow::datatypes::DataType;

use super::setting::{Setting, field_type};
use super::{Subject, TrialError};
use crate::medallion::business_date::BusinessDates;
use crate::medallion::cut::Cut;
use crate::medallion::decode::{Decoded, Decoder, EventSchema, RESCUED, Unknown};
use crate::medallion::judge::later;
use crate::medallion::rules::{Rules, SALE_DATE, SALE_HOUR, timestamp_type};
use crate::plugin::Kind;
use crate::schema::NamedType;

/// When rows that say nothing of their time are heard of: 2025-01-01T00:00:00Z.
const NO_TIME: i64 = 1_735_689_600_000_000;

/// The host's own moments. A row may state them; else they are the event's time.
pub(super) const MOMENTS: [&str; 2] = ["_now", "_ingested_at"];

/// Rows as columns, with what was written for each.
pub struct Rows {
    pub(super) columns: BTreeMap<String, ArrayRef>,
    /// What each row came of, as it was written.
    pub texts: Vec<String>,
    /// Where each row came from, if it was a table.
    pub(super) places: Vec<String>,
    /// The place of each among the rows that were read, where some of those are left out. It rises.
    pub(super) numbers: Vec<usize>,
}

/// A message that is no JSON object, or breaks a limit of the decoder's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Its place among the rows that were read.
    pub row: usize,
    /// The line of a file, counted from 1.
    pub line: usize,
    pub problem: String,
    /// What was written, as far as it is text.
    pub text: String,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// These rows, over and over until there are `count`.
    ///
    /// # Errors
    /// There are no rows.
    pub fn repeated(&self, count: usize) -> Result<Self, TrialError> {
        let rows = (0..count).map(|row| row.checked_rem(self.len()));
        let rows: Vec<u32> = rows.filter_map(|row| u32::try_from(row?).ok()).collect();
        Ok(Self {
            numbers: (0..rows.len()).collect(),
            places: Vec::new(),
            ..self.picked(&rows)?
        })
    }

    /// Some of these rows.
    pub(super) fn picked(&self, rows: &[u32]) -> Result<Self, TrialError> {
        let places = UInt32Array::from_iter_values(rows.iter().copied());
        let mut columns = BTreeMap::new();
        for (name, column) in &self.columns {
            columns.insert(name.clone(), take(column, &places, None)?);
        }
        Ok(Self {
            columns,
            texts: picked(&self.texts, rows),
            places: picked(&self.places, rows),
            numbers: picked(&self.numbers, rows),
        })
    }

    /// What was written for the row of this number.
    pub fn text(&self, number: usize) -> Option<&str> {
        let place = self.numbers.binary_search(&number).ok()?;
        self.texts.get(place).map(String::as_str)
    }

    /// `count` rows from `from` on, which must be there.
    pub(super) fn slice(&self, from: usize, count: usize) -> Self {
        let columns = self.columns.iter();
        Self {
            columns: columns
                .map(|(name, column)| (name.clone(), column.slice(from, count)))
                .collect(),
            texts: self.texts.iter().skip(from).take(count).cloned().collect(),
            places: self.places.iter().skip(from).take(count).cloned().collect(),
            numbers: self
                .numbers
                .iter()
                .skip(from)
                .take(count)
                .copied()
                .collect(),
        }
    }
}

fn picked<T: Clone>(of: &[T], rows: &[u32]) -> Vec<T> {
    let rows = rows.iter().filter_map(|row| of.get(index(*row)));
    rows.cloned().collect()
}

/// How rows are decoded for a component.
pub(super) struct RowSchema {
    pub(super) event: EventSchema,
    /// Columns that no event has, by what they are read as.
    casts: Vec<(String, DataType)>,
}

impl RowSchema {
    /// What is decoded, and which of those columns stand for what other components write.
    pub(super) fn of(only: &Subject, setting: &Setting) -> (Self, Vec<(String, DataType)>) {
        let definition = &setting.definition;
        let mut fields = definition.fields.clone();
        let (mut given, mut casts) = (Vec::new(), Vec::new());
        let mut add = |name: &str, kind: Kind| {
            if name == RESCUED || name.contains('.') || fields.iter().any(|f| f.name == name) {
                return;
            }
            fields.push(NamedType {
                name: name.to_owned(),
                field_type: field_type(kind),
            });
            if matches!(kind, Kind::Float | Kind::Binary) {
                casts.push((name.to_owned(), kind.arrow()));
            }
            if !MOMENTS.contains(&name) && name != SALE_DATE && name != SALE_HOUR {
                given.push((name.to_owned(), kind.arrow()));
            }
        };
        let reads = match only {
            Subject::Rows(rule) => &rule.description.reads,
            Subject::Groups(rule) => &rule.description.reads,
        };
        reads.iter().for_each(|field| add(&field.name, field.kind));
        if let Subject::Rows(rule) = only {
            for look_up in &rule.description.look_ups {
                look_up
                    .on
                    .iter()
                    .for_each(|(column, _)| add(column, Kind::Text));
                if let Some(column) = &look_up.as_of {
                    add(column, Kind::Timestamp);
                }
            }
        }
        add(&definition.time, Kind::Timestamp);
        MOMENTS.iter().for_each(|name| add(name, Kind::Timestamp));
        add(SALE_DATE, Kind::Date);
        add(SALE_HOUR, Kind::Integer);
        let event = EventSchema {
            fields,
            explode: definition.explode.clone(),
            unknown: match definition.max_columns {
                Some(max) => Unknown::Columns { max },
                None => Unknown::Rescue,
            },
        };
        (Self { event, casts }, given)
    }

    pub(super) fn decode(&self, messages: &Messages) -> Decoded {
        Decoder::new(&self.event, Vec::new()).decode(&messages.raw)
    }

    /// The rows of messages. Of one that is malformed it has no fields.
    pub(super) fn rows(
        &self,
        rules: &Rules,
        messages: &Messages,
        decoded: &Decoded,
    ) -> Result<Rows, TrialError> {
        let schema = decoded.rows.schema();
        let named = schema.fields().iter().map(|field| field.name().clone());
        let mut columns: BTreeMap<String, ArrayRef> =
            named.zip(decoded.rows.columns().iter().cloned()).collect();
        for (name, kind) in &self.casts {
            if let Some(column) = columns.get_mut(name) {
                *column = cast(column, kind)?;
            }
        }
        let of_message = UInt32Array::from(decoded.message.clone());
        for (name, moments) in &messages.moments {
            columns.insert((*name).to_owned(), take(moments, &of_message, None)?);
        }
        let count = decoded.rows.num_rows();
        fill_moments(&mut columns, &rules.definition.time, count)?;
        fill_dates(&mut columns, rules, count)?;
        let texts = decoded.message.iter().map(|message| {
            let at = index(*message);
            let held = at < messages.raw.len() && messages.raw.is_valid(at);
            let raw = if held { messages.raw.value(at) } else { &[] };
            String::from_utf8_lossy(raw).into_owned()
        });
        let places = decoded.message.iter().zip(&decoded.line);
        let places = places.filter_map(|(message, line)| {
            let place = messages.places.get(index(*message))?;
            Some(match line {
                0 => place.clone(),
                line => format!("{place} line {line}"),
            })
        });
        Ok(Rows {
            columns,
            texts: texts.collect(),
            places: places.collect(),
            numbers: (0..count).collect(),
        })
    }
}

/// Messages before they are decoded.
pub(super) struct Messages {
    raw: BinaryArray,
    /// Lines of a file, counted from 1.
    lines: Vec<usize>,
    /// Where each came from, if it was a table.
    places: Vec<String>,
    /// The host's moments, where they are known.
    moments: Vec<(&'static str, ArrayRef)>,
}

impl Messages {
    pub(super) fn of_ndjson(ndjson: &[u8]) -> Self {
        let lines = (1..).zip(ndjson.split(|byte| *byte == b'\n'));
        let lines = lines.map(|(number, line)| (number, line.trim_ascii()));
        let (lines, raw): (Vec<usize>, Vec<&[u8]>) =
            lines.filter(|(_, line)| !line.is_empty()).unzip();
        Self {
            raw: BinaryArray::from_iter_values(raw),
            lines,
            places: Vec::new(),
            moments: Vec::new(),
        }
    }

    pub(super) fn of_bronze(bronze: &RecordBatch) -> Result<Self, TrialError> {
        let cut = Cut {
            ranges: Vec::new(),
            messages: bronze.clone(),
        };
        let (ingested_at, timestamp) = (cut.column("_ingested_at"), cut.column("_timestamp"));
        Ok(Self {
            raw: cut.raw(),
            lines: Vec::new(),
            places: (0..cut.len()).map(|row| cut.place(row)).collect(),
            moments: vec![
                ("_now", later(&ingested_at, &timestamp)),
                ("_ingested_at", ingested_at),
            ],
        })
    }

    /// The line that a message stands in.
    pub(super) fn line(&self, message: u32) -> usize {
        self.lines.get(index(message)).copied().unwrap_or_default()
    }
}

pub(super) fn index(row: u32) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

/// The host's moments, where a row does not state them.
fn fill_moments(
    columns: &mut BTreeMap<String, ArrayRef>,
    time: &str,
    rows: usize,
) -> Result<(), TrialError> {
    let fixed = TimestampMicrosecondArray::from_value(NO_TIME, rows).with_timezone("UTC");
    let mut moment: ArrayRef = Arc::new(fixed);
    let event = columns
        .get(time)
        .filter(|c| *c.data_type() == timestamp_type());
    for stated in [event.cloned(), columns.get("_ingested_at").cloned()] {
        moment = stated.map_or(Ok(moment.clone()), |stated| or(&stated, &moment))?;
    }
    for name in MOMENTS {
        let filled = columns.get(name).map(|stated| or(stated, &moment));
        columns.insert(name.to_owned(), filled.unwrap_or(Ok(moment.clone()))?);
    }
    Ok(())
}

/// The business date and hour, where a row does not state them.
fn fill_dates(
    columns: &mut BTreeMap<String, ArrayRef>,
    rules: &Rules,
    rows: usize,
) -> Result<(), TrialError> {
    let made = BusinessDates::make(rules, columns, rows)?;
    for (name, made) in [(SALE_DATE, made.date), (SALE_HOUR, made.hour)] {
        let filled = columns.get(name).map(|stated| or(stated, &made));
        columns.insert(name.to_owned(), filled.unwrap_or(Ok(made))?);
    }
    Ok(())
}

/// `stated` where it is there, else `other`.
fn or(stated: &ArrayRef, other: &ArrayRef) -> Result<ArrayRef, TrialError> {
    if stated.data_type() == other.data_type() {
        return Ok(zip(&is_not_null(stated)?, stated, other)?);
    }
    Ok(stated.clone())
}
