//! From messages to columns: each message is taken apart once, checked to its last byte, and its
//! values go straight into Arrow columns by the tenant's schema.
//!
//! What a row becomes depends on its message and on the schema, never on which further columns
//! bronze happens to have: replay gives the same `rows` and `content`, on any host. Only
//! `messages`, which is for bronze, knows the further columns.

mod batch;
pub(super) mod columns;
mod content;
pub(super) mod further;
#[cfg(test)]
mod fuzz;
mod json;
pub(super) mod message;
mod names;
mod number;
mod place;
mod plain;
#[cfg(test)]
mod second_opinion;
#[cfg(test)]
mod tests;
mod time;
pub(super) mod value;

use arrow::array::{Array, BinaryArray, RecordBatch};
use arrow::datatypes::Field;

use batch::Batch;
use content::Contents;
use further::Further;
use message::{Message, Reader};

use crate::processor::give_way;
use crate::schema::NamedType;

/// The column for what does not fit its field's type, or has no column: text, a JSON object of
/// the values as they came, by their names. Null where everything fits.
pub const RESCUED: &str = "_rescued";

/// Names beyond this many are forgotten between batches, so that events that bring ever new names
/// don't fill the memory.
const MOST_NAMES: usize = 4096;

/// Messages after which other tenants may come first: a millisecond or so.
const MESSAGES_A_TURN: usize = 1_024;

/// What a tenant's events look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSchema {
    /// The declared fields, in the order of the columns.
    pub fields: Vec<NamedType>,
    /// The array whose objects become a row each. Their fields stand over the message's.
    pub explode: Option<String>,
    pub unknown: Unknown,
}

/// What becomes of fields that the schema does not declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// A new column of bronze, typed by its first value, until there are `max` of them, the
    /// declared ones counted. What can't be a column or does not fit goes to `_rescued`.
    Columns { max: usize },
    /// They go to `_rescued`.
    Rescue,
}

/// A batch of messages as columns.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// A row for each message: the declared fields of its top level, bronze's further columns
    /// (the new ones last), `_rescued`. A malformed message is all null.
    pub messages: RecordBatch,
    /// A row for each line of each message, a malformed message being one line: the declared
    /// fields, `_rescued`. Without further columns in `_rescued` that depend on bronze.
    pub rows: RecordBatch,
    /// Which message a row came of.
    pub message: Vec<u32>,
    /// Which line of its message a row is; 0 where messages are not exploded.
    pub line: Vec<i32>,
    /// What a row says, whatever the schema: equal for equal events only. Zeros for a malformed
    /// message.
    pub content: Vec<[u8; 16]>,
    /// Rows that came of a malformed message, in order, with what is wrong.
    pub malformed: Vec<(u32, String)>,
    /// Columns that bronze did not have when the decoder was made, all nullable.
    pub new_columns: Vec<Field>,
}

/// Decodes a tenant's messages, batch after batch.
#[derive(Debug)]
pub struct Decoder {
    schema: EventSchema,
    reader: Reader,
    contents: Contents,
    further: Further,
}

impl Decoder {
    /// `extra` are the columns that bronze has beside the declared ones so far. Columns that a
    /// batch adds are kept for the next.
    pub fn new(schema: &EventSchema, extra: Vec<Field>) -> Self {
        Self {
            reader: reader(schema),
            contents: Contents::default(),
            further: Further::new(schema, extra),
            schema: schema.clone(),
        }
    }

    /// Decodes messages. A null is an empty message.
    pub fn decode(&mut self, raw: &BinaryArray) -> Decoded {
        if self.reader.names.len() > MOST_NAMES {
            self.reader = reader(&self.schema);
            self.contents = Contents::default();
            self.further.forget_names();
        }
        let mut batch = Batch::new(&self.schema, &self.further, raw.len());
        let mut message = Message::default();
        for (place, bytes) in raw.iter().enumerate() {
            if place % MESSAGES_A_TURN == 0 {
                give_way();
            }
            let bytes = bytes.unwrap_or_default();
            match self.reader.read(bytes, &mut message) {
                Ok(()) => self.place(&message, bytes.len(), &mut batch),
                Err(malformed) => batch.refuse(malformed.to_string()),
            }
        }
        batch.finish(&self.schema, &self.further)
    }
}

fn reader(schema: &EventSchema) -> Reader {
    Reader::new(schema.explode.as_deref().map(|name| {
        let declared = schema.fields.iter().any(|field| field.name == name);
        (name, declared)
    }))
}
