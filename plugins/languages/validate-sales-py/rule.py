"""Which sales are valid: the rule of ../../validate-sales in Python, held to the same cases."""

import json

from assay_rules import (
    Err,
    amount,
    decimal,
    flag,
    integer,
    look_up,
    moment,
    money,
    optional,
    quarantine,
    required,
    text,
    times_rate,
    timestamp,
    validator,
    warn,
    whole_number,
    words,
)
from currencies import CURRENCIES

HUNDRED = 100_00


def validate(sale, params, refuse):
    check_quantity(sale, params, refuse)
    check_price(sale, params, refuse)
    percent = sale.discount_percent
    if percent is not None and not 0 <= percent <= params.max_discount_percent:
        refuse("discount_out_of_range", f"discount_percent is {money(percent, 2)}")
    check_time(sale, params, refuse)
    currency, method = sale.currency, sale.payment_method
    if currency is not None and currency not in (params.currencies or CURRENCIES):
        refuse("unknown_currency", f"currency is {json.dumps(currency, ensure_ascii=False)}")
    if method is not None and method not in params.payment_methods:
        refuse("unknown_payment_method", f"payment_method is {json.dumps(method, ensure_ascii=False)}")


def check_quantity(sale, params, refuse):
    """A return may count what comes back upwards or downwards."""
    quantity = sale.quantity
    if quantity is None:
        return refuse("quantity_missing", "quantity is absent or no whole number")
    if quantity == 0:
        refuse("quantity_zero", "quantity is 0")
    if quantity < 0 and (sale.kind or "").lower() != "return":
        refuse("quantity_negative", f"quantity is {quantity}, and the type is not return")
    if abs(quantity) > params.max_quantity:
        refuse("quantity_absurd", f"quantity is {quantity}, the limit is {params.max_quantity}")


def check_price(sale, params, refuse):
    price = sale.unit_price
    if price is None:
        return refuse("price_missing", "unit_price is absent or no amount of money")
    if price < 0:
        refuse("price_negative", f"unit_price is {money(price, 2)}")
    if price == 0 and not params.allow_zero_price:
        refuse("price_zero", "unit_price is 0")
    if price > params.max_price:
        refuse("price_absurd", f"unit_price is {money(price, 2)}, the limit is {money(params.max_price, 2)}")
    share = params.min_share_of_list_price
    if share is None or sale.product is None or sale.product.list_price is None:
        return
    list_price = sale.product.list_price
    least = times_rate(list_price, share, 4)
    if price < least:
        asked = f"at least {money(least, 2)} of {money(list_price, 2)} is asked"
        refuse("price_below_list", f"unit_price is {money(price, 2)}, {asked}")


def check_time(sale, params, refuse):
    if sale.timestamp is None or sale.now is None:
        return
    ahead, days = sale.timestamp - sale.now, params.max_age_days
    if ahead // 1_000_000 > params.future_tolerance_seconds:
        heard = f"{ahead // 1_000_000} seconds after {moment(sale.now)}, when it was heard of"
        refuse("timestamp_in_future", f"{moment(sale.timestamp)} is {heard}")
    if days is not None and -ahead // 1_000_000 > days * 86_400:
        heard = f"over {days} days before {moment(sale.now)}, when it was heard of"
        refuse("timestamp_too_old", f"{moment(sale.timestamp)} is {heard}")


def look_ups(params):
    if params.min_share_of_list_price is None:
        return []
    return [look_up("product", {"product_id": "product_id"}, {"list_price": optional(decimal(2))})]


def check(params):
    for name in ["max_quantity", "max_price", "max_age_days"]:
        value = getattr(params, name)
        if value is not None and value <= 0:
            raise Err(f"params: {name} must be above zero")
    if not 0 <= params.max_discount_percent <= HUNDRED:
        raise Err("params: max_discount_percent must be from 0 to 100")
    if params.future_tolerance_seconds < 0:
        raise Err("params: future_tolerance_seconds must not be below zero")


Validation = validator(
    validate,
    reads={
        "quantity": required(integer),
        "unit_price": required(decimal(2)),
        "discount_percent": optional(decimal(2)),
        "timestamp": optional(timestamp),
        "currency": optional(text),
        "payment_method": optional(text),
        "kind": optional(text, "type"),
        "now": required(timestamp, "_now"),
    },
    look_ups=look_ups,
    rules={
        "quantity_missing": quarantine("There is no quantity, or it is no whole number."),
        "quantity_zero": quarantine("Nothing was sold."),
        "quantity_negative": quarantine("The quantity is below zero, and the sale is not a return."),
        "quantity_absurd": quarantine("The quantity is beyond what one line of a sale can be."),
        "price_missing": quarantine("There is no price, or it is no amount of money."),
        "price_negative": quarantine("The price is below zero."),
        "price_zero": quarantine("The price is zero."),
        "price_absurd": quarantine("The price is beyond what anything costs here."),
        "price_below_list": quarantine("The price is too small a share of the product's list price."),
        "discount_out_of_range": quarantine("The discount is not between 0 and `max_discount_percent`."),
        "timestamp_in_future": quarantine("The sale is said to happen after it was heard of."),
        "timestamp_too_old": quarantine("The sale was heard of too long after it happened."),
        "unknown_currency": quarantine("The currency is none, or none that is taken here."),
        "unknown_payment_method": warn("The way to pay is not known."),
    },
    params={
        "max_quantity": whole_number(10_000),
        "max_price": amount(2, "100000.00"),
        "max_discount_percent": amount(2, "100.00"),
        "allow_zero_price": flag(False),
        "min_share_of_list_price": amount(4),
        "future_tolerance_seconds": whole_number(600),
        "max_age_days": whole_number(),
        "currencies": words([]),
        "payment_methods": words(["card", "cash", "gift_card", "mobile", "voucher"]),
    },
    check=check,
)
