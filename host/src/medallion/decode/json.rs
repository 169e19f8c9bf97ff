//! The careful way through a message's JSON: every value checked to its end, as deep as it goes.

use std::borrow::Cow;
use std::collections::HashSet;

use jiter::{Jiter, Peek};

use super::message::Malformed;
use super::value::{Value, compact};

/// How deep objects and arrays may be nested, the message itself counted.
pub const DEEPEST: u32 = 64;

/// A message's text and how far it was read.
pub struct Source<'j> {
    text: &'j str,
    pub json: Jiter<'j>,
}

impl<'j> Source<'j> {
    /// A message from its front.
    pub fn new(text: &'j str) -> Self {
        Self {
            text,
            json: Jiter::new(text.as_bytes()),
        }
    }

    /// What was read since `start`.
    pub fn since(&self, start: usize) -> &'j str {
        self.text
            .get(start..self.json.current_index())
            .unwrap_or_default()
    }

    /// The value that comes next, checked to its end.
    pub fn value(&mut self, peek: Peek, depth: u32) -> Result<Value<'j>, Malformed> {
        let start = self.json.current_index();
        Ok(match peek {
            Peek::String => self.string(start)?,
            Peek::Null => {
                self.json.known_null()?;
                Value::Null
            }
            Peek::True | Peek::False => Value::Boolean(self.json.known_bool(peek)?),
            Peek::Array | Peek::Object => {
                self.nested(peek, depth)?;
                Value::Nested(compact(self.since(start)))
            }
            _ => {
                self.json.next_number_bytes()?;
                Value::Number(self.since(start))
            }
        })
    }

    fn string(&mut self, start: usize) -> Result<Value<'j>, Malformed> {
        let text = self.json.known_str()?;
        // The parser hands back a part of its input where nothing was escaped.
        let inside = self.text.get(start + 1..).unwrap_or_default();
        Ok(Value::Text(match inside.get(..text.len()) {
            Some(same) if std::ptr::eq(same, text) => Cow::Borrowed(same),
            _ => Cow::Owned(text.to_owned()),
        }))
    }

    /// Checks an object or an array to its end.
    fn nested(&mut self, peek: Peek, depth: u32) -> Result<(), Malformed> {
        if depth > DEEPEST {
            return Err(Malformed::TooDeep);
        }
        if peek == Peek::Array {
            let mut next = self.json.known_array()?;
            while let Some(peek) = next {
                self.skip(peek, depth + 1)?;
                next = self.json.array_step()?;
            }
            return Ok(());
        }
        let mut seen = HashSet::new();
        let mut next = self.json.known_object()?.map(str::to_owned);
        while let Some(name) = next {
            if seen.contains(&name) {
                return Err(Malformed::DuplicateField { name });
            }
            seen.insert(name);
            let peek = self.json.peek()?;
            self.skip(peek, depth + 1)?;
            next = self.json.next_key()?.map(str::to_owned);
        }
        Ok(())
    }

    fn skip(&mut self, peek: Peek, depth: u32) -> Result<(), Malformed> {
        match peek {
            Peek::Array | Peek::Object => self.nested(peek, depth)?,
            Peek::String => {
                self.json.known_str()?;
            }
            _ => {
                self.json.known_skip(peek)?;
            }
        }
        Ok(())
    }
}

/// What a value is, for people.
pub fn kind(peek: Peek) -> &'static str {
    match peek {
        Peek::Null => "null",
        Peek::True | Peek::False => "a boolean",
        Peek::String => "a text",
        Peek::Array => "an array",
        Peek::Object => "an object",
        _ => "a number",
    }
}
