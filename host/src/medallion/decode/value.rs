//! One value of an event, still in the bytes that it came in.

use std::borrow::Cow;

/// A JSON value, checked but not yet turned into anything.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'j> {
    Null,
    Boolean(bool),
    /// As written.
    Number(&'j str),
    /// Unescaped.
    Text(Cow<'j, str>),
    /// An object or an array as JSON text, without white space between its parts.
    Nested(Cow<'j, str>),
}

impl Value<'_> {
    /// The value as JSON text.
    pub fn json(&self) -> Cow<'_, str> {
        match self {
            Self::Null => "null".into(),
            Self::Boolean(true) => "true".into(),
            Self::Boolean(false) => "false".into(),
            Self::Number(text) => (*text).into(),
            Self::Text(text) => quote(text).into(),
            Self::Nested(text) => text.as_ref().into(),
        }
    }

    /// How many bytes the value takes, about.
    pub fn size(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) => 1,
            Self::Number(text) => text.len(),
            Self::Text(text) | Self::Nested(text) => text.len(),
        }
    }
}

/// A text as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON text without the white space between its parts.
pub fn compact(json: &str) -> Cow<'_, str> {
    let mut outside = Outside::default();
    if !json.chars().any(|letter| outside.is_space(letter)) {
        return Cow::Borrowed(json);
    }
    let mut outside = Outside::default();
    let parts = json.chars().filter(|letter| !outside.is_space(*letter));
    Cow::Owned(parts.collect())
}

/// Follows JSON text letter by letter, and knows what is inside a string.
#[derive(Default)]
struct Outside {
    quoted: bool,
    escaped: bool,
}

impl Outside {
    /// Whether the next letter is white space outside any string.
    fn is_space(&mut self, letter: char) -> bool {
        if self.escaped {
            self.escaped = false;
        } else if self.quoted && letter == '\\' {
            self.escaped = true;
        } else if letter == '"' {
            self.quoted = !self.quoted;
        }
        !self.quoted && matches!(letter, ' ' | '\t' | '\r' | '\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_only_from_between_the_parts() {
        let json = r#"{ "a b" : [ 1 , "c \" d\\" , "\\" ], "é": { } }"#;
        assert_eq!(compact(json), r#"{"a b":[1,"c \" d\\","\\"],"é":{}}"#);
        assert!(matches!(compact(r#"["a b"]"#), Cow::Borrowed(_)));
    }

    #[test]
    fn a_value_is_spelled_as_json() {
        assert_eq!(Value::Text("a\"\n\u{1}".into()).json(), r#""a\"\n\u0001""#);
        assert_eq!(Value::Number("1.50").json(), "1.50");
        assert_eq!(Value::Boolean(false).json(), "false");
    }
}
