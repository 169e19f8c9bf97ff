//! What a sale means: its amounts to the cent, and what is known of its product and store.

use std::borrow::Cow;

use assay_rules::prelude::*;
use serde::Deserialize;

mod amounts;

pub use amounts::Amounts;

enricher!(EnrichSales);

row! {
    /// What is looked at.
    pub struct Sale {
        optional product_id: Text,
        optional store_id: Text,
        required quantity: Integer,
        required unit_price: Decimal<2>,
        optional discount_percent: Decimal<2>,
        /// `return` where goods come back.
        optional kind: Text = "type",
    }
    look_ups { product: Product, store: Store }
}

look_up! {
    /// What is known of a product.
    pub struct Product from "product" on "product_id" = "product_id" {
        optional product_name: Text,
        optional category: Text,
        optional list_price: Decimal<2>,
        /// What one piece costs the shop.
        optional cost: Decimal<2>,
    }
}

look_up! {
    /// What is known of a store.
    pub struct Store from "store" on "store_id" = "store_id" {
        optional store_name: Text,
        optional region: Text,
        optional city: Text,
    }
}

writes! {
    /// What silver tells of a sale beside the event itself.
    pub struct Meaning {
        product_name: Text,
        category: Text,
        list_price: Decimal<2>,
        store_name: Text,
        region: Text,
        city: Text,
        /// Quantity times price. Amounts are never below zero: `is_return` gives the direction.
        gross_amount: Decimal<2>,
        discount_amount: Decimal<2>,
        /// What was paid, or paid back.
        net_amount: Decimal<2>,
        /// Net amount less cost. Absent where the cost is not known.
        margin_amount: Decimal<2>,
        is_return: Boolean,
    }
}

rules! {
    /// What can be amiss with a valid sale.
    pub enum Rule {
        /// The product dimension does not know the product.
        warn unknown_product,
        /// The store dimension does not know the store.
        warn unknown_store,
        /// The amount is past what 64 bits can hold.
        quarantine amount_too_large,
    }
}

/// What the tenant's TOML decides.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnrichSales {
    /// What becomes of a sale whose product or store is not known.
    pub unknown: Unknown,
    /// Which of `product` and `store` the tenant has. What is not here is neither looked up nor
    /// written.
    pub dimensions: Vec<Dimension>,
}

/// What becomes of a sale whose product or store is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// It is kept, without what is not known, and silver says so in `_warnings`.
    Warn,
    /// It goes to the quarantine table.
    Quarantine,
}

/// What a sale can be joined with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    Product,
    Store,
}

impl Default for EnrichSales {
    fn default() -> Self {
        Self {
            unknown: Unknown::Warn,
            dimensions: vec![Dimension::Product, Dimension::Store],
        }
    }
}

impl Enrich for EnrichSales {
    type Row<'a> = Sale<'a>;
    type Written<'a> = Meaning<'a>;
    type Rule = Rule;

    fn enrich<'a>(&'a self, sale: &Sale<'a>, refuse: &mut Refuse<Rule>) -> Meaning<'a> {
        self.check_known(sale, refuse);
        let product = sale.product.clone().unwrap_or_default();
        let store = sale.store.clone().unwrap_or_default();
        let amounts = Amounts::of(sale, product.cost).unwrap_or_else(|| {
            refuse.because(
                Rule::amount_too_large,
                "quantity times price is past 64 bits of cents",
            );
            Amounts::default()
        });
        Meaning {
            product_name: product.product_name.map(Cow::Borrowed),
            category: product.category.map(Cow::Borrowed),
            list_price: product.list_price,
            store_name: store.store_name.map(Cow::Borrowed),
            region: store.region.map(Cow::Borrowed),
            city: store.city.map(Cow::Borrowed),
            gross_amount: amounts.gross,
            discount_amount: amounts.discount,
            net_amount: amounts.net,
            margin_amount: amounts.margin,
            is_return: Some(
                sale.kind
                    .is_some_and(|kind| kind.eq_ignore_ascii_case("return")),
            ),
        }
    }

    fn looks_up(&self, dimension: &str) -> bool {
        match dimension {
            "product" => self.has(Dimension::Product),
            _ => self.has(Dimension::Store),
        }
    }

    fn writes(&self, column: &str) -> bool {
        match column {
            "product_name" | "category" | "list_price" => self.has(Dimension::Product),
            "store_name" | "region" | "city" => self.has(Dimension::Store),
            _ => true,
        }
    }

    fn action(&self, rule: Rule) -> Option<Action> {
        match (self.unknown, rule) {
            (Unknown::Quarantine, Rule::unknown_product | Rule::unknown_store) => {
                Some(Action::Quarantine)
            }
            _ => None,
        }
    }
}

impl EnrichSales {
    fn has(&self, dimension: Dimension) -> bool {
        self.dimensions.contains(&dimension)
    }

    fn check_known(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        if self.has(Dimension::Product) && sale.product.is_none() {
            let id = sale.product_id.unwrap_or("absent");
            refuse.because(Rule::unknown_product, format_args!("product_id is {id}"));
        }
        if self.has(Dimension::Store) && sale.store.is_none() {
            let id = sale.store_id.unwrap_or("absent");
            refuse.because(Rule::unknown_store, format_args!("store_id is {id}"));
        }
    }
}

#[cfg(test)]
mod tests;
