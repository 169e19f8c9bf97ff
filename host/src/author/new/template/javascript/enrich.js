// What a valid sale means: columns that silver has beside the event's own.

import {
  amount,
  decimal,
  enricher,
  fits,
  integer,
  lookUp,
  money,
  optional,
  quarantine,
  required,
  text,
  timesRate,
  warn,
} from "./assay-rules.js";

export const enrichment = enricher({
  // The columns that are looked at: nothing else is handed over. `required` means that the tenant's events
  // must have the column; in a row it may be null all the same. Decimals are units: cents, at two decimals.
  reads: {
    product_id: required(text),
    quantity: required(integer),
    unit_price: required(decimal(2)),
  },
  // What the host joins from the tenant's `[dimension.product]`: no call for a row.
  lookUps: () => [lookUp("product", { product_id: "product_id" }, { category: optional(text) })],
  // The columns that are added.
  writes: {
    category: text,
    amount: decimal(2),
    tax_amount: decimal(2),
  },
  // What can be amiss. The text is what analysts read, the word before it says what becomes of the row:
  // `warn`, `quarantine`, `drop` or `fail`.
  rules: {
    unknown_product: warn("The product dimension does not know the product."),
    amount_too_large: quarantine("The amount is past what 64 bits can hold."),
  },
  // `params = { tax_percent = 7 }` in the tenant's TOML.
  params: {
    tax_percent: amount(2, "20"),
  },
  enrich({ product, product_id: id, quantity, unit_price: price }, params, refuse) {
    if (product === null) refuse("unknown_product", `product_id is ${id ?? "absent"}`);
    const category = product?.category;
    if (quantity === null || price === null) return { category, amount: null, tax_amount: null };
    const whole = quantity * price;
    if (!fits(whole)) {
      refuse("amount_too_large", `${quantity} at ${money(price, 2)}`);
      return { category, amount: null, tax_amount: null };
    }
    return { category, amount: whole, tax_amount: timesRate(whole, params.tax_percent, 4) };
  },
});
