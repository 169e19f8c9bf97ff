//! What stands around a component while it is tried: a tenant's pipeline, or just what the
//! component itself asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::TrialError;
use crate::medallion::definition::{Definition, DimensionUse};
use crate::medallion::dimension::{Dimension, read_file};
use crate::medallion::parquet_blob;
use crate::names::Digest;
use crate::plugin::{Description, Kind};
use crate::schema::FieldType;

/// Endings of a dimension's file.
const ENDINGS: [&str; 4] = ["csv", "ndjson", "jsonl", "json"];

/// The events and dimensions that a component is tried with.
pub struct Setting {
    pub(super) definition: Definition,
    dimensions: BTreeMap<String, Arc<Dimension>>,
}

impl Setting {
    /// A tenant's, whose definition names no components. `blobs` holds the rows of its dimensions.
    ///
    /// # Errors
    /// A dimension's rows that do not fit.
    pub fn of_tenant(
        definition: &Definition,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<Self, TrialError> {
        let mut dimensions = BTreeMap::new();
        for (name, used) in &definition.dimensions {
            if let Some(bytes) = used.rows.and_then(|digest| blobs.get(&digest)) {
                let rows = parquet_blob::read(bytes)?;
                let dimension = Dimension::new(&used.spec(name), rows)?;
                dimensions.insert(name.clone(), Arc::new(dimension));
            }
        }
        Ok(Self {
            definition: definition.clone(),
            dimensions,
        })
    }

    /// Events of just the columns that a component reads, in UTC, and the dimensions that it looks
    /// things up in, if one of `folders` has a file of their name: the first that has counts.
    ///
    /// # Errors
    /// A dimension's file that does not fit.
    pub fn of_component(description: &Description, folders: &[&Path]) -> Result<Self, TrialError> {
        let mut dimensions = BTreeMap::new();
        let mut uses: BTreeMap<String, DimensionUse> = BTreeMap::new();
        if let Description::Rows(rows) = description {
            for look_up in &rows.look_ups {
                let used = uses
                    .entry(look_up.dimension.clone())
                    .or_insert_with(|| DimensionUse {
                        key: look_up.on.iter().map(|(_, key)| key.clone()).collect(),
                        columns: BTreeMap::new(),
                        rows: None,
                    });
                for field in &look_up.fields {
                    used.columns
                        .insert(field.name.clone(), field_type(field.kind));
                }
            }
        }
        for (name, used) in &mut uses {
            let Some(file) = folders.iter().find_map(|folder| file_of(folder, name)) else {
                continue;
            };
            dimensions.insert(name.clone(), load(name, used, &file)?);
        }
        Ok(Self {
            definition: Definition {
                key: Vec::new(),
                max_columns: Some(0),
                dimensions: uses,
                ..Definition::without_rules(Vec::new())
            },
            dimensions,
        })
    }

    pub(super) fn into_parts(self) -> (Definition, BTreeMap<String, Arc<Dimension>>) {
        (self.definition, self.dimensions)
    }
}

fn load(name: &str, used: &DimensionUse, file: &Path) -> Result<Arc<Dimension>, TrialError> {
    let spec = used.spec(name);
    Ok(Arc::new(Dimension::new(&spec, read_file(&spec, file)?)?))
}

fn file_of(folder: &Path, dimension: &str) -> Option<PathBuf> {
    ENDINGS
        .iter()
        .map(|ending| folder.join(format!("{dimension}.{ending}")))
        .find(|file| file.is_file())
}

/// The type of an event's field, or a dimension's column, that a component reads as `kind`. There
/// are none for floats and binary: those are written by components only.
pub(super) fn field_type(kind: Kind) -> FieldType {
    match kind {
        Kind::Boolean => FieldType::Boolean,
        Kind::Integer => FieldType::Integer,
        Kind::Decimal(scale) => FieldType::Decimal {
            precision: 18,
            scale,
        },
        Kind::Float => FieldType::Json,
        Kind::Text | Kind::Binary => FieldType::String,
        Kind::Timestamp => FieldType::Timestamp,
        Kind::Date => FieldType::Date,
    }
}
