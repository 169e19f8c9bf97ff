#!/usr/bin/env python3
"""Holds a tenant's tables to what `assay generate` says that they must hold.

usage: check_expected.py LAKE TENANT EXPECTED.JSON [--ids EXPECTED-IDS.CSV] [--reader NAME]

By identity: each message of bronze is exactly once in silver or in quarantine, silver has each
transaction once, every duplicate has its original in silver. By sum: rows of each table and of each
quarantine rule, and gold to the cent. With the ids file, each id is in the table and under the rule
that the generator meant for it.
"""

import argparse
import json
import pathlib

import polars as pl

import readers

# Names of another generator of the same events, which knows fewer columns of gold.
OTHER_KINDS = {
    "duplicate": "duplicate",
    "neg_qty": "quantity_negative",
    "missing_id": "no_key",
    "bad_ts": "no_business_date",
    "malformed": "malformed",
}
AMOUNTS = ["gross_amount", "discount_amount", "net_amount", "margin_amount", "returns_amount"]
MOMENTS = ["first_sale_at", "last_sale_at"]
KEY = ["sale_date", "store_id"]


def load(path):
    """What is expected: rows of bronze and silver, quarantine by rule, gold's daily sales."""
    read = json.loads(pathlib.Path(path).read_text())
    if "daily_sales" in read:
        tables = read["tables"]
        return tables["bronze"], tables["silver"], read["quarantine"], read["daily_sales"]
    kinds = read["kinds"]
    refused = {rule: kinds[kind] for kind, rule in OTHER_KINDS.items() if kinds.get(kind)}
    days = []
    for key, (sales, units, cents) in read["gold"].items():
        store, date = key.split("|")
        day = {"sale_date": date, "store_id": store, "sales": sales, "units": units}
        days.append(day | {"gross_amount": cents, "net_amount": cents, "transactions": sales})
    return read["n"], kinds["valid"], refused, days


def check_identities(checks, bronze, silver, quarantine):
    identity = readers.IDENTITY
    settled = pl.concat([silver.select([*identity, "_line"]), quarantine.select([*identity, "_line"])])
    checks.empty("bronze: twice", bronze.filter(bronze.select(identity).is_duplicated()).select(identity))
    checks.empty("in silver and quarantine: twice", settled.filter(settled.is_duplicated()))
    checks.empty("in bronze alone", bronze.join(settled, on=identity, how="anti").select(identity))
    checks.empty("not in bronze", settled.join(bronze, on=identity, how="anti"))


def check_transactions(checks, bronze, silver, quarantine):
    """Ids are taken from the messages as they came, so that repairs can't hide a mix-up."""
    raw = bronze.select(
        *readers.IDENTITY,
        pl.col("_raw")
        .cast(pl.String, strict=False)
        .str.extract(r'"transaction_id":"([^"]*)"')
        .alias("id"),
    )
    sold = silver.join(raw, on=readers.IDENTITY)
    refused = quarantine.join(raw, on=readers.IDENTITY)
    checks.empty("silver: transactions twice", sold.filter(pl.col("id").is_duplicated()).select("id"))
    # Cleansing writes ids in upper case.
    mixed = sold.filter(pl.col("id").str.to_uppercase().ne_missing(pl.col("transaction_id").str.to_uppercase()))
    checks.empty("silver: another message's transaction", mixed.select("id", "transaction_id"))
    again = refused.filter(pl.col("rule").is_in(["duplicate", "conflicting_duplicate"]))
    alone = again.join(sold, on="id", how="anti")
    checks.empty("duplicates without an original in silver", alone.select("id", "rule"))
    return pl.concat([
        sold.select("id", table=pl.lit("silver"), rule=pl.lit("")),
        refused.select("id", table=pl.lit("quarantine"), rule="rule"),
    ])


def check_ids(checks, path, found):
    """As often in the tables as the generator meant, for each id, table and rule."""
    key = ["id", "table", "rule"]
    meant = pl.read_csv(path, schema={name: pl.String for name in key})
    count = lambda frame: frame.with_columns(pl.col(key).fill_null("")).group_by(key).len("lines")
    readers.same_rows(checks, "ids", key, count(meant), count(found))


def check_gold(checks, days, gold):
    columns = [name for name in days[0] if name in gold.columns] if days else KEY
    checks.equal("gold: columns", list(days[0]) if days else KEY, columns)
    cents = [
        (pl.col(name) * 100).cast(pl.Int64) if name in AMOUNTS
        else pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ") if name in MOMENTS
        else pl.col(name).cast(pl.String) if name in KEY
        else pl.col(name).cast(pl.Int64)
        for name in columns
    ]
    found = gold.select(cents)
    # Moments are expected in milliseconds and stored in microseconds.
    finer = [pl.col(name).str.replace(r"\.(\d{3})Z$", ".${1}000Z") for name in MOMENTS if name in columns]
    expected = pl.DataFrame(days, schema=found.schema).with_columns(finer)
    readers.same_rows(checks, "gold", KEY, expected, found)


def check_products(checks, days, products):
    for name, expected in (("sales", "sales"), ("units_sold", "units")):
        total = sum(day[expected] for day in days)
        checks.equal(f"daily_products: {name} in all", total, products[name].sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lake")
    parser.add_argument("tenant")
    parser.add_argument("expected")
    parser.add_argument("--ids")
    parser.add_argument("--reader", choices=readers.READERS, default="polars")
    args = parser.parse_args()
    bronze_rows, silver_rows, refused, days = load(args.expected)

    paths = readers.tables(args.lake, args.tenant)
    identity = readers.IDENTITY
    read = lambda name, columns=None: readers.rows(paths[name], columns, args.reader)
    bronze = read("bronze", [*identity, "_raw"])
    silver = read("silver", [*identity, "_line", "transaction_id"])
    quarantine = read("quarantine", [*identity, "_line", "rule", "action"])

    checks = readers.Checks()
    checks.equal("bronze: rows", bronze_rows, bronze.height)
    checks.equal("silver: rows", silver_rows, silver.height)
    by_rule = dict(sorted(quarantine.group_by("rule").len().iter_rows()))
    checks.equal("quarantine: rows by rule", dict(sorted(refused.items())), by_rule)
    check_identities(checks, bronze, silver, quarantine)
    found = check_transactions(checks, bronze, silver, quarantine)
    if args.ids:
        check_ids(checks, args.ids, found)
    check_gold(checks, days, read("gold/daily_sales"))
    if "gold/daily_products" in paths:
        check_products(checks, days, read("gold/daily_products"))
    checks.end(f"OK {bronze.height} events: silver {silver.height}, quarantine {quarantine.height}, "
               f"gold {len(days)} rows to the cent")


if __name__ == "__main__":
    main()
