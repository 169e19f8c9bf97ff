"""Which sales may stand. Everything that a tenant should be able to decide is a param."""

from assay_rules import Err, amount, decimal, integer, money, optional, quarantine, required, text, validator, warn


def validate(sale, params, refuse):
    price, quantity = sale.unit_price, sale.quantity
    if price is not None and price < params.floor:
        refuse("price_below_floor", f"unit_price is {money(price, 2)}, the floor is {money(params.floor, 2)}")
    if quantity is not None and quantity < 0 and sale.kind != "return":
        refuse("quantity_negative", f"quantity is {quantity}")


def check(params):
    """The params together, once, when the tenant's pipeline is put together."""
    if params.floor < 0:
        raise Err("params: floor must not be below zero")


Validation = validator(
    validate,
    # The columns that are looked at: nothing else is handed over. `required` means that the tenant's events
    # must have the column; in a row it may be None all the same. Decimals are units: cents, at two decimals.
    reads={
        "quantity": required(integer),
        "unit_price": required(decimal(2)),
        # `return` where goods come back. The second name is the column's.
        "kind": optional(text, "type"),
    },
    # What can be wrong. The text is what analysts read, the word before it says what becomes of the row:
    # `warn`, `quarantine`, `drop` or `fail`.
    rules={
        "price_below_floor": quarantine("The price is below the lowest that is asked for anything here."),
        "quantity_negative": warn("The quantity is below zero, and nothing comes back."),
    },
    # `params = { floor = 0.50 }` in the tenant's TOML.
    params={"floor": amount(2, "0.10")},
    check=check,
)
