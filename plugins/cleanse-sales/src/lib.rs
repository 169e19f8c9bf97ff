//! Repairs sales: ids, ways to pay, and numbers that came as text. It refuses nothing: what it
//! can't repair it leaves as it is, for validation to judge.

use std::borrow::Cow;
use std::collections::BTreeMap;

use assay_rules::prelude::*;
use serde::Deserialize;

mod rescue;

use rescue::Rescued;

cleanser!(CleanseSales);

row! {
    /// What is looked at.
    pub struct Sale {
        required transaction_id: Text,
        optional store_id: Text,
        optional product_id: Text,
        optional customer_id: Text,
        optional quantity: Integer,
        optional unit_price: Decimal<2>,
        optional discount_percent: Decimal<2>,
        optional register_id: Integer,
        optional line: Integer,
        optional payment_method: Text,
        optional currency: Text,
        optional kind: Text = "type",
        /// What did not fit its column, as a JSON object.
        optional rescued: Text = "_rescued",
    }
}

writes! {
    /// What replaces the event's fields, as far as the params list them.
    pub struct Cleansed {
        transaction_id: Text,
        store_id: Text,
        product_id: Text,
        customer_id: Text,
        quantity: Integer,
        unit_price: Decimal<2>,
        discount_percent: Decimal<2>,
        register_id: Integer,
        line: Integer,
        payment_method: Text,
        currency: Text,
        kind: Text = "type",
    }
}

/// What is repaired, as the tenant's TOML gives it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanseSales {
    /// The fields that are repaired. A tenant lists those that its events have.
    pub fields: Vec<String>,
    /// Ids that keep their case. The others become upper case (ASCII letters only).
    pub keep_case: Vec<String>,
    /// Other names of ways to pay, in whatever case: `{ "credit card" = "card" }`.
    pub payment_methods: BTreeMap<String, String>,
    /// Other codes of stores: `{ "1" = "S001" }`. Compared after trimming, in whatever case.
    pub stores: BTreeMap<String, String>,
    /// Where events do not say that they are returns: a quantity below zero under a transaction
    /// id that begins so makes one, and `type` becomes `return`.
    pub return_prefix: Option<String>,
}

impl Default for CleanseSales {
    fn default() -> Self {
        let fields = [
            "transaction_id",
            "store_id",
            "product_id",
            "customer_id",
            "quantity",
            "unit_price",
            "payment_method",
        ];
        Self {
            fields: fields.map(str::to_owned).to_vec(),
            keep_case: Vec::new(),
            payment_methods: BTreeMap::new(),
            stores: BTreeMap::new(),
            return_prefix: None,
        }
    }
}

impl Cleanse for CleanseSales {
    type Row<'a> = Sale<'a>;
    type Written<'a> = Cleansed<'a>;
    type Rule = NoRules;

    fn cleanse<'a>(&'a self, sale: &Sale<'a>, _refuse: &mut Refuse<NoRules>) -> Cleansed<'a> {
        let rescued = Rescued::read(sale.rescued);
        let transaction_id = self.id("transaction_id", sale.transaction_id, &rescued);
        let quantity = sale.quantity.or_else(|| rescued.integer("quantity"));
        Cleansed {
            kind: self.kind(sale, transaction_id.as_deref(), quantity),
            transaction_id,
            store_id: self.store(sale, &rescued),
            product_id: self.id("product_id", sale.product_id, &rescued),
            customer_id: self.id("customer_id", sale.customer_id, &rescued),
            quantity,
            unit_price: sale.unit_price.or_else(|| rescued.decimal("unit_price")),
            discount_percent: sale
                .discount_percent
                .or_else(|| rescued.decimal("discount_percent")),
            register_id: sale.register_id.or_else(|| rescued.integer("register_id")),
            line: sale.line.or_else(|| rescued.integer("line")),
            payment_method: sale
                .payment_method
                .map(|method| self.payment_method(method)),
            currency: sale.currency.map(|currency| upper(trimmed(currency))),
        }
    }

    fn writes(&self, column: &str) -> bool {
        (column == "type" && self.return_prefix.is_some())
            || self.fields.iter().any(|field| field == column)
    }

    fn check(&self) -> Result<(), String> {
        let known = |list: &str, names: &[String]| {
            let fields = assay_rules::cleanse::describe(&Self::all()).writes;
            match names
                .iter()
                .find(|name| fields.iter().all(|field| field.name != **name))
            {
                Some(name) => Err(format!(
                    "params: {list} lists {name:?}, which is not repaired here"
                )),
                None => Ok(()),
            }
        };
        known("fields", &self.fields)?;
        known("keep_case", &self.keep_case)
    }
}

impl CleanseSales {
    /// Trimmed and in upper case. A blank id is none; an absent one may have come as a number.
    fn id<'a>(&self, name: &str, id: Option<&'a str>, rescued: &Rescued) -> Option<Cow<'a, str>> {
        let Some(id) = id else {
            return rescued.id(name).map(Cow::Owned);
        };
        let id = trimmed(id);
        if id.is_empty() {
            return None;
        }
        let keeps_case = self.keep_case.iter().any(|one| one == name);
        Some(if keeps_case {
            Cow::Borrowed(id)
        } else {
            upper(id)
        })
    }

    fn store<'a>(&'a self, sale: &Sale<'a>, rescued: &Rescued) -> Option<Cow<'a, str>> {
        let id = self.id("store_id", sale.store_id, rescued)?;
        Some(alias(&self.stores, &id).map_or(id, Cow::Borrowed))
    }

    /// Trimmed, in lower case, and by its usual name.
    fn payment_method<'a>(&'a self, method: &'a str) -> Cow<'a, str> {
        let method = trimmed(method);
        match alias(&self.payment_methods, method) {
            Some(usual) => Cow::Borrowed(usual),
            None if holds_ascii::<b'A', b'Z'>(method) => Cow::Owned(method.to_ascii_lowercase()),
            None => Cow::Borrowed(method),
        }
    }

    fn kind<'a>(
        &self,
        sale: &Sale<'a>,
        transaction_id: Option<&str>,
        quantity: Option<i64>,
    ) -> Option<Cow<'a, str>> {
        if let Some(prefix) = &self.return_prefix
            && quantity.is_some_and(|quantity| quantity < 0)
            && transaction_id.is_some_and(|id| id.starts_with(prefix))
        {
            return Some(Cow::Borrowed("return"));
        }
        sale.kind.map(|kind| Cow::Borrowed(trimmed(kind)))
    }

    /// With every field listed.
    fn all() -> Self {
        let fields = <Cleansed as assay_rules::Written>::fields();
        Self {
            fields: fields.into_iter().map(|field| field.name).collect(),
            ..Self::default()
        }
    }
}

fn upper(text: &str) -> Cow<'_, str> {
    match holds_ascii::<b'a', b'z'>(text) {
        true => Cow::Owned(text.to_ascii_uppercase()),
        false => Cow::Borrowed(text),
    }
}

/// Whether any byte lies from `FIRST` to `LAST`, both ASCII; eight bytes at a time, for this is
/// asked of every id there is.
fn holds_ascii<const FIRST: u8, const LAST: u8>(text: &str) -> bool {
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let from_first = u64::from_ne_bytes([0x80 - FIRST; 8]);
    let past_last = u64::from_ne_bytes([0x7f - LAST; 8]);
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    words.iter().any(|word| {
        let word = u64::from_ne_bytes(*word);
        // Without their highest bits, so that no sum carries into the next byte: a byte's highest
        // bit then says whether it is at least FIRST, and whether it is past LAST.
        let low = word & !HIGH;
        (low + from_first) & !(low + past_last) & !word & HIGH != 0
    }) || rest.iter().any(|byte| (FIRST..=LAST).contains(byte))
}

/// Without the space around it. Nearly every text has none, which its first and last byte show.
fn trimmed(text: &str) -> &str {
    match (text.as_bytes().first(), text.as_bytes().last()) {
        (Some(b'!'..=b'~'), Some(b'!'..=b'~')) => text,
        _ => text.trim(),
    }
}

fn alias<'a>(aliases: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let found = aliases
        .iter()
        .find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    found.map(|(_, usual)| usual.as_str())
}

#[cfg(test)]
mod tests;
