//! How single values of a pipeline's TOML are read that are more than serde knows of.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize as _;

use super::LakeConfig;

/// Reads `[source.properties]`.
pub(super) fn properties<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    texts("[source.properties]", from)
}

/// Reads `[lake.options]`.
pub(super) fn store_options<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    texts("[lake.options]", from)
}

/// Reads a table of texts. What is wrong with one is said without its value, which may be a secret.
fn texts<'de, D: serde::Deserializer<'de>>(
    table: &str,
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let read = toml::Table::deserialize(from)?;
    let texts = read.into_iter().map(|(name, value)| match value {
        toml::Value::String(value) => Ok((name, value)),
        toml::Value::Table(_) => Err(format!(
            "{table} {name}: put the name in quotes, as in \"{name}.…\" = \"…\""
        )),
        _ => Err(format!("{table} {name}: put the value in quotes")),
    });
    texts
        .collect::<Result<_, String>>()
        .map_err(serde::de::Error::custom)
}

/// Reads `"./lake"`, or a table of more than that.
pub(super) fn lake<'de, D: serde::Deserializer<'de>>(from: D) -> Result<LakeConfig, D::Error> {
    struct Either;

    impl<'de> serde::de::Visitor<'de> for Either {
        type Value = LakeConfig;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a folder or URL in quotes, or a table [lake] with uri, fsync and options")
        }

        fn visit_str<E>(self, uri: &str) -> Result<LakeConfig, E> {
            Ok(LakeConfig {
                uri: Some(uri.to_owned()),
                ..LakeConfig::default()
            })
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<LakeConfig, A::Error> {
            LakeConfig::deserialize(serde::de::value::MapAccessDeserializer::new(map))
        }
    }

    from.deserialize_any(Either)
}

/// Reads `"500ms"`, `"5s"`, `"2m"`.
pub(super) fn duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

/// Reads `"500ms"`, `"5s"`, `"2m"`, `"1h"`.
///
/// # Errors
/// A text that says which forms there are.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad =
        || format!("{text:?} is no duration: use a whole number and ms, s, m or h, as in 500ms");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    Ok(Duration::from_millis(
        number.checked_mul(factor).ok_or_else(bad)?,
    ))
}
