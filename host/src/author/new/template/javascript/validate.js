// Which sales may stand. Everything that a tenant should be able to decide is a param.

import { amount, decimal, integer, money, optional, quarantine, required, text, validator, warn } from "./assay-rules.js";

export const validation = validator({
  // The columns that are looked at: nothing else is handed over. `required` means that the tenant's events
  // must have the column; in a row it may be null all the same. Decimals are units: cents, at two decimals.
  reads: {
    quantity: required(integer),
    unit_price: required(decimal(2)),
    // `return` where goods come back. The second name is the column's.
    kind: optional(text, "type"),
  },
  // What can be wrong. The text is what analysts read, the word before it says what becomes of the row:
  // `warn`, `quarantine`, `drop` or `fail`.
  rules: {
    price_below_floor: quarantine("The price is below the lowest that is asked for anything here."),
    quantity_negative: warn("The quantity is below zero, and nothing comes back."),
  },
  // `params = { floor = 0.50 }` in the tenant's TOML.
  params: {
    floor: amount(2, "0.10"),
  },
  // The params together, once, when the tenant's pipeline is put together.
  check({ floor }) {
    if (floor < 0n) throw "params: floor must not be below zero";
  },
  validate({ quantity, unit_price: price, kind }, { floor }, refuse) {
    if (price !== null && price < floor) {
      refuse("price_below_floor", `unit_price is ${money(price, 2)}, the floor is ${money(floor, 2)}`);
    }
    if (quantity !== null && quantity < 0n && kind !== "return") {
      refuse("quantity_negative", `quantity is ${quantity}`);
    }
  },
});
