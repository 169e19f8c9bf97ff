//! Validating: which rows break which rules.

use serde::de::DeserializeOwned;

use crate::bindings::wire;
use crate::row::{Reader, Row};
use crate::rule::{self, Action, Refuse, RuleSet};

/// A component that says which rows break which rules.
///
/// The type itself is the component's params, as the tenant's TOML gives them: derive
/// `Deserialize`, with defaults and `deny_unknown_fields`, so that a typo is found.
pub trait Validate: DeserializeOwned + Send + Sync + 'static {
    /// What is read of each row: a struct of [`row!`](crate::row!).
    type Row<'a>: Row<'a>;
    /// The rules: an enum of [`rules!`](crate::rules!).
    type Rule: RuleSet;

    /// Judges one row. The answer may depend on nothing but the row and the params.
    fn validate<'a>(&'a self, row: &Self::Row<'a>, refuse: &mut Refuse<Self::Rule>);

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

    /// Another action than the rule's own, under these params.
    fn action(&self, _rule: Self::Rule) -> Option<Action> {
        None
    }
}

/// What the component says of itself.
pub fn describe<V: Validate>(component: &V) -> wire::RowDescription {
    let mut look_ups = V::Row::look_ups();
    look_ups.retain(|look_up| component.looks_up(&look_up.dimension));
    wire::RowDescription {
        reads: V::Row::reads(),
        look_ups,
        writes: Vec::new(),
        rules: rule::describe(|rule| component.action(rule)),
    }
}

/// Judges a batch.
///
/// # Errors
/// The batch is not what the component asked for.
pub fn batch<V: Validate>(
    component: &V,
    batch: &wire::Batch,
) -> Result<Vec<wire::Verdict>, String> {
    let looks_up = |dimension: &str| component.looks_up(dimension);
    let columns = V::Row::open(&mut Reader::new(batch, &looks_up))?;
    let mut refuse = Refuse::new();
    for row in 0..batch.rows as usize {
        refuse.start(row);
        component.validate(&V::Row::at(&columns, row), &mut refuse);
    }
    Ok(refuse.into_verdicts())
}

/// The names of the rules that one row breaks, in the order in which they were found. For tests.
pub fn broken<'a, V: Validate>(component: &'a V, row: &V::Row<'a>) -> Vec<&'static str> {
    let mut refuse = Refuse::new();
    component.validate(row, &mut refuse);
    rule::names::<V::Rule>(&refuse.into_verdicts())
}

/// Exports a [`Validate`] as the component's interface. Once a crate.
#[macro_export]
macro_rules! validator {
    ($Component:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::validator::exports::assay::rules::validation;

            static INSTANCE: $crate::export::Instance<$Component> = $crate::export::Instance::new();

            struct Guest;

            impl validation::Guest for Guest {
                fn configure(params: String) -> Result<(), String> {
                    INSTANCE.configure(&params, <$Component as $crate::Validate>::check)
                }

                fn describe() -> $crate::wire::RowDescription {
                    $crate::validate::describe(INSTANCE.get())
                }

                fn validate(
                    rows: $crate::wire::Batch,
                ) -> Result<Vec<$crate::wire::Verdict>, String> {
                    $crate::validate::batch(INSTANCE.get(), &rows)
                }
            }

    $crate::bindings::validator::export!(Guest with_types_in $crate::bindings::validator);
        };
    };
}
