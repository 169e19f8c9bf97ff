//! When two events are the same: 128-bit hashes of the key's fields.

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};

/// The first 128 bits of BLAKE3 over the key's fields, each with its length before it. Two of n
/// keys meet by chance with a probability of about n² / 2^129.
pub type KeyHash = u128;

/// The hash of each row's key; for a row whose key is not whole, the name of the absent field.
pub fn key_hashes<'a>(
    columns: &[(&'a str, ArrayRef)],
    rows: usize,
) -> Vec<Result<KeyHash, &'a str>> {
    let mut bytes = Vec::with_capacity(64);
    (0..rows)
        .map(|row| {
            bytes.clear();
            for (name, column) in columns {
                let from = bytes.len();
                bytes.extend_from_slice(&[0; 4]);
                if !push_value(&mut bytes, column, row) {
                    return Err(*name);
                }
                let length = u32::try_from(bytes.len() - from - 4).unwrap_or(u32::MAX);
                if let Some(place) = bytes.get_mut(from..from + 4) {
                    place.copy_from_slice(&length.to_le_bytes());
                }
            }
            Ok(first_128_bits(&bytes))
        })
        .collect()
}

fn first_128_bits(bytes: &[u8]) -> u128 {
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(blake3::hash(bytes).as_bytes()) {
        *to = *from;
    }
    u128::from_le_bytes(first)
}

/// Adds a value's bytes. False: there is no value, or an empty text.
fn push_value(bytes: &mut Vec<u8>, column: &ArrayRef, row: usize) -> bool {
    if column.is_null(row) {
        return false;
    }
    let any = column.as_any();
    if let Some(texts) = any.downcast_ref::<StringArray>() {
        bytes.extend_from_slice(texts.value(row).as_bytes());
        return !texts.value(row).is_empty();
    }
    if let Some(integers) = any.downcast_ref::<Int64Array>() {
        bytes.extend_from_slice(&integers.value(row).to_le_bytes());
    } else if let Some(decimals) = any.downcast_ref::<Decimal128Array>() {
        bytes.extend_from_slice(&decimals.value(row).to_le_bytes());
    } else if let Some(moments) = any.downcast_ref::<TimestampMicrosecondArray>() {
        bytes.extend_from_slice(&moments.value(row).to_le_bytes());
    } else if let Some(dates) = any.downcast_ref::<Date32Array>() {
        bytes.extend_from_slice(&dates.value(row).to_le_bytes());
    } else if let Some(truths) = any.downcast_ref::<BooleanArray>() {
        bytes.push(u8::from(truths.value(row)));
    } else {
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn fields_that_run_into_each_other_make_other_keys() {
        let one: ArrayRef = Arc::new(StringArray::from(vec!["ab", "a"]));
        let two: ArrayRef = Arc::new(StringArray::from(vec!["c", "bc"]));
        let hashes = key_hashes(&[("one", one), ("two", two)], 2);
        assert_ne!(hashes[0], hashes[1]);
    }

    #[test]
    fn a_key_with_an_absent_or_empty_field_is_no_key() {
        let id: ArrayRef = Arc::new(StringArray::from(vec![Some("T1"), None, Some("")]));
        let line: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3)]));
        let hashes = key_hashes(&[("id", id), ("line", line)], 3);
        assert!(hashes[0].is_ok());
        assert_eq!(hashes[1], Err("id"));
        assert_eq!(hashes[2], Err("id"));
    }
}
