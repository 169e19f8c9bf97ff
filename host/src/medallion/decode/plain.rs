//! The quick way through a plain message: one object of numbers, literals and texts without
//! escapes, which nearly every sale is. It accepts only what it fully understands; anything else,
//! broken or merely unusual, is left to the careful reader, which starts again from the front.

use std::borrow::Cow;

use super::message::{Level, Message, Reader};
use super::names::Name;
use super::value::Value;

/// Longer numbers are left to the careful reader, which has a limit for them.
const LONGEST_NUMBER: usize = 64;

impl Reader {
    /// Takes a plain message apart. `None`: it is not plain, and `message` means nothing.
    pub(super) fn read_plain<'j>(
        &mut self,
        text: &'j str,
        message: &mut Message<'j>,
    ) -> Option<()> {
        let mut rest = Rest {
            text,
            bytes: text.as_bytes(),
            at: 0,
        };
        let object = self.next_object();
        let explode = self.explode();
        let mut before = None;
        rest.after_space();
        rest.eat(b'{')?;
        loop {
            rest.after_space();
            let name = self.plain_name(&mut rest, before)?;
            if explode == Some(name) {
                return None;
            }
            self.once(name, Level::Message, object).ok()?;
            rest.after_space();
            rest.eat(b':')?;
            rest.after_space();
            message.fields.push((name, rest.value()?));
            before = Some(name);
            match rest.after_space()? {
                b',' => rest.at += 1,
                _ => break,
            }
        }
        rest.eat(b'}')?;
        rest.after_space().is_none().then_some(())
    }

    fn plain_name(&mut self, rest: &mut Rest<'_>, before: Option<Name>) -> Option<Name> {
        if let Some((name, text)) = self.names.guess(before)
            && rest.eat_quoted(text)
        {
            return Some(name);
        }
        let text = rest.string()?;
        Some(self.names.name(before, text))
    }
}

/// What is left of a message.
struct Rest<'j> {
    text: &'j str,
    bytes: &'j [u8],
    at: usize,
}

impl<'j> Rest<'j> {
    /// Skips white space, and says what comes next.
    fn after_space(&mut self) -> Option<u8> {
        loop {
            match *self.bytes.get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                other => return Some(other),
            }
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (*self.bytes.get(self.at)? == byte).then(|| self.at += 1)
    }

    /// Eats the text in quotes if it comes next. It must hold nothing that JSON escapes.
    fn eat_quoted(&mut self, text: &str) -> bool {
        let inside = self.at + 1;
        let end = inside + text.len();
        let same = self.bytes.get(self.at) == Some(&b'"')
            && self.bytes.get(end) == Some(&b'"')
            && self.bytes.get(inside..end) == Some(text.as_bytes());
        if same {
            self.at = end + 1;
        }
        same
    }

    fn value(&mut self) -> Option<Value<'j>> {
        match *self.bytes.get(self.at)? {
            b'"' => Some(Value::Text(Cow::Borrowed(self.string()?))),
            b'-' | b'0'..=b'9' => Some(Value::Number(self.number()?)),
            b'n' => self.literal("null", Value::Null),
            b't' => self.literal("true", Value::Boolean(true)),
            b'f' => self.literal("false", Value::Boolean(false)),
            _ => None,
        }
    }

    fn literal(&mut self, text: &str, value: Value<'j>) -> Option<Value<'j>> {
        let end = self.at + text.len();
        (self.bytes.get(self.at..end)? == text.as_bytes()).then(|| {
            self.at = end;
            value
        })
    }

    fn string(&mut self) -> Option<&'j str> {
        self.eat(b'"')?;
        let start = self.at;
        let end = start + special(self.bytes.get(start..)?)?;
        self.at = end;
        self.eat(b'"')?;
        self.text.get(start..end)
    }

    /// A number without an exponent. What may follow it is for the caller to check.
    fn number(&mut self) -> Option<&'j str> {
        let start = self.at;
        self.at += usize::from(self.bytes.get(start) == Some(&b'-'));
        match *self.bytes.get(self.at)? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        let text = self.text.get(start..self.at)?;
        (text.len() <= LONGEST_NUMBER).then_some(text)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// Where the first byte stands that ends a plain string: a quote, a backslash, or a control
/// character. Eight bytes at a time.
fn special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let mut chunks = bytes.chunks_exact(8);
    let mut at = 0;
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().ok()?);
        // A byte is zero, or below 0x20, where taking that much away borrows into its high bit.
        // A borrow can also reach the bytes above, so only the lowest hit counts.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let quote = zero(word ^ (ONES * 0x22));
        let backslash = zero(word ^ (ONES * 0x5c));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let hits = (quote | backslash | control) & HIGH;
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let found = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    chunks
        .remainder()
        .iter()
        .position(found)
        .map(|place| at + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_string_is_found_wherever_it_stands() {
        let plain = "aé😀\u{7f}b/ {}[]:,".repeat(3).into_bytes();
        for length in 0..plain.len() {
            assert_eq!(special(&plain[..length]), None);
            for end in [b'"', b'\\', 0, 0x1f, b'\n'] {
                let mut bytes = plain[..length].to_vec();
                bytes.push(end);
                bytes.extend_from_slice(b"x\"\\\x01\"\"\"\"\"");
                assert_eq!(special(&bytes), Some(length));
            }
        }
    }

    #[test]
    fn a_message_that_is_not_plain_is_left_to_the_careful_reader() {
        let mut reader = Reader::new(Some(("lines", false)));
        let mut plain = |text| {
            let mut message = Message::default();
            reader
                .read_plain(text, &mut message)
                .map(|()| message.fields.len())
        };
        for text in [
            "",
            "{",
            "{}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1}x",
            "{\"a\":1 \"b\":2}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":-}",
            "{\"a\":1e2}",
            "{\"a\":+1}",
            "{\"a\":nul}",
            "{\"a\":truey}",
            "{\"a\":\"b}",
            "{\"a\":\"\\n\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":[]}",
            "{\"a\":1,\"a\":2}",
            "{\"lines\":1}",
            "[1]",
            "{\"\\u0061\":1}",
            "{a:1}",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
        assert_eq!(
            plain(" { \"a\" : -0.50 , \"\u{e9}\":\"x\" ,\"b\":null}\r\n"),
            Some(3)
        );
        assert_eq!(plain(&format!("{{\"a\":{}}}", "1".repeat(65))), None);
    }
}
