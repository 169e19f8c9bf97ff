//! JSON, read without floats: a number is kept as it was written. Small, because it goes into
//! every component; for params, and for what the host rescued.

use std::borrow::Cow;
use std::fmt;

/// How deep values may stand in each other.
const DEEPEST: u32 = 64;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    Boolean(bool),
    /// As it was written.
    Number(&'a str),
    Text(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    /// In the order in which the fields were written.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Where a text ceases to be JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadJson {
    /// In bytes from the text's begin.
    pub at: usize,
    wanted: &'static str,
}

impl fmt::Display for BadJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no JSON: {} at byte {}", self.wanted, self.at)
    }
}

impl std::error::Error for BadJson {}

/// Reads one value, which must be the whole text.
///
/// # Errors
/// Where the text ceases to be JSON, or stands more than 64 levels deep.
pub fn parse(text: &str) -> Result<Value<'_>, BadJson> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.bad("nothing more was expected")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn bad(&self, wanted: &'static str) -> BadJson {
        BadJson {
            at: self.at,
            wanted,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes a byte, if it comes next after some space.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let comes = self.peek() == Some(byte);
        self.at += usize::from(comes);
        comes
    }

    fn since(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn value(&mut self, depth: u32) -> Result<Value<'a>, BadJson> {
        if depth > DEEPEST {
            return Err(self.bad("it stands too deep"));
        }
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.text().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value<'a>, BadJson> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Boolean(true)),
            ("false", Value::Boolean(false)),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.bad("a value was expected"))
    }

    fn object(&mut self, depth: u32) -> Result<Value<'a>, BadJson> {
        let mut fields = Vec::new();
        self.at += 1;
        if self.takes(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            self.skip_space();
            let name = self.text()?;
            if !self.takes(b':') {
                return Err(self.bad("a colon was expected"));
            }
            fields.push((name, self.value(depth + 1)?));
            if self.takes(b'}') {
                return Ok(Value::Object(fields));
            }
            if !self.takes(b',') {
                return Err(self.bad("a comma or a closing brace was expected"));
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<Value<'a>, BadJson> {
        let mut values = Vec::new();
        self.at += 1;
        if self.takes(b']') {
            return Ok(Value::Array(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.takes(b']') {
                return Ok(Value::Array(values));
            }
            if !self.takes(b',') {
                return Err(self.bad("a comma or a closing bracket was expected"));
            }
        }
    }

    fn digits(&mut self) -> Result<(), BadJson> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from {
            Err(self.bad("a digit was expected"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<Value<'a>, BadJson> {
        let from = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.at;
        self.digits()?;
        if leading_zero && self.at > whole + 1 {
            return Err(self.bad("no number begins with a zero and a digit"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value::Number(self.since(from)))
    }

    fn text(&mut self) -> Result<Cow<'a, str>, BadJson> {
        if self.peek() != Some(b'"') {
            return Err(self.bad("a text in quotes was expected"));
        }
        self.at += 1;
        let mut unescaped: Option<String> = None;
        let mut from = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = self.since(from);
                    self.at += 1;
                    return Ok(match unescaped {
                        Some(text) => Cow::Owned(text + rest),
                        None => Cow::Borrowed(rest),
                    });
                }
                Some(b'\\') => {
                    let plain = self.since(from);
                    let text = unescaped.get_or_insert_default();
                    text.push_str(plain);
                    self.at += 1;
                    let letter = self.escaped()?;
                    text.push(letter);
                    from = self.at;
                }
                Some(byte) if byte >= 0x20 => self.at += 1,
                _ => return Err(self.bad("a text does not end")),
            }
        }
    }

    /// What stands after a backslash.
    fn escaped(&mut self) -> Result<char, BadJson> {
        let letter = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.bad("there is no such escape")),
        };
        self.at += 1;
        Ok(letter)
    }

    /// `uXXXX`, or two of them that make one letter.
    fn unicode(&mut self) -> Result<char, BadJson> {
        let first = self.hexadecimal()?;
        let code = if (0xd800..0xdc00).contains(&first) && self.peek() == Some(b'\\') {
            self.at += 1;
            let second = self.hexadecimal()?;
            0x1_0000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.bad("half a letter"))
    }

    fn hexadecimal(&mut self) -> Result<u32, BadJson> {
        let digits = self.text.get(self.at + 1..self.at + 5);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.map(|digits| u32::from_str_radix(digits, 16)) {
            Some(Ok(code)) if self.peek() == Some(b'u') => {
                self.at += 5;
                Ok(code)
            }
            _ => Err(self.bad("u and four hexadecimal digits were expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_reader_reads_is_read_alike() {
        for text in [
            r#"{"a":[1,-2.50,1e3,true,false,null,"x"],"b":{}, "c" : [ ] }"#,
            r#" "tab\t quote\" slash\/ \u00e9 \ud83d\ude00 é" "#,
            "[[[[1]]]]",
            "0",
            "-0.0",
        ] {
            let theirs: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(plain(&parse(text).unwrap()), theirs, "{text}");
        }
    }

    fn plain(value: &Value<'_>) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(truth) => (*truth).into(),
            Value::Number(number) => serde_json::from_str(number).unwrap(),
            Value::Text(text) => text.as_ref().into(),
            Value::Array(values) => values.iter().map(plain).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.to_string(), plain(value)))
                .collect(),
        }
    }

    #[test]
    fn a_number_is_kept_as_it_was_written() {
        assert_eq!(parse("12.50"), Ok(Value::Number("12.50")));
        let long = "123456789012345678901234567890.10";
        assert_eq!(parse(long), Ok(Value::Number(long)));
    }

    #[test]
    fn what_is_no_json_is_refused_as_others_refuse_it() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800x\"",
            "\"\n\"",
            "1 2",
            "{a:1}",
            "'a'",
            "\"\\u+123\"",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
            assert!(
                serde_json::from_str::<serde_json::Value>(text).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn no_depth_overflows_the_stack() {
        assert!(parse(&"[".repeat(1_000_000)).is_err());
        let fine = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        assert!(parse(&fine).is_ok());
    }

    #[test]
    fn no_text_makes_it_panic() {
        let text = r#"{"a":"\ud83d\ude00é\n","b":[-1.5e+3,null]}"#;
        for (at, _) in text.char_indices() {
            for insert in ["", "\"", "\\", "{", "é", "u", "9"] {
                let broken = format!("{}{insert}{}", &text[..at], &text[at..]);
                let _ = parse(&broken);
                let _ = parse(&broken[..at]);
            }
        }
    }
}
