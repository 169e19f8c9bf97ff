//! Field names as small numbers. Events of one kind bring their fields in one order, so that the
//! name after a name is nearly always known, and one comparison of bytes finds it.

use std::collections::HashMap;

/// A field name. It holds until its [`Names`] is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name(u32);

impl Name {
    /// From 0 without gaps, in the order in which names were first met.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Every field name met so far.
#[derive(Debug, Default)]
pub struct Names {
    texts: Vec<Box<str>>,
    numbers: HashMap<Box<str>, Name>,
    /// What came after each name the last time, and what came first.
    after: Vec<Name>,
    /// Whether each can stand in JSON without escapes.
    plain: Vec<bool>,
    first: Option<Name>,
}

impl Names {
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    pub fn text(&self, name: Name) -> &str {
        self.nth(name.index())
    }

    /// The text of the name with this index.
    pub fn nth(&self, index: usize) -> &str {
        self.texts.get(index).map_or("", |text| text)
    }

    /// The name that most likely comes after `before`, with its text, if that can stand in JSON
    /// as it is.
    pub fn guess(&self, before: Option<Name>) -> Option<(Name, &str)> {
        let name = match before {
            Some(before) => self.after.get(before.index()).copied()?,
            None => self.first?,
        };
        let plain = *self.plain.get(name.index())?;
        plain.then(|| (name, self.text(name)))
    }

    /// The name that `text` is; `before` is the name that stands before it in its object.
    pub fn name(&mut self, before: Option<Name>, text: &str) -> Name {
        let guess = match before {
            Some(before) => self.after.get(before.index()).copied(),
            None => self.first,
        };
        if let Some(guess) = guess
            && self.text(guess) == text
        {
            return guess;
        }
        let name = self.numbers.get(text).copied();
        let name = name.unwrap_or_else(|| self.add(text));
        match before {
            Some(before) => {
                if let Some(after) = self.after.get_mut(before.index()) {
                    *after = name;
                }
            }
            None => self.first = Some(name),
        }
        name
    }

    fn add(&mut self, text: &str) -> Name {
        let name = Name(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        let escaped = |letter: char| matches!(letter, '"' | '\\' | '\0'..' ');
        self.plain.push(!text.contains(escaped));
        self.texts.push(text.into());
        self.numbers.insert(text.into(), name);
        self.after.push(name);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_wherever_it_stands() {
        let mut names = Names::default();
        let a = names.name(None, "a");
        let b = names.name(Some(a), "b");
        assert_eq!(names.name(None, "b"), b);
        assert_eq!(names.name(Some(b), "a"), a);
        assert_eq!(names.name(Some(a), "a"), a);
        assert_eq!(names.name(None, ""), names.name(Some(b), ""));
        assert_eq!((names.text(a), names.text(b), names.len()), ("a", "b", 3));
    }
}
