//! Puts a message's values where they belong.

use super::batch::Batch;
use super::columns::Column;
use super::further::Place;
use super::message::{Malformed, Message};
use super::names::Name;
use super::value::Value;
use super::{Decoder, Unknown};

/// How many bytes the repeated fields of an exploded message may come to: this many, and so many
/// for each byte of the message. A basket needs a few; a message made to fill the memory needs
/// millions.
const REPEATED: usize = 64 * 1024;
const REPEATED_A_BYTE: usize = 32;

impl Decoder {
    /// Puts a message of `size` bytes in the batch.
    pub(super) fn place(&mut self, message: &Message<'_>, size: usize, batch: &mut Batch) {
        let array = self.reader.explode();
        if let Some(array) = array
            && let Err(malformed) = check_repeated(array, message, size)
        {
            return batch.refuse(malformed.to_string());
        }
        for (name, value) in &message.fields {
            self.place_in_message(*name, value, batch);
        }
        match array {
            Some(array) => self.place_lines(array, message, batch),
            None => {
                let content = self.contents.hash(&self.reader.names, &message.fields);
                batch.end_row(0, content);
            }
        }
        batch.end_message();
    }

    fn place_in_message(&mut self, name: Name, value: &Value<'_>, batch: &mut Batch) {
        let names = &self.reader.names;
        let row = batch.messages;
        let mut place = self.further.place(names, name);
        if place == Place::Open
            && let Some(column) = self.further.open(names, name, value)
        {
            let data_type = self
                .further
                .columns
                .get(column)
                .map(|field| field.data_type());
            batch
                .further
                .extend(data_type.map(|t| Column::of_type(t, 0)));
            place = Place::Further(column);
        }
        let column = match place {
            Place::Declared(column) => batch.declared.get_mut(column),
            Place::Further(column) => batch.further.get_mut(column),
            Place::Open | Place::Rescued => None,
        };
        let fits = match column {
            Some(column) => column.put(row, value),
            None => *value == Value::Null,
        };
        if fits {
            return;
        }
        batch.rescued.add(row, names.text(name), value);
        // Rows must not depend on what columns bronze has, so an undeclared field is rescued for
        // them always or never.
        let always = matches!(place, Place::Declared(_)) || self.schema.unknown == Unknown::Rescue;
        if always && self.schema.explode.is_none() {
            batch.row_rescued.add(row, names.text(name), value);
        }
    }

    fn place_lines(&mut self, array: Name, message: &Message<'_>, batch: &mut Batch) {
        let mut fields = Vec::new();
        let mut over = vec![usize::MAX; self.reader.names.len()];
        for (line, own) in message.lines().enumerate() {
            // A null says as much as an absent field, so it covers nothing.
            for (name, _) in own.iter().filter(|(_, value)| *value != Value::Null) {
                if let Some(over) = over.get_mut(name.index()) {
                    *over = line;
                }
            }
            fields.clear();
            fields.extend(
                message
                    .fields
                    .iter()
                    .filter(|(name, _)| *name != array && over.get(name.index()) != Some(&line)),
            );
            for (name, value) in fields.iter().copied() {
                let rescue = self.schema.unknown == Unknown::Rescue;
                self.place_in_line(*name, value, rescue, batch);
            }
            for (name, value) in own {
                self.place_in_line(*name, value, true, batch);
            }
            fields.extend(own);
            let content = self.contents.hash(&self.reader.names, &fields);
            batch.end_row(line, content);
        }
    }

    /// `rescue`: whether the value is kept where it is of no declared field. A line's own has no
    /// other place; a message's may have a column of bronze.
    fn place_in_line(&mut self, name: Name, value: &Value<'_>, rescue: bool, batch: &mut Batch) {
        let names = &self.reader.names;
        let row = batch.rows();
        let place = self.further.place(names, name);
        let column = match (place, &mut batch.lines) {
            (Place::Declared(column), Some(lines)) => lines.get_mut(column),
            _ => None,
        };
        let kept = match column {
            Some(column) => column.put(row, value),
            None => !rescue || *value == Value::Null,
        };
        if !kept {
            batch.row_rescued.add(row, names.text(name), value);
        }
    }
}

/// Refuses a message whose lines repeat the fields around them beyond measure.
fn check_repeated(array: Name, message: &Message<'_>, size: usize) -> Result<(), Malformed> {
    let around = message.fields.iter().filter(|(name, _)| *name != array);
    let around: usize = around.map(|(_, value)| value.size()).sum();
    let bytes = around.saturating_mul(message.line_ends.len());
    let most = REPEATED.saturating_add(size.saturating_mul(REPEATED_A_BYTE));
    match bytes > most {
        true => Err(Malformed::TooManyLines { bytes, most }),
        false => Ok(()),
    }
}
