//! Params: from JSON to the component's own struct. An error names the param that it is about.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::json::{self, Value};

/// Reads params from the text of a JSON object.
///
/// # Errors
/// What is wrong with which param.
pub fn read<T: DeserializeOwned>(params: &str) -> Result<T, String> {
    let value = json::parse(params).map_err(|error| format!("params: {error}"))?;
    T::deserialize(value).map_err(|error| format!("params: {error}"))
}

/// What is wrong with which param.
#[derive(Debug)]
pub struct BadParam(String);

impl Display for BadParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadParam {}

impl Error for BadParam {
    fn custom<T: Display>(text: T) -> Self {
        Self(text.to_string())
    }

    /// As the default, but without the code that writes floats: that is a fifth of a component.
    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self(format!("expected {wanted}, found {}", name(found)))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }
}

fn name(found: Unexpected<'_>) -> Cow<'static, str> {
    Cow::Borrowed(match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(number) => return format!("the number {number}").into(),
        Unexpected::Signed(number) => return format!("the number {number}").into(),
        Unexpected::Str(text) => return format!("the text {text:?}").into(),
        Unexpected::Unit => "null",
        Unexpected::Seq => "a list",
        Unexpected::Map => "an object",
        _ => "something else",
    })
}

fn unexpected<'a>(value: &'a Value<'_>) -> Unexpected<'a> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Boolean(truth) => Unexpected::Bool(*truth),
        Value::Number(number) => match number.parse() {
            Ok(number) => Unexpected::Signed(number),
            Err(_) => Unexpected::Other("a number"),
        },
        Value::Text(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

/// Whole numbers, each visited at its full width: the visitor checks the range.
macro_rules! integers {
    ($($method:ident),*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
                self.integer(visitor)
            }
        )*
    };
}

impl<'de> Value<'de> {
    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        if let Value::Number(number) = self {
            if let Ok(number) = number.parse() {
                return visitor.visit_i64(number);
            }
            if let Ok(number) = number.parse() {
                return visitor.visit_u64(number);
            }
            return Err(BadParam(format!("{number} is no whole number of 64 bits")));
        }
        Err(Error::invalid_type(unexpected(&self), &visitor))
    }

    fn float<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        match self {
            Value::Number(number) => match number.parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(BadParam(format!("{number} is no number"))),
            },
            other => Err(Error::invalid_type(unexpected(&other), &visitor)),
        }
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = BadParam;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        match self {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(truth) => visitor.visit_bool(truth),
            Value::Number(number) if number.parse::<i64>().is_err() => self.float(visitor),
            Value::Number(_) => self.integer(visitor),
            Value::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Value::Text(Cow::Owned(text)) => visitor.visit_string(text),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    integers!(
        deserialize_i8,
        deserialize_i16,
        deserialize_i32,
        deserialize_i64
    );
    integers!(
        deserialize_u8,
        deserialize_u16,
        deserialize_u32,
        deserialize_u64
    );

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        self.float(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        self.float(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        match self {
            Value::Boolean(truth) => visitor.visit_bool(truth),
            other => Err(Error::invalid_type(unexpected(&other), &visitor)),
        }
    }

    /// A text; or a number as it was written, which is how decimals stay exact.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        match self {
            Value::Number(number) => visitor.visit_borrowed_str(number),
            other => other.deserialize_string(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        match self {
            Value::Text(text) => visitor.visit_str(&text),
            other => Err(Error::invalid_type(unexpected(&other), &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        match self {
            Value::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, BadParam> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        match self {
            Value::Array(values) => visitor.visit_seq(SeqDeserializer::new(values.into_iter())),
            other => Err(Error::invalid_type(unexpected(&other), &visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        match self {
            Value::Object(fields) => visitor.visit_map(Fields::new(fields)),
            other => Err(Error::invalid_type(unexpected(&other), &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BadParam> {
        self.deserialize_map(visitor)
    }

    /// A name. Choices that carry something are no params: give what they carry a name of its own.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BadParam> {
        match self {
            Value::Text(text) => {
                let text: StrDeserializer<'_, BadParam> = text.as_ref().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            other => Err(Error::invalid_type(unexpected(&other), &visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadParam> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

impl<'de> IntoDeserializer<'de, BadParam> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The fields of an object, one after the other.
struct Fields<'de> {
    fields: std::vec::IntoIter<(Cow<'de, str>, Value<'de>)>,
    value: Option<(Cow<'de, str>, Value<'de>)>,
}

impl<'de> Fields<'de> {
    fn new(fields: Vec<(Cow<'de, str>, Value<'de>)>) -> Self {
        Self {
            fields: fields.into_iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = BadParam;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, BadParam> {
        self.value = self.fields.next();
        let Some((name, _)) = &self.value else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, BadParam> = name.as_ref().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, BadParam> {
        let Some((name, value)) = self.value.take() else {
            return Err(BadParam("a value was read before its name".to_owned()));
        };
        seed.deserialize(value)
            .map_err(|error| BadParam(format!("{name}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::Decimal;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Params {
        most: i64,
        small: u8,
        share: Option<Decimal<4>>,
        ratio: f64,
        on: bool,
        names: Vec<String>,
        aliases: BTreeMap<String, String>,
        mode: Option<Mode>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Warn,
        Refuse,
    }

    #[test]
    fn every_kind_of_param_is_read() {
        let params: Params = read(
            r#"{ "most": -5, "small": 255, "share": 0.1, "ratio": 0.5, "on": true,
                 "names": ["a", "\u00e9"], "aliases": { "x y": "z" }, "mode": "warn" }"#,
        )
        .unwrap();
        assert_eq!((params.most, params.small, params.on), (-5, 255, true));
        assert_eq!(params.share.unwrap().to_string(), "0.1000");
        assert!((params.ratio - 0.5).abs() < f64::EPSILON);
        assert_eq!(params.names, ["a", "é"]);
        assert_eq!(params.aliases["x y"], "z");
        assert_eq!(params.mode, Some(Mode::Warn));
        assert_eq!(read::<Params>("{}").unwrap(), Params::default());
        let params: Params = read(r#"{ "share": null, "mode": "refuse" }"#).unwrap();
        assert_eq!((params.share, params.mode), (None, Some(Mode::Refuse)));
    }

    #[test]
    fn a_decimal_is_read_from_its_own_text() {
        for (text, expected) in [
            ("0.1", "0.1000"),
            ("\"0.10\"", "0.1000"),
            ("922337203685477.5807", "922337203685477.5807"),
        ] {
            let params: Params = read(&format!("{{ \"share\": {text} }}")).unwrap();
            assert_eq!(params.share.unwrap().to_string(), expected);
        }
    }

    #[test]
    fn an_error_names_the_param_and_what_is_wrong() {
        for (params, expected) in [
            (
                r#"{ "mots": 5 }"#,
                "params: unknown field `mots`, expected one of",
            ),
            (
                r#"{ "most": "5" }"#,
                "params: most: expected i64, found the text \"5\"",
            ),
            (
                r#"{ "most": 1.5 }"#,
                "params: most: 1.5 is no whole number of 64 bits",
            ),
            (
                r#"{ "small": 256 }"#,
                "params: small: expected u8, found the number 256",
            ),
            (
                r#"{ "share": 0.00001 }"#,
                "params: share: \"0.00001\" is no decimal number with at most 4",
            ),
            (
                r#"{ "on": null }"#,
                "params: on: expected a boolean, found null",
            ),
            (
                r#"{ "names": [1] }"#,
                "params: names: expected a string, found the number 1",
            ),
            (
                r#"{ "mode": "wran" }"#,
                "params: mode: unknown variant `wran`, expected `warn` or `refuse`",
            ),
            (r#"{ "on": true, "on": true }"#, "duplicate field `on`"),
            ("[]", "found a list"),
            (
                "{",
                "params: no JSON: a text in quotes was expected at byte 1",
            ),
        ] {
            let error = read::<Params>(params).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
