"""What a valid sale means: columns that silver has beside the event's own."""

from assay_rules import (
    amount,
    decimal,
    enricher,
    fits,
    integer,
    look_up,
    money,
    optional,
    quarantine,
    required,
    text,
    times_rate,
    warn,
)


def enrich(sale, params, refuse):
    product, quantity, price = sale.product, sale.quantity, sale.unit_price
    if product is None:
        refuse("unknown_product", f"product_id is {sale.product_id or 'absent'}")
    written = {"category": product and product.category}
    if quantity is None or price is None:
        return written
    whole = quantity * price
    if not fits(whole):
        refuse("amount_too_large", f"{quantity} at {money(price, 2)}")
        return written
    return {**written, "amount": whole, "tax_amount": times_rate(whole, params.tax_percent, 4)}


Enrichment = enricher(
    enrich,
    # The columns that are looked at: nothing else is handed over. `required` means that the tenant's events
    # must have the column; in a row it may be None all the same. Decimals are units: cents, at two decimals.
    reads={
        "product_id": required(text),
        "quantity": required(integer),
        "unit_price": required(decimal(2)),
    },
    # What the host joins from the tenant's `[dimension.product]`: no call for a row.
    look_ups=lambda params: [look_up("product", {"product_id": "product_id"}, {"category": optional(text)})],
    # The columns that are added.
    writes={"category": text, "amount": decimal(2), "tax_amount": decimal(2)},
    # What can be amiss. The text is what analysts read, the word before it says what becomes of the row:
    # `warn`, `quarantine`, `drop` or `fail`.
    rules={
        "unknown_product": warn("The product dimension does not know the product."),
        "amount_too_large": quarantine("The amount is past what 64 bits can hold."),
    },
    # `params = { tax_percent = 7 }` in the tenant's TOML.
    params={"tax_percent": amount(2, "20")},
)
