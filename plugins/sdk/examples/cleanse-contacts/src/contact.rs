//! What a text means as an e-mail address, a phone number, a postcode; `None` where it can't.

use crate::CleanseContacts;

/// One `@`, something before it, and a domain of several names after it. Whether anybody reads what
/// is sent there only sending can tell.
pub(crate) fn email(text: &str) -> Option<String> {
    let (person, domain) = text.split_once('@')?;
    let is_name = |name: &str| !name.is_empty() && !name.starts_with('-') && !name.ends_with('-');
    let usable = !person.is_empty()
        && !domain.contains('@')
        && !text.contains(char::is_whitespace)
        && domain.contains('.')
        && domain.split('.').all(is_name);
    usable.then(|| text.to_lowercase())
}

impl CleanseContacts {
    /// As E.164: a plus, the country, the number; 8 to 15 digits.
    pub(crate) fn phone(&self, text: &str) -> Option<String> {
        let mut number = String::with_capacity(text.len());
        // "+44 (0)20 …": that zero is for those who call from within the country.
        let names_country = text.starts_with('+') || text.starts_with("00");
        let text = text.replace("(0)", if names_country { "" } else { "0" });
        for sign in text.chars() {
            match sign {
                '0'..='9' => number.push(sign),
                '+' if number.is_empty() => number.push(sign),
                ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' => {}
                _ => return None,
            }
        }
        let digits = if let Some(abroad) = number.strip_prefix('+') {
            abroad.to_owned()
        } else if let Some(abroad) = number.strip_prefix("00") {
            abroad.to_owned()
        } else {
            let within = number.strip_prefix(self.trunk_prefix.as_str())?;
            format!("{}{within}", self.country_code)
        };
        let usable = (8..=15).contains(&digits.len()) && !digits.starts_with('0');
        usable.then(|| format!("+{digits}"))
    }

    /// In the first shape that letters and digits fit, in capitals.
    pub(crate) fn postcode(&self, text: &str) -> Option<String> {
        let signs: Vec<char> = text
            .chars()
            .filter(|sign| !matches!(sign, ' ' | '-' | '\u{a0}'))
            .map(|sign| sign.to_ascii_uppercase())
            .collect();
        self.postcode_shapes
            .iter()
            .find_map(|shape| shaped(&signs, shape))
    }
}

fn shaped(signs: &[char], shape: &str) -> Option<String> {
    let mut signs = signs.iter();
    let mut code = String::with_capacity(shape.len());
    for wanted in shape.chars() {
        code.push(match wanted {
            'A' => *signs.next().filter(|sign| sign.is_ascii_uppercase())?,
            '9' => *signs.next().filter(|sign| sign.is_ascii_digit())?,
            between => between,
        });
    }
    signs.next().is_none().then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(country_code: &str, trunk_prefix: &str, shape: &str) -> CleanseContacts {
        CleanseContacts {
            country_code: country_code.to_owned(),
            trunk_prefix: trunk_prefix.to_owned(),
            postcode_shapes: vec![shape.to_owned()],
            ..CleanseContacts::default()
        }
    }

    #[test]
    fn an_address_is_in_lower_case_and_has_a_domain() {
        assert_eq!(
            email("Ann.Lee@Shop.Example").as_deref(),
            Some("ann.lee@shop.example")
        );
        for bad in [
            "",
            "ann",
            "@shop.example",
            "ann@shop",
            "a@b@c.d",
            "a b@c.d",
            "ann@shop.",
            "a@-b.c",
            "a@b..c",
        ] {
            assert_eq!(email(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_phone_number_names_its_country_however_it_was_written() {
        let british = CleanseContacts::default();
        for text in [
            "020 7946 0018",
            "(020) 7946-0018",
            "(0)20 7946 0018",
            "+44 20 7946 0018",
            "+44 (0)20 7946 0018",
            "0044 20 79460018",
        ] {
            assert_eq!(
                british.phone(text).as_deref(),
                Some("+442079460018"),
                "{text}"
            );
        }
        for bad in [
            "",
            "call me",
            "7946 0018",
            "0 123",
            "+0 20 7946 0018",
            "0+44 20 7946 0018",
            "+1234567890123456",
        ] {
            assert_eq!(british.phone(bad), None, "{bad:?}");
        }
        let american = rules("1", "", "99999");
        assert_eq!(
            american.phone("(212) 555-0123").as_deref(),
            Some("+12125550123")
        );
    }

    #[test]
    fn a_postcode_takes_the_shape_that_it_fits() {
        let british = CleanseContacts::default();
        for (text, expected) in [
            ("m11ae", Some("M1 1AE")),
            ("SW1A-1AA", Some("SW1A 1AA")),
            ("ec1a 1bb", Some("EC1A 1BB")),
            ("1234 AB", None),
            ("M1 1AEX", None),
            ("", None),
        ] {
            assert_eq!(british.postcode(text).as_deref(), expected, "{text}");
        }
        assert_eq!(
            rules("31", "0", "9999 AA").postcode("1012ab").as_deref(),
            Some("1012 AB")
        );
        assert_eq!(
            rules("48", "", "99-999").postcode("00950").as_deref(),
            Some("00-950")
        );
    }
}
