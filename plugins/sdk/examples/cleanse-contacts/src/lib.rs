//! E-mail addresses, phone numbers and postcodes in one form, so that they can be joined on.
//!
//! What customers type at a till or in a web shop comes in many forms. Each field becomes what it
//! means, or absent with a warning where it can't mean anything. A reason never repeats the value:
//! it is about a person, and bronze, which has it, is where access to such data is guarded.

use std::borrow::Cow;

use assay_rules::prelude::*;
use serde::Deserialize;

mod contact;

cleanser!(CleanseContacts);

row! {
    /// What is looked at.
    pub struct Contact {
        optional customer_email: Text,
        optional customer_phone: Text,
        optional postcode: Text,
    }
}

writes! {
    /// What is replaced.
    pub struct Cleansed {
        /// Without blanks around it, in lower case.
        customer_email: Text,
        /// As E.164: `+442079460018`.
        customer_phone: Text,
        /// As the first of `postcode_shapes` that it fits.
        postcode: Text,
    }
}

rules! {
    /// What can be amiss.
    pub enum Rule {
        /// This can't be an e-mail address.
        warn email_unusable,
        /// This can't be a phone number.
        warn phone_unusable,
        /// The postcode has none of the shapes that the tenant's postcodes have.
        warn postcode_unusable,
    }
}

/// `params = { country_code = "31", postcode_shapes = ["9999 AA"] }`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanseContacts {
    /// Which fields the tenant's events have: the others are neither read nor written.
    pub fields: Vec<Field>,
    /// Of a phone number that names no country.
    pub country_code: String,
    /// What a phone number that names no country begins with instead; empty in North America.
    pub trunk_prefix: String,
    /// `A` is a letter, `9` a digit, and anything else stands for itself.
    pub postcode_shapes: Vec<String>,
}

/// A field that can be cleansed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    CustomerEmail,
    CustomerPhone,
    Postcode,
}

impl Default for CleanseContacts {
    fn default() -> Self {
        let british = [
            "A9 9AA", "A99 9AA", "AA9 9AA", "AA99 9AA", "A9A 9AA", "AA9A 9AA",
        ];
        Self {
            fields: vec![Field::CustomerEmail, Field::CustomerPhone, Field::Postcode],
            country_code: "44".to_owned(),
            trunk_prefix: "0".to_owned(),
            postcode_shapes: british.map(str::to_owned).into(),
        }
    }
}

impl Cleanse for CleanseContacts {
    type Row<'a> = Contact<'a>;
    type Written<'a> = Cleansed<'a>;
    type Rule = Rule;

    fn cleanse<'a>(&'a self, row: &Contact<'a>, refuse: &mut Refuse<Rule>) -> Cleansed<'a> {
        let mut repair = |field: Field, value: Option<&str>| {
            let text = value.map(str::trim).filter(|text| !text.is_empty())?;
            if !self.fields.contains(&field) {
                return None;
            }
            let (repaired, rule) = match field {
                Field::CustomerEmail => (contact::email(text), Rule::email_unusable),
                Field::CustomerPhone => (self.phone(text), Rule::phone_unusable),
                Field::Postcode => (self.postcode(text), Rule::postcode_unusable),
            };
            if repaired.is_none() {
                refuse.because(rule, "bronze has it as it came");
            }
            repaired.map(Cow::Owned)
        };
        Cleansed {
            customer_email: repair(Field::CustomerEmail, row.customer_email),
            customer_phone: repair(Field::CustomerPhone, row.customer_phone),
            postcode: repair(Field::Postcode, row.postcode),
        }
    }

    fn check(&self) -> Result<(), String> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(&self.country_code) || !(1..=3).contains(&self.country_code.len()) {
            return Err(format!(
                "country_code is {:?}; it must be 1 to 3 digits",
                self.country_code
            ));
        }
        if !digits(&self.trunk_prefix) {
            return Err(format!(
                "trunk_prefix is {:?}; it must be digits",
                self.trunk_prefix
            ));
        }
        Ok(())
    }

    fn writes(&self, column: &str) -> bool {
        self.fields.contains(&match column {
            "customer_email" => Field::CustomerEmail,
            "customer_phone" => Field::CustomerPhone,
            _ => Field::Postcode,
        })
    }
}

#[cfg(test)]
mod tests {
    use assay_rules::testing;

    use super::*;

    #[test]
    fn fields_that_a_tenant_has_not_are_not_written() {
        let rules: CleanseContacts = testing::cleanser(r#"{ "fields": ["postcode"] }"#).unwrap();
        let rows = r#"[{ "customer_email": "no address", "postcode": "sw1a1aa" }]"#;
        let (written, broken) = testing::cleanse(&rules, rows).unwrap();
        assert_eq!(
            serde_json::to_string(&written).unwrap(),
            r#"[{"postcode":"SW1A 1AA"}]"#
        );
        assert!(broken.is_empty());
    }

    #[test]
    fn codes_that_are_no_digits_are_refused() {
        for params in [
            r#"{ "country_code": "+44" }"#,
            r#"{ "country_code": "" }"#,
            r#"{ "trunk_prefix": "x" }"#,
        ] {
            let error = testing::cleanser::<CleanseContacts>(params).unwrap_err();
            assert!(error.contains("digits"), "{error}");
        }
    }
}
