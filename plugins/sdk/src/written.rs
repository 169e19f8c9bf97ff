//! What a component answers with: `writes!` declares a struct, and the struct's fields are columns.

use crate::bindings::wire;
use crate::column::{Builder, Kind};

/// A struct that [`writes!`](crate::writes!) made: the values that one row is given.
pub trait Written<'a>: Sized {
    /// Where the columns grow.
    type Builders;

    /// All columns.
    fn fields() -> Vec<wire::Field>;
    /// Empty columns with room for so many rows, of those that `wanted` says yes to.
    fn start(wanted: &dyn Fn(&str) -> bool, rows: usize) -> Self::Builders;
    /// Adds this row.
    fn push(self, builders: &mut Self::Builders);
    /// The columns, in the order of `fields`.
    fn finish(builders: Self::Builders) -> Vec<wire::Column>;
}

/// A column with room for so many rows, if it is wanted.
pub fn builder<K: Kind>(wanted: bool, rows: usize) -> Option<Builder<K>> {
    wanted.then(|| Builder::with_room(rows))
}

/// Declares what a component writes: the columns that cleansing replaces, that enriching adds, or
/// the measures of an aggregation. A field that is `None` makes an absent value.
///
/// ```
/// # use assay_rules::prelude::*;
/// writes! {
///     pub struct Meaning {
///         net_amount: Decimal<2>,
///         is_return: Boolean,
///     }
/// }
///
/// let meaning = Meaning { is_return: Some(false), ..Meaning::default() };
/// assert_eq!(meaning.net_amount, None);
/// ```
#[macro_export]
macro_rules! writes {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $kind:ty $(= $column:literal)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        $vis struct $Name<'a> {
            $( $(#[$field_meta])* pub $field: Option<<$kind as $crate::Kind>::Out<'a>>, )*
        }

        const _: () = {
            pub struct Builders {
                $( $field: Option<$crate::column::Builder<$kind>>, )*
            }

            impl<'a> $crate::Written<'a> for $Name<'a> {
                type Builders = Builders;

                fn fields() -> Vec<$crate::wire::Field> {
                    vec![$(
                        $crate::column::field::<$kind>($crate::column_name!($field $(= $column)?), false),
                    )*]
                }

                fn start(wanted: &dyn Fn(&str) -> bool, rows: usize) -> Builders {
                    Builders {
                        $( $field: $crate::written::builder(
                            wanted($crate::column_name!($field $(= $column)?)),
                            rows,
                        ), )*
                    }
                }

                #[inline]
                fn push(self, builders: &mut Builders) {
                    $( if let Some(builder) = &mut builders.$field {
                        builder.push(self.$field);
                    } )*
                }

                fn finish(builders: Builders) -> Vec<$crate::wire::Column> {
                    let columns = [$( builders.$field.map($crate::column::Builder::close), )*];
                    columns.into_iter().flatten().collect()
                }
            }
        };
    };
}
