"""Repairs fields before anything else looks at them: the row's key, its business date and its look-ups are
made of what is written here."""

import json

from assay_rules import cleanser, optional, required, text, warn, whole_number


def cleanse(sale, params, refuse):
    store, method = sale.store_id, sale.payment_method
    if method is not None and len(method) > params.longest_payment_method:
        refuse("payment_method_too_long", f"payment_method is {json.dumps(method, ensure_ascii=False)}")
    return {
        "store_id": store and store.strip().upper(),
        "payment_method": method and method.strip(),
    }


Cleansing = cleanser(
    cleanse,
    # The columns that are looked at: nothing else is handed over. `required` means that the tenant's events
    # must have the column; in a row it may be None all the same.
    reads={"store_id": required(text), "payment_method": optional(text)},
    # What replaces the event's fields of these names, in every row: a value that needs no repair is handed
    # back as it came.
    writes={"store_id": text, "payment_method": text},
    # What can't be repaired. The text is what analysts read, the word before it says what becomes of the
    # row: `warn`, `quarantine`, `drop` or `fail`.
    rules={"payment_method_too_long": warn("The way to pay is longer than any there is.")},
    # `params = { longest_payment_method = 12 }` in the tenant's TOML.
    params={"longest_payment_method": whole_number(20)},
)
