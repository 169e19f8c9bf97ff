//! Repairs fields before anything else looks at them: the row's key, its business date and its
//! look-ups are made of what is written here.

use std::borrow::Cow;

use assay_rules::prelude::*;
use serde::Deserialize;

cleanser!(NewRule);

row! {
    /// The columns that are looked at: nothing else is handed over. `required` means that the tenant's
    /// events must have the column; in a row it may be absent all the same.
    pub struct Sale {
        required store_id: Text,
        optional payment_method: Text,
    }
}

writes! {
    /// What replaces the event's fields of these names, in every row: a value that needs no repair is
    /// handed back as it came.
    pub struct Cleansed {
        store_id: Text,
        payment_method: Text,
    }
}

rules! {
    /// What can't be repaired. The comment is what analysts read, the word before the name says what
    /// becomes of the row: `warn`, `quarantine`, `drop` or `fail`.
    pub enum Rule {
        /// The way to pay is longer than any there is.
        warn payment_method_too_long,
    }
}

/// The params: `params = { longest_payment_method = 12 }` in the tenant's TOML.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRule {
    /// How many letters a way to pay has at most.
    pub longest_payment_method: usize,
}

impl Default for NewRule {
    fn default() -> Self {
        Self {
            longest_payment_method: 20,
        }
    }
}

impl Cleanse for NewRule {
    type Row<'a> = Sale<'a>;
    type Written<'a> = Cleansed<'a>;
    type Rule = Rule;

    fn cleanse<'a>(&'a self, sale: &Sale<'a>, refuse: &mut Refuse<Rule>) -> Cleansed<'a> {
        if let Some(method) = sale.payment_method
            && method.chars().count() > self.longest_payment_method
        {
            refuse.because(
                Rule::payment_method_too_long,
                format_args!("payment_method is {method:?}"),
            );
        }
        Cleansed {
            store_id: sale.store_id.map(|id| id.trim().to_uppercase().into()),
            payment_method: sale
                .payment_method
                .map(|method| Cow::Borrowed(method.trim())),
        }
    }
}

#[cfg(test)]
mod tests {
    use assay_rules::cleanse;

    use super::*;

    #[test]
    fn a_store_is_trimmed_and_in_upper_case() {
        let sale = Sale {
            store_id: Some(" s001 "),
            ..Sale::default()
        };
        let rules = NewRule::default();
        let (cleansed, broken) = cleanse::one(&rules, &sale);
        assert_eq!(cleansed.store_id.as_deref(), Some("S001"));
        assert!(broken.is_empty());
    }

    #[test]
    fn what_is_absent_stays_absent() {
        let rules = NewRule::default();
        let (cleansed, _) = cleanse::one(&rules, &Sale::default());
        assert_eq!(cleansed.store_id, None);
        assert_eq!(cleansed.payment_method, None);
    }
}
