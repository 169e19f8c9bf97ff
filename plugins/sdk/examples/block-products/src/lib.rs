//! What may not be sold: some products nowhere, some categories not through every channel.
//!
//! A product is taken off sale for a time (a recall, an import ban), a category is not to be sold
//! through a channel (no alcohol by courier). Two dimensions say so, both with `valid_from` and
//! `valid_to`: `blocked_product` by `product_id`, and `blocked_category` by `category` and
//! `channel`; both may have a `reason`. The category is that of dimension `product`.

use assay_rules::prelude::*;
use serde::Deserialize;

validator!(BlockProducts);

row! {
    /// What is looked at.
    pub struct Sale {
        required product_id: Text,
        optional channel: Text,
        /// `return` where goods come back.
        optional kind: Text = "type",
    }
    look_ups { product: Product, blocked: BlockedProduct, category: BlockedCategory }
}

look_up! {
    /// Which category the product is of.
    pub struct Product from "product" on "product_id" = "product_id" {
        required category: Text,
    }
}

look_up! {
    /// The product may not be sold at the time of the sale.
    pub struct BlockedProduct from "blocked_product" on "product_id" = "product_id" {
        optional reason: Text,
    }
}

look_up! {
    /// What is of this category may not be sold through this channel at the time of the sale.
    pub struct BlockedCategory from "blocked_category"
        on "product.category" = "category", "channel" = "channel"
    {
        optional reason: Text,
    }
}

rules! {
    /// What can be wrong.
    pub enum Rule {
        /// The product may not be sold.
        quarantine product_blocked,
        /// What is of this category may not be sold through this channel.
        quarantine category_blocked,
    }
}

/// `params = { by_category = false, only_warn = true }`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockProducts {
    /// Whether categories are looked at: `false` for a tenant that has no such dimension.
    pub by_category: bool,
    /// Whether a return of something blocked is refused: a recall wants the goods back.
    pub returns_too: bool,
    /// Whether such a sale is kept, with a warning, instead of being quarantined.
    pub only_warn: bool,
}

impl Default for BlockProducts {
    fn default() -> Self {
        Self {
            by_category: true,
            returns_too: false,
            only_warn: false,
        }
    }
}

impl Validate for BlockProducts {
    type Row<'a> = Sale<'a>;
    type Rule = Rule;

    fn validate(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        let is_return = sale
            .kind
            .is_some_and(|kind| kind.eq_ignore_ascii_case("return"));
        if is_return && !self.returns_too {
            return;
        }
        if let Some(blocked) = &sale.blocked {
            let id = sale.product_id.unwrap_or_default();
            let why = blocked.reason.unwrap_or("no reason is given");
            refuse.because(Rule::product_blocked, format_args!("{id}: {why}"));
        }
        if let (Some(blocked), Some(product)) = (&sale.category, &sale.product) {
            let category = product.category.unwrap_or_default();
            let channel = sale.channel.unwrap_or_default();
            let why = blocked.reason.unwrap_or("no reason is given");
            let reason = format_args!("{category} through {channel}: {why}");
            refuse.because(Rule::category_blocked, reason);
        }
    }

    fn looks_up(&self, dimension: &str) -> bool {
        self.by_category || dimension == "blocked_product"
    }

    fn action(&self, _rule: Rule) -> Option<Action> {
        self.only_warn.then_some(Action::Warn)
    }
}
