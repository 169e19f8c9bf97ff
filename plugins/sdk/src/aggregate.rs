//! Aggregating: how rows become the groups of a gold table. Authors say what a row adds and what
//! is published; merging follows from what the state is made of.

use serde::de::DeserializeOwned;

use crate::bindings::wire;
use crate::row::{Reader, Row};
use crate::written::Written;

/// A component that folds rows into the groups of a gold table.
///
/// The type itself is the component's params, as the tenant's TOML gives them: derive
/// `Deserialize`, with defaults and `deny_unknown_fields`, so that a typo is found.
pub trait Aggregate: DeserializeOwned + Send + Sync + 'static {
    /// What is read of each row, the keys included: a struct of [`row!`](crate::row!).
    type Row<'a>: Row<'a>;
    /// What is known of a group: a struct of [`state!`](crate::state!).
    type State<'a>: State<'a>;
    /// What is published of a group: a struct of [`writes!`](crate::writes!).
    type Measures<'a>: Written<'a>;
    /// The columns whose values make a group.
    const KEYS: &'static [&'static str];

    /// Adds a row to its group.
    fn fold<'a>(&'a self, group: &mut Self::State<'a>, row: &Self::Row<'a>);

    /// What is published of a group.
    ///
    /// # Errors
    /// What can't be published, and why. The host names the group.
    fn finish<'a>(&'a self, group: &Self::State<'a>) -> Result<Self::Measures<'a>, String>;

    /// Checks the params together, once.
    ///
    /// # Errors
    /// Which param, what is wrong, and what would be right.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A struct that [`state!`](crate::state!) made: what is known of one group.
pub trait State<'a>: Default {
    /// The columns of stored states, checked.
    type Columns;
    /// Where the columns grow.
    type Builders;

    /// All columns.
    fn fields() -> Vec<wire::Field>;
    /// Takes the columns of stored states.
    ///
    /// # Errors
    /// A column that is missing, or of another kind.
    fn open(reader: &mut Reader<'a, '_>) -> Result<Self::Columns, String>;
    /// One stored state.
    ///
    /// # Errors
    /// Which part can't be read, and why.
    fn read(columns: &Self::Columns, group: usize) -> Result<Self, String>;
    /// Joins two states, part by part.
    fn merge(&mut self, other: Self);
    /// Empty columns.
    fn start() -> Self::Builders;
    /// Adds this state.
    ///
    /// # Errors
    /// Which part does not fit its column.
    fn push(self, builders: &mut Self::Builders) -> Result<(), String>;
    /// The columns, in the order of `fields`.
    fn close(builders: Self::Builders) -> Vec<wire::Column>;
}

/// What the component says of itself.
pub fn describe<A: Aggregate>(_component: &A) -> wire::GroupDescription {
    wire::GroupDescription {
        reads: A::Row::reads(),
        keys: A::KEYS.iter().map(|key| (*key).to_owned()).collect(),
        state: A::State::fields(),
        measures: A::Measures::fields(),
    }
}

/// Folds the rows of a batch into a state a group.
///
/// # Errors
/// The batch is not what the component asked for; or a state does not fit, with its group.
pub fn fold<A: Aggregate>(
    component: &A,
    batch: &wire::Batch,
    group: &[u32],
    groups: u32,
) -> Result<wire::Batch, String> {
    if group.len() != batch.rows as usize {
        return Err(format!("{} rows with {} groups", batch.rows, group.len()));
    }
    let columns = A::Row::open(&mut Reader::new(batch, &|_| false))?;
    let mut states: Vec<A::State<'_>> = (0..groups).map(|_| A::State::default()).collect();
    for (row, group) in group.iter().enumerate() {
        let state = states
            .get_mut(*group as usize)
            .ok_or_else(|| format!("row {row} is of group {group} of {groups}"))?;
        component.fold(state, &A::Row::at(&columns, row));
    }
    stored(states.into_iter().map(Ok), groups)
}

/// Joins two states of the same groups.
///
/// # Errors
/// States that this component never made; or one that does not fit, with its group.
pub fn merge<A: Aggregate>(
    _component: &A,
    left: &wire::Batch,
    right: &wire::Batch,
) -> Result<wire::Batch, String> {
    if left.rows != right.rows {
        return Err(format!(
            "{} groups are to be merged with {}",
            left.rows, right.rows
        ));
    }
    let left_columns = A::State::open(&mut Reader::new(left, &|_| false))?;
    let right_columns = A::State::open(&mut Reader::new(right, &|_| false))?;
    let joined = (0..left.rows as usize).map(|group| {
        let mut state = A::State::read(&left_columns, group)?;
        state.merge(A::State::read(&right_columns, group)?);
        Ok(state)
    });
    stored(joined, left.rows)
}

/// Publishes the measures of each group.
///
/// # Errors
/// States that this component never made; or what can't be published, with its group.
pub fn finish<A: Aggregate>(component: &A, batch: &wire::Batch) -> Result<wire::Batch, String> {
    let columns = A::State::open(&mut Reader::new(batch, &|_| false))?;
    let mut builders = A::Measures::start(&|_| true, batch.rows as usize);
    for group in 0..batch.rows as usize {
        A::State::read(&columns, group)
            .and_then(|state| component.finish(&state))
            .map_err(|error| format!("group {group}: {error}"))?
            .push(&mut builders);
    }
    Ok(wire::Batch {
        rows: batch.rows,
        columns: A::Measures::finish(builders),
    })
}

fn stored<'a, S: State<'a>>(
    states: impl Iterator<Item = Result<S, String>>,
    groups: u32,
) -> Result<wire::Batch, String> {
    let mut builders = S::start();
    for (group, state) in states.enumerate() {
        state
            .and_then(|state| state.push(&mut builders))
            .map_err(|error| format!("group {group}: {error}"))?;
    }
    Ok(wire::Batch {
        rows: groups,
        columns: S::close(builders),
    })
}

/// Declares what is known of a group, made of parts that know how to merge: `Count`, `Sum<…>`,
/// `SumIfAny<…>`, `Earliest`, `Latest`, `Distinct`.
///
/// A part whose name and kind are also those of a measure is stored once.
///
/// ```
/// # use assay_rules::prelude::*;
/// state! {
///     pub struct Day {
///         sales: Count,
///         net_amount: Sum<Decimal<2>>,
///         last_sale_at: Latest,
///         transaction_ids: Distinct,
///     }
/// }
///
/// let mut day = Day::default();
/// day.sales.one_more();
/// day.net_amount.add(Decimal::of_units(1999));
/// day.transaction_ids.see("T1");
/// assert_eq!(day.net_amount.get().unwrap().to_string(), "19.99");
/// ```
#[macro_export]
macro_rules! state {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $part:ty ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        $vis struct $Name<'a> {
            $( $(#[$field_meta])* pub $field: <$part as $crate::Part>::State<'a>, )*
        }

        const _: () = {
            pub struct Columns<'a> {
                $( $field: $crate::column::Slot<'a, <$part as $crate::Part>::Kind>, )*
            }

            #[derive(Default)]
            pub struct Builders {
                $( $field: $crate::column::Builder<<$part as $crate::Part>::Kind>, )*
            }

            impl<'a> $crate::State<'a> for $Name<'a> {
                type Columns = Columns<'a>;
                type Builders = Builders;

                fn fields() -> Vec<$crate::wire::Field> {
                    vec![$(
                        $crate::column::field::<<$part as $crate::Part>::Kind>(
                            stringify!($field), false,
                        ),
                    )*]
                }

                fn open(reader: &mut $crate::Reader<'a, '_>) -> Result<Columns<'a>, String> {
                    Ok(Columns { $( $field: reader.next(stringify!($field))?, )* })
                }

                fn read(columns: &Columns<'a>, group: usize) -> Result<Self, String> {
                    Ok(Self {
                        $( $field: <$part as $crate::Part>::read(columns.$field.get(group))
                            .map_err(|error| format!(concat!(stringify!($field), ": {}"), error))?, )*
                    })
                }

                fn merge(&mut self, other: Self) {
                    $( <$part as $crate::Part>::merge(&mut self.$field, other.$field); )*
                }

                fn start() -> Builders {
                    Builders::default()
                }

                fn push(self, builders: &mut Builders) -> Result<(), String> {
                    $( builders.$field.push(
                        <$part as $crate::Part>::write(self.$field)
                            .map_err(|error| format!(concat!(stringify!($field), ": {}"), error))?,
                    ); )*
                    Ok(())
                }

                fn close(builders: Builders) -> Vec<$crate::wire::Column> {
                    vec![$( builders.$field.close(), )*]
                }
            }
        };
    };
}

/// Exports an [`Aggregate`] as the component's interface. Once a crate.
#[macro_export]
macro_rules! aggregator {
    ($Component:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::aggregator::exports::assay::rules::aggregation;
            use $crate::wire::{Batch, GroupDescription};

            static INSTANCE: $crate::export::Instance<$Component> = $crate::export::Instance::new();

            struct Guest;

            impl aggregation::Guest for Guest {
                fn configure(params: String) -> Result<(), String> {
                    INSTANCE.configure(&params, <$Component as $crate::Aggregate>::check)
                }

                fn describe() -> GroupDescription {
                    $crate::aggregate::describe(INSTANCE.get())
                }

                fn fold(rows: Batch, group: Vec<u32>, groups: u32) -> Result<Batch, String> {
                    $crate::aggregate::fold(INSTANCE.get(), &rows, &group, groups)
                }

                fn merge(left: Batch, right: Batch) -> Result<Batch, String> {
                    $crate::aggregate::merge(INSTANCE.get(), &left, &right)
                }

                fn finish(state: Batch) -> Result<Batch, String> {
                    $crate::aggregate::finish(INSTANCE.get(), &state)
                }
            }

    $crate::bindings::aggregator::export!(Guest with_types_in $crate::bindings::aggregator);
        };
    };
}
