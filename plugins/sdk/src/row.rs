//! Rows over columns: `row!` and `look_up!` declare a struct, and the struct's fields are what the
//! host is asked for.

use crate::bindings::wire;
use crate::column::{Boolean, Slot};

/// A struct that [`row!`](crate::row!) made: one row, as the columns of a batch have it.
pub trait Row<'a>: Sized {
    /// The columns of a batch, checked.
    type Columns;

    /// What is asked of the host.
    fn reads() -> Vec<wire::Field>;
    /// What the host is asked to join.
    fn look_ups() -> Vec<wire::LookUp>;
    /// Takes the columns that were asked for, in their order.
    ///
    /// # Errors
    /// A column that is missing, or not as it was asked for.
    fn open(reader: &mut Reader<'a, '_>) -> Result<Self::Columns, String>;
    /// One row.
    fn at(columns: &Self::Columns, row: usize) -> Self;
}

/// A struct that [`look_up!`](crate::look_up!) made: one row of a dimension.
pub trait LookUp<'a>: Sized {
    /// The columns of a batch, checked.
    type Columns;
    /// The dimension's name.
    const DIMENSION: &'static str;

    /// What the host is asked to join.
    fn describe() -> wire::LookUp;
    /// Takes the dimension's columns.
    ///
    /// # Errors
    /// A column that is missing, or not as it was asked for.
    fn open(reader: &mut Reader<'a, '_>) -> Result<Self::Columns, String>;
    /// The dimension's row for a row of the batch, if it was found.
    fn at(columns: &Self::Columns, row: usize) -> Option<Self>;
}

/// The columns of a batch, taken one after the other.
pub struct Reader<'a, 'w> {
    rows: usize,
    columns: std::slice::Iter<'a, wire::Column>,
    looks_up: &'w dyn Fn(&str) -> bool,
}

impl<'a, 'w> Reader<'a, 'w> {
    /// `looks_up` says which dimensions were asked for.
    pub fn new(batch: &'a wire::Batch, looks_up: &'w dyn Fn(&str) -> bool) -> Self {
        Self {
            rows: batch.rows as usize,
            columns: batch.columns.iter(),
            looks_up,
        }
    }

    /// The next column.
    ///
    /// # Errors
    /// There is none, or it is of another kind or length.
    pub fn next<K: crate::Kind>(&mut self, name: &str) -> Result<Slot<'a, K>, String> {
        let column = self
            .columns
            .next()
            .ok_or_else(|| format!("column {name} was asked for, and is not there"))?;
        Slot::open(column, self.rows, name)
    }

    /// The columns of a look-up, if it was asked for.
    ///
    /// # Errors
    /// As of [`Reader::next`].
    pub fn look_up<L: LookUp<'a>>(&mut self) -> Result<Option<L::Columns>, String> {
        (self.looks_up)(L::DIMENSION)
            .then(|| L::open(self))
            .transpose()
    }

    /// The column that says for which rows a look-up found something.
    ///
    /// # Errors
    /// As of [`Reader::next`].
    pub fn found(&mut self, dimension: &str) -> Result<Slot<'a, Boolean>, String> {
        self.next(dimension)
    }
}

/// Declares the row that a component looks at.
///
/// Each field is a column that the component reads: `required` (the tenant's events must have it)
/// or `optional`. Every field is an `Option`, because a required column too can be absent in a
/// row. A column whose name is no name in Rust is given with `=`. Look-ups follow in a block of
/// their own; each is the struct of a [`look_up!`](crate::look_up!), and is `None` where the
/// dimension has no such row. In tests, write a row with `..Sale::default()` at its end.
///
/// ```
/// # use assay_rules::prelude::*;
/// look_up! {
///     pub struct Store from "store" on "store_id" = "store_id" {
///         optional region: Text,
///     }
/// }
///
/// row! {
///     pub struct Sale {
///         required quantity: Integer,
///         required unit_price: Decimal<2>,
///         optional kind: Text = "type",
///     }
///     look_ups { store: Store }
/// }
///
/// let sale = Sale { quantity: Some(2), kind: Some("return"), ..Sale::default() };
/// assert!(sale.store.is_none());
/// ```
#[macro_export]
macro_rules! row {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Name:ident {
            $( $(#[$field_meta:meta])* $need:ident $field:ident : $kind:ident $(<$scale:tt>)? $(= $column:literal)? ),* $(,)?
        }
        $( look_ups { $( $(#[$look_meta:meta])* $look:ident : $Look:ident ),* $(,)? } )?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        $vis struct $Name<'a> {
            $( $(#[$field_meta])* pub $field: Option<$crate::value_type!('a, $kind $(<$scale>)?)>, )*
            $($( $(#[$look_meta])* pub $look: Option<$Look<'a>>, )*)?
            #[doc(hidden)]
            pub of_batch: std::marker::PhantomData<&'a ()>,
        }

        const _: () = {
            pub struct Columns<'a> {
                $( $field: $crate::column::Slot<'a, $kind $(<$scale>)?>, )*
                $($( $look: Option<<$Look<'a> as $crate::LookUp<'a>>::Columns>, )*)?
            }

            impl<'a> $crate::Row<'a> for $Name<'a> {
                type Columns = Columns<'a>;

                fn reads() -> Vec<$crate::wire::Field> {
                    vec![$(
                        $crate::column::field::<$kind $(<$scale>)?>(
                            $crate::column_name!($field $(= $column)?),
                            $crate::is_required!($need),
                        ),
                    )*]
                }

                fn look_ups() -> Vec<$crate::wire::LookUp> {
                    vec![$($( <$Look<'a> as $crate::LookUp<'a>>::describe(), )*)?]
                }

                fn open(reader: &mut $crate::Reader<'a, '_>) -> Result<Columns<'a>, String> {
                    Ok(Columns {
                        $( $field: reader.next($crate::column_name!($field $(= $column)?))?, )*
                        $($( $look: reader.look_up::<$Look<'a>>()?, )*)?
                    })
                }

                #[inline]
                fn at(columns: &Columns<'a>, row: usize) -> Self {
                    Self {
                        $( $field: columns.$field.get(row), )*
                        $($(
                            $look: columns.$look.as_ref().and_then(|columns| {
                                <$Look<'a> as $crate::LookUp<'a>>::at(columns, row)
                            }),
                        )*)?
                        of_batch: std::marker::PhantomData,
                    }
                }
            }
        };
    };
}

/// Declares what is looked up in a dimension, for a [`row!`](crate::row!).
///
/// `on` names a column of the row and the dimension's key column that it must equal, as often as
/// the dimension's key has columns, separated by commas. `as_of` names the timestamp that decides
/// which version of the dimension's row holds; without it that is the event's time. A field that
/// the dimension lacks is `None` everywhere, unless it is `required`.
///
/// ```
/// # use assay_rules::prelude::*;
/// look_up! {
///     /// The price that the store asked on that day.
///     pub struct Price from "price" on "store_id" = "store_id", "product_id" = "sku" as_of "timestamp" {
///         required list_price: Decimal<2>,
///     }
/// }
/// ```
#[macro_export]
macro_rules! look_up {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Name:ident from $dimension:literal
            on $( $row_column:literal = $key:literal ),+ $( as_of $as_of:literal )?
        {
            $( $(#[$field_meta:meta])* $need:ident $field:ident : $kind:ident $(<$scale:tt>)? $(= $column:literal)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        $vis struct $Name<'a> {
            $( $(#[$field_meta])* pub $field: Option<$crate::value_type!('a, $kind $(<$scale>)?)>, )*
            #[doc(hidden)]
            pub of_batch: std::marker::PhantomData<&'a ()>,
        }

        const _: () = {
            pub struct Columns<'a> {
                $( $field: $crate::column::Slot<'a, $kind $(<$scale>)?>, )*
                found: $crate::column::Slot<'a, $crate::Boolean>,
            }

            impl<'a> $crate::LookUp<'a> for $Name<'a> {
                type Columns = Columns<'a>;
                const DIMENSION: &'static str = $dimension;

                fn describe() -> $crate::wire::LookUp {
                    let as_of: &[&str] = &[$($as_of)?];
                    $crate::wire::LookUp {
                        dimension: $dimension.to_owned(),
                        on: vec![$( ($row_column.to_owned(), $key.to_owned()) ),+],
                        as_of: as_of.first().map(|column| (*column).to_owned()),
                        fields: vec![$(
                            $crate::column::field::<$kind $(<$scale>)?>(
                                $crate::column_name!($field $(= $column)?),
                                $crate::is_required!($need),
                            ),
                        )*],
                    }
                }

                fn open(reader: &mut $crate::Reader<'a, '_>) -> Result<Columns<'a>, String> {
                    Ok(Columns {
                        $( $field: reader.next(concat!(
                            $dimension, ".", $crate::column_name!($field $(= $column)?)
                        ))?, )*
                        found: reader.found(concat!($dimension, ".found"))?,
                    })
                }

                #[inline]
                fn at(columns: &Columns<'a>, row: usize) -> Option<Self> {
                    (columns.found.get(row) == Some(true)).then(|| Self {
                        $( $field: columns.$field.get(row), )*
                        of_batch: std::marker::PhantomData,
                    })
                }
            }
        };
    };
}

/// The Rust type of a kind's values.
#[doc(hidden)]
#[macro_export]
macro_rules! value_type {
    ($a:lifetime, Text) => { &$a str };
    ($a:lifetime, Binary) => { &$a [u8] };
    ($a:lifetime, Integer) => { i64 };
    ($a:lifetime, Float) => { f64 };
    ($a:lifetime, Boolean) => { bool };
    ($a:lifetime, $($itself:tt)+) => { $($itself)+ };
}

/// A field's column: its own name, unless another is given.
#[doc(hidden)]
#[macro_export]
macro_rules! column_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident = $column:literal) => {
        $column
    };
}

/// `required` and `optional`, and nothing else.
#[doc(hidden)]
#[macro_export]
macro_rules! is_required {
    (required) => {
        true
    };
    (optional) => {
        false
    };
}
