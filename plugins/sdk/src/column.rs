//! Columns and the kinds of value that they hold. Values are read where they lie: nothing is
//! copied on the way in.

use std::borrow::Cow;

use crate::bindings::wire;
use crate::decimal::Decimal;
use crate::time::{Date, Timestamp};

/// A kind of value that a column can hold. The kinds are [`Boolean`], [`Integer`], [`Float`],
/// [`Decimal`], [`Text`], [`Binary`], [`Timestamp`] and [`Date`].
pub trait Kind: 'static {
    /// A value as it is read.
    type Value<'a>: Copy;
    /// A value as it is written.
    type Out<'a>;
    /// A column's values, checked once.
    type Values<'a>: Copy;
    /// Where written values gather.
    type Builder: Default;

    /// This kind as the contract spells it.
    fn wire() -> wire::Kind;
    /// A column's values and how many they are; `None` if the column is of another kind.
    fn open(values: &wire::Values) -> Option<(Self::Values<'_>, usize)>;
    /// The value of a row.
    fn get<'a>(values: Self::Values<'a>, row: usize) -> Option<Self::Value<'a>>
    where
        // Says that the lifetime is chosen by the caller, in every kind alike.
        'a: 'a;
    /// Makes room for the values of so many rows.
    fn reserve(values: &mut Self::Builder, rows: usize);
    /// Adds a value; without one, something to fill its place.
    fn push<'a>(builder: &mut Builder<Self>, value: Option<Self::Out<'a>>)
    where
        Self: Sized,
        'a: 'a;
    /// The values that were added.
    fn close(values: Self::Builder) -> wire::Values;
}

/// True or false: `bool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boolean {}
/// A whole number of 64 bits: `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integer {}
/// A float of 64 bits: `f64`. Not for money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {}
/// Text: `&str` read, `Cow<str>` written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {}
/// Any bytes: `&[u8]` read, `Cow<[u8]>` written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {}

/// What a written column is made of.
pub struct Builder<K: Kind> {
    pub(crate) values: K::Builder,
    // Empty until the first row without a value: most columns have none.
    valid: Vec<u8>,
    rows: usize,
}

impl<K: Kind> Default for Builder<K> {
    fn default() -> Self {
        Self {
            values: K::Builder::default(),
            valid: Vec::new(),
            rows: 0,
        }
    }
}

impl<K: Kind> Builder<K> {
    /// Adds the value of the next row.
    #[inline]
    pub fn push(&mut self, value: Option<K::Out<'_>>) {
        if value.is_none() || !self.valid.is_empty() {
            self.mark(value.is_some());
        }
        self.rows += 1;
        K::push(self, value);
    }

    /// An empty column with room for so many rows.
    pub fn with_room(rows: usize) -> Self {
        let mut builder = Self::default();
        K::reserve(&mut builder.values, rows);
        builder
    }

    /// Notes whether the next row has a value; all rows before the first that has none have one.
    fn mark(&mut self, present: bool) {
        let (byte, bit) = (self.rows / 8, self.rows % 8);
        if self.valid.len() <= byte {
            self.valid.resize(byte, 0xff);
            self.valid.push(0xff);
        }
        if !present && let Some(byte) = self.valid.get_mut(byte) {
            *byte &= !(1 << bit);
        }
    }

    /// The column.
    pub fn close(self) -> wire::Column {
        wire::Column {
            values: K::close(self.values),
            valid: (!self.valid.is_empty()).then_some(self.valid),
        }
    }
}

/// A column that is read, row by row.
pub struct Slot<'a, K: Kind> {
    values: K::Values<'a>,
    valid: Option<&'a [u8]>,
}

impl<'a, K: Kind> Slot<'a, K> {
    /// Checks that a column holds this kind, and a value for each of `rows`.
    ///
    /// # Errors
    /// What the column holds instead.
    pub fn open(column: &'a wire::Column, rows: usize, name: &str) -> Result<Self, String> {
        let (values, found) = K::open(&column.values).ok_or_else(|| {
            let wanted = K::wire();
            format!(
                "column {name} holds {}, not {wanted:?}",
                kind_of(&column.values)
            )
        })?;
        let valid = column.valid.as_deref();
        if found != rows || valid.is_some_and(|bits| bits.len() < rows.div_ceil(8)) {
            return Err(format!("column {name} has {found} values for {rows} rows"));
        }
        Ok(Self { values, valid })
    }

    /// The value of a row, if it has one.
    pub fn get(&self, row: usize) -> Option<K::Value<'a>> {
        if let Some(bits) = self.valid
            && bits
                .get(row / 8)
                .is_none_or(|byte| byte >> (row % 8) & 1 == 0)
        {
            return None;
        }
        K::get(self.values, row)
    }
}

fn kind_of(values: &wire::Values) -> &'static str {
    match values {
        wire::Values::Booleans(_) => "booleans",
        wire::Values::Integers(_) => "integers",
        wire::Values::Floats(_) => "floats",
        wire::Values::Decimals(_) => "decimals of another scale",
        wire::Values::Text(_) => "text that is not well formed",
        wire::Values::Binary(_) => "binary that is not well formed",
        wire::Values::Timestamps(_) => "timestamps",
        wire::Values::Dates(_) => "dates",
    }
}

/// A field of `reads`, `writes`, state or measures.
pub fn field<K: Kind>(name: &str, required: bool) -> wire::Field {
    wire::Field {
        name: name.to_owned(),
        kind: K::wire(),
        required,
    }
}

/// A kind whose values are one number each, all in a list.
macro_rules! plain_kind {
    ($kind:ty, $value:ty, $raw:ty, $case:ident, $wire:ident, $read:expr, $write:expr) => {
        impl Kind for $kind {
            type Value<'a> = $value;
            type Out<'a> = $value;
            type Values<'a> = &'a [$raw];
            type Builder = Vec<$raw>;

            fn wire() -> wire::Kind {
                wire::Kind::$wire
            }

            fn open(values: &wire::Values) -> Option<(&[$raw], usize)> {
                match values {
                    wire::Values::$case(values) => Some((values, values.len())),
                    _ => None,
                }
            }

            #[inline]
            fn get<'a>(values: &'a [$raw], row: usize) -> Option<$value>
            where
                'a: 'a,
            {
                values.get(row).copied().map($read)
            }

            fn reserve(values: &mut Vec<$raw>, rows: usize) {
                values.reserve(rows);
            }

            #[inline]
            fn push<'a>(builder: &mut Builder<Self>, value: Option<$value>)
            where
                'a: 'a,
            {
                builder.values.push(value.map($write).unwrap_or_default());
            }

            fn close(values: Vec<$raw>) -> wire::Values {
                wire::Values::$case(values)
            }
        }
    };
}

plain_kind!(
    Boolean,
    bool,
    u8,
    Booleans,
    Boolean,
    |byte| byte != 0,
    u8::from
);
plain_kind!(
    Integer,
    i64,
    i64,
    Integers,
    Integer,
    |number| number,
    |number| number
);
plain_kind!(Float, f64, f64, Floats, Float, |number| number, |number| {
    number
});
plain_kind!(
    Timestamp,
    Self,
    i64,
    Timestamps,
    Timestamp,
    Self::of_micros,
    Self::micros
);
plain_kind!(Date, Self, i32, Dates, Date, Self::of_days, Self::days);

impl<const SCALE: u8> Kind for Decimal<SCALE> {
    type Value<'a> = Self;
    type Out<'a> = Self;
    type Values<'a> = &'a [i64];
    type Builder = Vec<i64>;

    fn wire() -> wire::Kind {
        wire::Kind::Decimal(SCALE)
    }

    fn open(values: &wire::Values) -> Option<(&[i64], usize)> {
        match values {
            wire::Values::Decimals(decimals) if decimals.scale == SCALE => {
                Some((&decimals.units, decimals.units.len()))
            }
            _ => None,
        }
    }

    #[inline]
    fn get<'a>(values: &'a [i64], row: usize) -> Option<Self>
    where
        'a: 'a,
    {
        values.get(row).copied().map(Self::of_units)
    }

    fn reserve(units: &mut Vec<i64>, rows: usize) {
        units.reserve(rows);
    }

    #[inline]
    fn push<'a>(builder: &mut Builder<Self>, value: Option<Self>)
    where
        'a: 'a,
    {
        builder
            .values
            .push(value.map(Self::units).unwrap_or_default());
    }

    fn close(units: Vec<i64>) -> wire::Values {
        wire::Values::Decimals(wire::Decimal {
            scale: SCALE,
            units,
        })
    }
}

/// Values of variable length: where the first begins and each ends.
pub struct Gathered {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            bytes: Vec::new(),
        }
    }
}

impl Gathered {
    /// Room for ids; longer values make more of it.
    fn reserve(&mut self, rows: usize) {
        const BYTES_A_ROW: usize = 12;
        self.offsets.reserve(rows);
        self.bytes.reserve(rows * BYTES_A_ROW);
    }

    #[inline]
    fn push(&mut self, value: &[u8]) {
        append(&mut self.bytes, value);
        self.offsets
            .push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    fn close(self) -> wire::Text {
        wire::Text {
            offsets: self.offsets,
            bytes: self.bytes,
        }
    }
}

/// Adds bytes. Copying in bulk is a call out of the component, which for an id costs more than the
/// copy: short values go eight bytes at a time.
#[inline]
pub(crate) fn append(bytes: &mut Vec<u8>, value: &[u8]) {
    const SHORT: usize = 64;
    if value.len() > SHORT {
        bytes.extend_from_slice(value);
        return;
    }
    let (words, rest) = value.as_chunks::<8>();
    bytes.reserve(value.len());
    for word in words {
        bytes.extend_from_slice(word);
    }
    for byte in rest {
        bytes.push(*byte);
    }
}

/// Start and end of a row's value.
#[inline]
fn range(offsets: &[u32], row: usize) -> Option<std::ops::Range<usize>> {
    let from = *offsets.get(row)?;
    let to = *offsets.get(row + 1)?;
    Some(from as usize..to as usize)
}

impl Kind for Text {
    type Value<'a> = &'a str;
    type Out<'a> = Cow<'a, str>;
    type Values<'a> = (&'a [u32], &'a str);
    type Builder = Gathered;

    fn wire() -> wire::Kind {
        wire::Kind::Text
    }

    fn open(values: &wire::Values) -> Option<((&[u32], &str), usize)> {
        match values {
            wire::Values::Text(text) => {
                let bytes = std::str::from_utf8(&text.bytes).ok()?;
                Some(((&text.offsets, bytes), text.offsets.len().saturating_sub(1)))
            }
            _ => None,
        }
    }

    #[inline]
    fn get<'a>((offsets, text): (&'a [u32], &'a str), row: usize) -> Option<&'a str>
    where
        'a: 'a,
    {
        text.get(range(offsets, row)?)
    }

    fn reserve(values: &mut Gathered, rows: usize) {
        values.reserve(rows);
    }

    #[inline]
    fn push<'a>(builder: &mut Builder<Self>, value: Option<Cow<'a, str>>)
    where
        'a: 'a,
    {
        builder
            .values
            .push(value.as_deref().unwrap_or_default().as_bytes());
    }

    fn close(values: Gathered) -> wire::Values {
        wire::Values::Text(values.close())
    }
}

impl Kind for Binary {
    type Value<'a> = &'a [u8];
    type Out<'a> = Cow<'a, [u8]>;
    type Values<'a> = (&'a [u32], &'a [u8]);
    type Builder = Gathered;

    fn wire() -> wire::Kind {
        wire::Kind::Binary
    }

    fn open(values: &wire::Values) -> Option<((&[u32], &[u8]), usize)> {
        match values {
            wire::Values::Binary(binary) => {
                let rows = binary.offsets.len().saturating_sub(1);
                Some(((&binary.offsets, &binary.bytes), rows))
            }
            _ => None,
        }
    }

    #[inline]
    fn get<'a>((offsets, bytes): (&'a [u32], &'a [u8]), row: usize) -> Option<&'a [u8]>
    where
        'a: 'a,
    {
        bytes.get(range(offsets, row)?)
    }

    fn reserve(values: &mut Gathered, rows: usize) {
        values.reserve(rows);
    }

    #[inline]
    fn push<'a>(builder: &mut Builder<Self>, value: Option<Cow<'a, [u8]>>)
    where
        'a: 'a,
    {
        builder.values.push(value.as_deref().unwrap_or_default());
    }

    fn close(values: Gathered) -> wire::Values {
        wire::Values::Binary(values.close())
    }
}

#[cfg(test)]
mod tests;
