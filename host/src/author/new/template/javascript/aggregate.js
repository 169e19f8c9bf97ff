// What rows of silver add up to: a gold table with a row for each group.

import { aggregator, amount, count, date, decimal, distinct, divided, integer, required, sum, text } from "./assay-rules.js";

export const aggregation = aggregator({
  // The columns of silver that are looked at, the keys among them. Decimals are units: cents, at two
  // decimals.
  reads: {
    sale_date: required(date),
    store_id: required(text),
    transaction_id: required(text),
    // What an enricher wrote: quantity times price, less the discount.
    net_amount: required(decimal(2)),
  },
  // The columns whose values make a group.
  keys: ["sale_date", "store_id"],
  // What is known of a group. Each part knows how to merge with its like, so that late rows can be added to
  // days that were finished long ago.
  state: {
    lines: count,
    amount: sum(2),
    transaction_ids: distinct,
  },
  // The gold table's columns, after the keys.
  measures: {
    lines: integer,
    amount: decimal(2),
    transactions: integer,
    average_basket: decimal(2),
  },
  // `params = { smallest_amount = 0.01 }` in the tenant's TOML. Lines of less are not counted.
  params: {
    smallest_amount: amount(2, "0"),
  },
  fold(day, { net_amount: net, transaction_id: id }, params) {
    if (net !== null && net < params.smallest_amount) return;
    day.lines += 1n;
    day.amount += net ?? 0n;
    if (id !== null) day.transaction_ids.add(id);
  },
  finish({ lines, amount, transaction_ids: ids }) {
    const transactions = BigInt(ids.size);
    const average_basket = transactions === 0n ? null : divided(amount, transactions);
    return { lines, amount, transactions, average_basket };
  },
});
