use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::DataType;

use super::*;
use crate::medallion::parquet_blob;
use crate::plugin::Compiler;

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn the_same_rows_are_looked_up_by_another_key_where_a_set_says_so() {
    let columns = [("old", texts(&["1", "2"])), ("new", texts(&["2", "3"]))];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let blob = parquet_blob::write(&rows).unwrap();
    let digest = Digest::of(&blob);
    let blobs = BTreeMap::from([(digest, blob)]);
    let mut workshop = Workshop::new(Sandbox::new(Compiler::Within).unwrap());
    let mut old_of_2 = |key: &str| {
        let used = DimensionUse {
            key: vec![key.to_owned()],
            columns: BTreeMap::new(),
            rows: Some(digest),
        };
        let uses = BTreeMap::from([("product".to_owned(), used)]);
        let ready = workshop.dimensions(&uses, &blobs).unwrap();
        let found = ready["product"]
            .look_up(&[(texts(&["2"]), key)], None, &[("old", DataType::Utf8)])
            .unwrap();
        assert_eq!(found.found.true_count(), 1, "by {key}");
        let old = found.fields[0].clone().unwrap();
        old.as_string::<i32>().value(0).to_owned()
    };
    assert_eq!(old_of_2("old"), "2");
    assert_eq!(old_of_2("new"), "1");
}
