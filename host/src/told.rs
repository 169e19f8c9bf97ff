//! Errors as people read them, and texts of people as others read them.

use std::borrow::Cow;
use std::error::Error;

/// An error with its causes, each said once.
pub fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// Why somebody changes something, for histories: a line that says something.
///
/// # Errors
/// What is wrong with it.
pub fn reason(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("say why, in some words");
    }
    if text.contains(char::is_control) {
        return Err("say why in one line, without control characters");
    }
    Ok(text.to_owned())
}

/// A text that may be anybody's, for a terminal: what would begin a line, colour it or take it back is
/// spelled out.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let spelled = text.chars().flat_map(|char| {
        let (spelled, as_is) = match char.is_control() {
            true => (Some(char.escape_default()), None),
            false => (None, Some(char)),
        };
        spelled.into_iter().flatten().chain(as_is)
    });
    Cow::Owned(spelled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reason_forges_a_line_or_says_nothing() {
        assert_eq!(
            reason(" a holiday \u{1F384} ").as_deref(),
            Ok("a holiday \u{1F384}")
        );
        for bad in ["", " \t", "one\ntwo", "\u{1b}[31mred", "\u{9b}31mred"] {
            assert!(reason(bad).is_err(), "{bad:?}");
        }
        assert_eq!(plain("Grüße"), "Grüße");
        assert_eq!(plain("a\u{1b}[2K\nb"), "a\\u{1b}[2K\\nb");
    }
}
