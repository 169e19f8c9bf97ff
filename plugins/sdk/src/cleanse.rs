//! Cleansing: repairs before anything else looks at a row.

use serde::de::DeserializeOwned;

use crate::bindings::wire;
use crate::row::{Reader, Row};
use crate::rule::{self, Action, Refuse, RuleSet};
use crate::written::Written;

/// A component that repairs fields before anything else looks at them.
///
/// The type itself is the component's params, as the tenant's TOML gives them: derive
/// `Deserialize`, with defaults and `deny_unknown_fields`, so that a typo is found.
pub trait Cleanse: DeserializeOwned + Send + Sync + 'static {
    /// What is read of each row: a struct of [`row!`](crate::row!).
    type Row<'a>: Row<'a>;
    /// What each row is given: a struct of [`writes!`](crate::writes!).
    type Written<'a>: Written<'a>;
    /// The rules: an enum of [`rules!`](crate::rules!), or [`NoRules`](crate::NoRules).
    type Rule: RuleSet;

    /// Repairs one row. Each column of the answer replaces the event's field of that name, so a
    /// value that needs no repair is handed back as it came.
    fn cleanse<'a>(
        &'a self,
        row: &Self::Row<'a>,
        refuse: &mut Refuse<Self::Rule>,
    ) -> Self::Written<'a>;

    /// Checks the params together, once.
    ///
    /// # Errors
    /// Which param, what is wrong, and what would be right.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether a dimension is looked up under these params.
    fn looks_up(&self, _dimension: &str) -> bool {
        true
    }

    /// Whether a column is written under these params.
    fn writes(&self, _column: &str) -> bool {
        true
    }

    /// Another action than the rule's own, under these params.
    fn action(&self, _rule: Self::Rule) -> Option<Action> {
        None
    }
}

/// What the component says of itself.
pub fn describe<C: Cleanse>(component: &C) -> wire::RowDescription {
    let mut look_ups = C::Row::look_ups();
    look_ups.retain(|look_up| component.looks_up(&look_up.dimension));
    let mut writes = C::Written::fields();
    writes.retain(|field| component.writes(&field.name));
    wire::RowDescription {
        reads: C::Row::reads(),
        look_ups,
        writes,
        rules: rule::describe(|rule| component.action(rule)),
    }
}

/// Repairs a batch.
///
/// # Errors
/// The batch is not what the component asked for.
pub fn batch<C: Cleanse>(component: &C, batch: &wire::Batch) -> Result<wire::Judged, String> {
    let looks_up = |dimension: &str| component.looks_up(dimension);
    let columns = C::Row::open(&mut Reader::new(batch, &looks_up))?;
    let mut builders = C::Written::start(&|column| component.writes(column), batch.rows as usize);
    let mut refuse = Refuse::new();
    for row in 0..batch.rows as usize {
        refuse.start(row);
        let written = component.cleanse(&C::Row::at(&columns, row), &mut refuse);
        written.push(&mut builders);
    }
    Ok(wire::Judged {
        columns: C::Written::finish(builders),
        verdicts: refuse.into_verdicts(),
    })
}

/// What one row is given, and the names of the rules that it breaks. For tests.
pub fn one<'a, C: Cleanse>(
    component: &'a C,
    row: &C::Row<'a>,
) -> (C::Written<'a>, Vec<&'static str>) {
    let mut refuse = Refuse::new();
    let written = component.cleanse(row, &mut refuse);
    (written, rule::names::<C::Rule>(&refuse.into_verdicts()))
}

/// Exports a [`Cleanse`] as the component's interface. Once a crate.
#[macro_export]
macro_rules! cleanser {
    ($Component:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::cleanser::exports::assay::rules::cleansing;

            static INSTANCE: $crate::export::Instance<$Component> = $crate::export::Instance::new();

            struct Guest;

            impl cleansing::Guest for Guest {
                fn configure(params: String) -> Result<(), String> {
                    INSTANCE.configure(&params, <$Component as $crate::Cleanse>::check)
                }

                fn describe() -> $crate::wire::RowDescription {
                    $crate::cleanse::describe(INSTANCE.get())
                }

                fn cleanse(rows: $crate::wire::Batch) -> Result<$crate::wire::Judged, String> {
                    $crate::cleanse::batch(INSTANCE.get(), &rows)
                }
            }

    $crate::bindings::cleanser::export!(Guest with_types_in $crate::bindings::cleanser);
        };
    };
}
