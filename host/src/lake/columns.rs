//! Delta's schema text and Arrow's schema, each from the other.
//!
//! Only flat columns and lists of them: what else a table holds is refused when it is opened.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::LakeError;

/// What an Arrow field's metadata and a Delta column's metadata both call a column's description.
const COMMENT: &str = "comment";

#[derive(Serialize, Deserialize)]
struct DeltaStruct {
    r#type: String,
    fields: Vec<DeltaField>,
}

#[derive(Serialize, Deserialize)]
struct DeltaField {
    name: String,
    r#type: Value,
    nullable: bool,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// The text that a table's metadata holds.
///
/// # Errors
/// `UnsupportedType` for a type that Delta has no word for, or that is not kept here.
pub(super) fn to_delta(schema: &Schema) -> Result<String, LakeError> {
    let fields = schema.fields().iter().map(|field| delta_field(field));
    let fields = fields.collect::<Result<_, _>>()?;
    text_of(&DeltaStruct {
        r#type: "struct".to_owned(),
        fields,
    })
}

/// The text for a schema that has further columns at its end. The columns so far keep their text,
/// with whatever others wrote about them.
///
/// # Errors
/// As `to_delta`.
pub(super) fn with_columns(text: &str, further: &[Arc<Field>]) -> Result<String, LakeError> {
    let mut schema = parse(text)?;
    for field in further {
        schema.fields.push(delta_field(field)?);
    }
    text_of(&schema)
}

/// The Arrow schema of a table's metadata.
///
/// # Errors
/// `UnsupportedType` for a column that is not kept here.
pub(super) fn to_arrow(text: &str) -> Result<SchemaRef, LakeError> {
    let fields = parse(text)?.fields.into_iter().map(|field| {
        let data_type = arrow_type(&field.r#type).ok_or_else(|| LakeError::UnsupportedType {
            column: field.name.clone(),
            data_type: field.r#type.to_string(),
        })?;
        let mut arrow = Field::new(field.name, data_type, field.nullable);
        if let Some(Value::String(comment)) = field.metadata.get(COMMENT) {
            arrow.set_metadata(HashMap::from([(COMMENT.to_owned(), comment.clone())]));
        }
        Ok(arrow)
    });
    Ok(Arc::new(Schema::new(
        fields.collect::<Result<Vec<_>, LakeError>>()?,
    )))
}

/// The first column that has a rule of its own (an invariant, a generation, an identity, a
/// default, a mapping), and that rule's name.
///
/// # Errors
/// `UnsupportedType` for a text that is no schema.
pub(super) fn rule_of_columns(text: &str) -> Result<Option<(String, String)>, LakeError> {
    Ok(parse(text)?.fields.into_iter().find_map(|field| {
        let rule = field.metadata.keys().find(|key| {
            key.starts_with("delta.") || matches!(&***key, "CURRENT_DEFAULT" | "EXISTS_DEFAULT")
        })?;
        Some((field.name, rule.clone()))
    }))
}

/// The columns that `wanted` has beyond those of `now`.
///
/// # Errors
/// Says which column would be dropped or changed, or is new and not nullable.
pub(super) fn further(now: &Schema, wanted: &Schema) -> Result<Vec<Arc<Field>>, String> {
    for field in now.fields() {
        let name = field.name();
        let Ok(kept) = wanted.field_with_name(name) else {
            return Err(format!("column {name} would be dropped"));
        };
        if !same_type(kept.data_type(), field.data_type()) {
            let (from, to) = (field.data_type(), kept.data_type());
            return Err(format!("column {name} would change from {from} to {to}"));
        }
    }
    let new = wanted
        .fields()
        .iter()
        .filter(|field| now.field_with_name(field.name()).is_err());
    let new: Vec<_> = new.cloned().collect();
    match new.iter().find(|field| !field.is_nullable()) {
        Some(field) => Err(format!("the new column {} is not nullable", field.name())),
        None => Ok(new),
    }
}

/// Whether two types are one to Delta, which has no names for the items of lists.
pub(super) fn same_type(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::List(one), DataType::List(other)) => {
            same_type(one.data_type(), other.data_type())
        }
        _ => one == other,
    }
}

fn parse(text: &str) -> Result<DeltaStruct, LakeError> {
    serde_json::from_str(text).map_err(|error| LakeError::UnsupportedType {
        column: "of the table".to_owned(),
        data_type: format!("schemaString that can't be read: {error}"),
    })
}

fn text_of(schema: &DeltaStruct) -> Result<String, LakeError> {
    serde_json::to_string(schema).map_err(|error| LakeError::UnsupportedType {
        column: "of the table".to_owned(),
        data_type: error.to_string(),
    })
}

fn delta_field(field: &Field) -> Result<DeltaField, LakeError> {
    let r#type = delta_type(field.data_type()).ok_or_else(|| LakeError::UnsupportedType {
        column: field.name().clone(),
        data_type: field.data_type().to_string(),
    })?;
    let comment = field.metadata().get(COMMENT);
    Ok(DeltaField {
        name: field.name().clone(),
        r#type,
        nullable: field.is_nullable(),
        metadata: comment
            .map(|comment| (COMMENT.to_owned(), comment.clone().into()))
            .into_iter()
            .collect(),
    })
}

fn delta_type(data_type: &DataType) -> Option<Value> {
    Some(match data_type {
        DataType::Utf8 => "string".into(),
        DataType::Binary => "binary".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "byte".into(),
        DataType::Int16 => "short".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
            "timestamp".into()
        }
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            format!("decimal({precision},{scale})").into()
        }
        DataType::List(item) => json!({
            "type": "array",
            "elementType": delta_type(item.data_type())?,
            "containsNull": item.is_nullable(),
        }),
        _ => return None,
    })
}

fn arrow_type(delta: &Value) -> Option<DataType> {
    if let Value::Object(nested) = delta {
        if nested.get("type")?.as_str()? != "array" {
            return None;
        }
        let item = arrow_type(nested.get("elementType")?)?;
        let nullable = nested.get("containsNull")?.as_bool()?;
        return Some(DataType::List(Arc::new(Field::new_list_field(
            item, nullable,
        ))));
    }
    Some(match delta.as_str()? {
        "string" => DataType::Utf8,
        "binary" => DataType::Binary,
        "boolean" => DataType::Boolean,
        "byte" => DataType::Int8,
        "short" => DataType::Int16,
        "integer" => DataType::Int32,
        "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        decimal => {
            let inner = decimal.strip_prefix("decimal(")?.strip_suffix(')')?;
            let (precision, scale) = inner.split_once(',')?;
            let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
            DataType::Decimal128(precision, scale)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let list = Field::new_list_field(DataType::Utf8, true);
        let comment = HashMap::from([("comment".to_owned(), "what was paid".to_owned())]);
        Schema::new(vec![
            Field::new("_raw", DataType::Binary, true),
            Field::new("_offset", DataType::Int64, false),
            Field::new("price", DataType::Decimal128(38, 2), true).with_metadata(comment),
            Field::new("rules", DataType::List(Arc::new(list)), true),
            Field::new(
                "at",
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                true,
            ),
            Field::new("sale_date", DataType::Date32, true),
        ])
    }

    #[test]
    fn a_schema_is_read_back_with_its_comments() {
        let text = to_delta(&schema()).unwrap();
        assert_eq!(*to_arrow(&text).unwrap(), schema());
        assert_eq!(rule_of_columns(&text).unwrap(), None);
    }

    #[test]
    fn a_timestamp_without_zone_is_refused_since_old_readers_have_no_word_for_it() {
        let zoneless = DataType::Timestamp(TimeUnit::Microsecond, None);
        let bad = Schema::new(vec![Field::new("at", zoneless, true)]);
        assert!(
            matches!(to_delta(&bad), Err(LakeError::UnsupportedType { column, .. })
            if column == "at")
        );
    }

    #[test]
    fn a_column_with_a_rule_of_its_own_is_found() {
        let text = r#"{"type":"struct","fields":[{"name":"a","type":"long","nullable":true,
            "metadata":{"delta.invariants":"a > 1"}}]}"#;
        let found = rule_of_columns(text).unwrap();
        assert_eq!(found, Some(("a".to_owned(), "delta.invariants".to_owned())));
    }
}
