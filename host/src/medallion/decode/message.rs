//! From a message's bytes to its fields and values, checked throughout: a message is either JSON
//! to its last byte, or it is malformed and none of it is used.

use jiter::{JiterError, Peek};

use super::json::{DEEPEST, Source, kind};
use super::names::{Name, Names};
use super::value::{Value, compact};

/// Why a message can't be read. What it says becomes the reason in the quarantine table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    #[error("the message is empty")]
    Empty,
    #[error("no UTF-8 from byte {at} on")]
    NotUtf8 { at: usize },
    #[error("no JSON: {0}")]
    NotJson(#[from] JiterError),
    #[error("the message is {found}, not a JSON object")]
    NotAnObject { found: &'static str },
    #[error("nested deeper than {DEEPEST} levels")]
    TooDeep,
    #[error("field {name:?} stands twice in one object")]
    DuplicateField { name: String },
    #[error("field {name:?} has no lines: it must be an array of at least one object")]
    NoLines { name: String },
    #[error("field {name:?}, line {line} is {found}, not an object")]
    LineNotAnObject {
        name: String,
        line: usize,
        found: &'static str,
    },
    #[error(
        "its lines repeat the fields around them until they are {bytes} bytes, the most is {most}"
    )]
    TooManyLines { bytes: usize, most: usize },
}

/// A message taken apart.
#[derive(Debug, Default)]
pub struct Message<'j> {
    pub fields: Vec<(Name, Value<'j>)>,
    /// The fields of all lines, one line after the other.
    pub line_fields: Vec<(Name, Value<'j>)>,
    /// Where each line ends in `line_fields`.
    pub line_ends: Vec<usize>,
}

impl<'j> Message<'j> {
    /// The fields of each line.
    pub fn lines(&self) -> impl Iterator<Item = &[(Name, Value<'j>)]> {
        let starts = std::iter::once(0).chain(self.line_ends.iter().copied());
        let ranges = starts.zip(self.line_ends.iter().copied());
        ranges.filter_map(|(start, end)| self.line_fields.get(start..end))
    }

    fn clear(&mut self) {
        self.fields.clear();
        self.line_fields.clear();
        self.line_ends.clear();
    }
}

/// Takes messages apart.
#[derive(Debug)]
pub struct Reader {
    pub names: Names,
    explode: Option<Explode>,
    /// Counts objects, so that a name can remember in which it was seen last.
    object: u64,
    seen: [Vec<u64>; 2],
}

/// The array that makes many rows of a message.
#[derive(Debug)]
struct Explode {
    name: Name,
    /// Whether the array is also a field of its own.
    keep: bool,
}

/// Which kind of object a name stands in.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    Message,
    Line,
}

impl Reader {
    /// `explode` is the array's name, and whether it is kept as a field too.
    pub fn new(explode: Option<(&str, bool)>) -> Self {
        let mut names = Names::default();
        let explode = explode.map(|(name, keep)| Explode {
            name: names.name(None, name),
            keep,
        });
        Self {
            names,
            explode,
            object: 0,
            seen: [Vec::new(), Vec::new()],
        }
    }

    /// The name of the array that makes many rows of a message.
    pub fn explode(&self) -> Option<Name> {
        self.explode.as_ref().map(|explode| explode.name)
    }

    /// A number for an object that no other has.
    pub fn next_object(&mut self) -> u64 {
        self.object += 1;
        self.object
    }

    /// Takes a message apart.
    ///
    /// # Errors
    /// Whatever is wrong with it; `message` then means nothing.
    pub fn read<'j>(
        &mut self,
        bytes: &'j [u8],
        message: &mut Message<'j>,
    ) -> Result<(), Malformed> {
        message.clear();
        if bytes.is_empty() {
            return Err(Malformed::Empty);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| Malformed::NotUtf8 {
            at: error.valid_up_to(),
        })?;
        if self.read_plain(text, message).is_some() {
            return self.check_lines(message);
        }
        message.clear();
        let mut source = Source::new(text);
        let peek = source.json.peek()?;
        if peek != Peek::Object {
            source.value(peek, 1)?;
            source.json.finish()?;
            return Err(Malformed::NotAnObject { found: kind(peek) });
        }
        self.message(&mut source, message)?;
        source.json.finish()?;
        self.check_lines(message)
    }

    fn check_lines(&self, message: &Message<'_>) -> Result<(), Malformed> {
        match &self.explode {
            Some(explode) if message.line_ends.is_empty() => Err(Malformed::NoLines {
                name: self.names.text(explode.name).to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn message<'j>(
        &mut self,
        source: &mut Source<'j>,
        message: &mut Message<'j>,
    ) -> Result<(), Malformed> {
        let object = self.next_object();
        let key = source.json.known_object()?;
        let mut next = key.map(|key| self.names.name(None, key));
        while let Some(name) = next {
            self.once(name, Level::Message, object)?;
            let peek = source.json.peek()?;
            match &self.explode {
                Some(explode) if explode.name == name => {
                    let start = source.json.current_index();
                    if peek == Peek::Array {
                        self.lines(source, name, message)?;
                    } else {
                        source.value(peek, 2)?;
                    }
                    if self.explode.as_ref().is_some_and(|explode| explode.keep) {
                        let value = Value::Nested(compact(source.since(start)));
                        message.fields.push((name, value));
                    }
                }
                _ => message.fields.push((name, source.value(peek, 2)?)),
            }
            let key = source.json.next_key()?;
            next = key.map(|key| self.names.name(Some(name), key));
        }
        Ok(())
    }

    fn lines<'j>(
        &mut self,
        source: &mut Source<'j>,
        array: Name,
        message: &mut Message<'j>,
    ) -> Result<(), Malformed> {
        let mut next = source.json.known_array()?;
        while let Some(peek) = next {
            if peek != Peek::Object {
                source.value(peek, 3)?;
                return Err(Malformed::LineNotAnObject {
                    name: self.names.text(array).to_owned(),
                    line: message.line_ends.len(),
                    found: kind(peek),
                });
            }
            self.line(source, &mut message.line_fields)?;
            message.line_ends.push(message.line_fields.len());
            next = source.json.array_step()?;
        }
        Ok(())
    }

    fn line<'j>(
        &mut self,
        source: &mut Source<'j>,
        fields: &mut Vec<(Name, Value<'j>)>,
    ) -> Result<(), Malformed> {
        let object = self.next_object();
        let key = source.json.known_object()?;
        let mut next = key.map(|key| self.names.name(self.explode(), key));
        while let Some(name) = next {
            self.once(name, Level::Line, object)?;
            let peek = source.json.peek()?;
            fields.push((name, source.value(peek, 4)?));
            let key = source.json.next_key()?;
            next = key.map(|key| self.names.name(Some(name), key));
        }
        Ok(())
    }

    /// Notes that a name stands in an object. A message's names and its lines' are noted apart,
    /// because lines stand in the midst of their message.
    pub fn once(&mut self, name: Name, level: Level, object: u64) -> Result<(), Malformed> {
        let [messages, lines] = &mut self.seen;
        let seen = match level {
            Level::Message => messages,
            Level::Line => lines,
        };
        if seen.len() < self.names.len() {
            seen.resize(self.names.len(), 0);
        }
        match seen.get_mut(name.index()) {
            Some(last) if *last == object => Err(Malformed::DuplicateField {
                name: self.names.text(name).to_owned(),
            }),
            Some(last) => {
                *last = object;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
