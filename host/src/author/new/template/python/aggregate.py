"""What rows of silver add up to: a gold table with a row for each group."""

from assay_rules import aggregator, amount, count, date, decimal, distinct, divided, integer, required, sum_of, text


def fold(day, sale, params):
    net = sale.net_amount
    if net is not None and net < params.smallest_amount:
        return
    day.lines += 1
    day.amount += net or 0
    if sale.transaction_id is not None:
        day.transaction_ids.add(sale.transaction_id)


def finish(day, params):
    transactions = len(day.transaction_ids)
    return {
        "lines": day.lines,
        "amount": day.amount,
        "transactions": transactions,
        "average_basket": divided(day.amount, transactions) if transactions else None,
    }


Aggregation = aggregator(
    fold,
    finish,
    # The columns of silver that are looked at, the keys among them. Decimals are units: cents, at two
    # decimals.
    reads={
        "sale_date": required(date),
        "store_id": required(text),
        "transaction_id": required(text),
        # What an enricher wrote: quantity times price, less the discount.
        "net_amount": required(decimal(2)),
    },
    # The columns whose values make a group.
    keys=["sale_date", "store_id"],
    # What is known of a group. Each part knows how to merge with its like, so that late rows can be added to
    # days that were finished long ago.
    state={"lines": count, "amount": sum_of(2), "transaction_ids": distinct},
    # The gold table's columns, after the keys.
    measures={
        "lines": integer,
        "amount": decimal(2),
        "transactions": integer,
        "average_basket": decimal(2),
    },
    # `params = { smallest_amount = 0.01 }` in the tenant's TOML. Lines of less are not counted.
    params={"smallest_amount": amount(2, "0")},
)
