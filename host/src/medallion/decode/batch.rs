//! A batch as it fills: bronze's columns, the rows' columns, and what did not fit anywhere.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};

use super::columns::{Column, Texts};
use super::further::{Further, empty_columns};
use super::value::{Value, quote};
use super::{Decoded, EventSchema, RESCUED};

/// A batch as it fills.
#[derive(Debug)]
pub struct Batch {
    /// The messages' own declared fields.
    pub declared: Vec<Column>,
    pub further: Vec<Column>,
    /// The lines' declared fields, where messages are exploded.
    pub lines: Option<Vec<Column>>,
    pub rescued: Rescued,
    pub row_rescued: Rescued,
    /// How many messages are done: the place of the one in hand.
    pub messages: usize,
    message: Vec<u32>,
    line: Vec<i32>,
    content: Vec<[u8; 16]>,
    malformed: Vec<(u32, String)>,
}

impl Batch {
    pub fn new(schema: &EventSchema, further: &Further, messages: usize) -> Self {
        let columns = || {
            let types = schema.fields.iter().map(|field| field.field_type);
            types.map(|t| Column::new(t, messages)).collect()
        };
        Self {
            declared: columns(),
            further: empty_columns(&further.columns, messages),
            lines: schema.explode.is_some().then(columns),
            rescued: Rescued::default(),
            row_rescued: Rescued::default(),
            messages: 0,
            message: Vec::with_capacity(messages),
            line: Vec::with_capacity(messages),
            content: Vec::with_capacity(messages),
            malformed: Vec::new(),
        }
    }

    /// How many rows are done: the place of the one in hand.
    pub fn rows(&self) -> usize {
        self.message.len()
    }

    /// Ends a row of the message in hand.
    pub fn end_row(&mut self, line: usize, content: [u8; 16]) {
        // A batch is far smaller than 2^31 bytes, because Arrow counts them so, and a row takes
        // at least one.
        self.message
            .push(u32::try_from(self.messages).unwrap_or(u32::MAX));
        self.line.push(i32::try_from(line).unwrap_or(i32::MAX));
        self.content.push(content);
    }

    /// Ends the message in hand.
    pub fn end_message(&mut self) {
        self.messages += 1;
    }

    /// Ends a message of which nothing was used.
    pub fn refuse(&mut self, reason: String) {
        let row = u32::try_from(self.rows()).unwrap_or(u32::MAX);
        self.malformed.push((row, reason));
        self.end_row(0, [0; 16]);
        self.end_message();
    }

    pub fn finish(self, schema: &EventSchema, further: &Further) -> Decoded {
        let declared = schema.fields.iter();
        let declared = declared.map(|f| Field::new(&f.name, f.field_type.arrow(), true));
        let declared: Vec<Field> = declared.collect();
        let (messages, rows) = (self.messages, self.message.len());
        let own = finish(self.declared, messages);
        let row_columns = match self.lines {
            Some(lines) => finish(lines, rows),
            None => own.clone(),
        };
        let rescued = self.rescued.finish(messages);
        let row_rescued = self.row_rescued.finish(rows);
        let mut fields = declared.clone();
        fields.extend(further.columns.iter().cloned());
        let mut columns = own;
        columns.extend(finish(self.further, messages));
        Decoded {
            messages: record_batch(fields, columns, rescued),
            rows: record_batch(declared, row_columns, row_rescued),
            message: self.message,
            line: self.line,
            content: self.content,
            malformed: self.malformed,
            new_columns: further.new_columns(),
        }
    }
}

fn finish(columns: Vec<Column>, rows: usize) -> Vec<ArrayRef> {
    columns
        .into_iter()
        .map(|column| column.finish(rows))
        .collect()
}

#[expect(
    clippy::expect_used,
    reason = "the columns were made of these fields, and as long"
)]
fn record_batch(
    mut fields: Vec<Field>,
    mut columns: Vec<ArrayRef>,
    rescued: ArrayRef,
) -> RecordBatch {
    fields.push(Field::new(RESCUED, DataType::Utf8, true));
    columns.push(rescued);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of their fields")
}

/// Values without a column: few rows have any.
#[derive(Debug, Default)]
pub struct Rescued {
    /// Rows in order, each with its JSON object, not yet closed.
    rows: Vec<(usize, String)>,
}

impl Rescued {
    /// Keeps a value of a row, which is no earlier than any row before it.
    pub fn add(&mut self, row: usize, name: &str, value: &Value<'_>) {
        if self.rows.last().is_none_or(|(last, _)| *last != row) {
            self.rows.push((row, String::new()));
        }
        if let Some((_, object)) = self.rows.last_mut() {
            object.push(if object.is_empty() { '{' } else { ',' });
            object.push_str(&quote(name));
            object.push(':');
            object.push_str(&value.json());
        }
    }

    fn finish(self, rows: usize) -> ArrayRef {
        if self.rows.is_empty() {
            return new_null_array(&DataType::Utf8, rows);
        }
        let mut column = Texts::default();
        for (row, mut object) in self.rows {
            object.push('}');
            column.put(row, &object);
        }
        Arc::new(column.finish(rows))
    }
}
