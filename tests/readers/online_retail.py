#!/usr/bin/env python3
"""Holds the tables of the real week to what its CSV says, computed by DuckDB from the CSV alone.

usage: online_retail.py LAKE [--tenant NAME] [--csv FILE] [--reader NAME]

Compared: quarantine by rule, silver's rows by key, and both gold tables to the cent.
"""

import argparse
import pathlib

import duckdb
import polars as pl

import readers

CSV = pathlib.Path(__file__).resolve().parents[2] / "pipelines/online-retail/online_retail_week.csv"

# The first rule that a line breaks is the one that counts. A line that was there before is a
# duplicate only if no rule refuses it.
LINES = """
CREATE TABLE lines AS
WITH typed AS (
    SELECT row_number() OVER () AS line, InvoiceNo AS invoice, StockCode AS stock, Country AS country,
           CAST(Quantity AS BIGINT) AS quantity, CAST(UnitPrice AS DECIMAL(18,2)) AS price,
           strptime(InvoiceDate, '%-m/%-d/%y %-H:%M') AS sold_at, starts_with(InvoiceNo, 'C') AS cancelled
    FROM read_csv(?, all_varchar = true, header = true)
), refused AS (
    SELECT *, CASE WHEN quantity < 0 AND NOT cancelled THEN 'adjustment'
                   WHEN price = 0 THEN 'no_price'
                   WHEN NOT regexp_matches(stock, '^[0-9]') THEN 'not_merchandise' END AS broken
    FROM typed
)
SELECT *, CASE WHEN broken IS NOT NULL THEN broken
               WHEN row_number() OVER (PARTITION BY broken IS NULL, invoice, stock, quantity, price
                                       ORDER BY line) > 1 THEN 'duplicate' END AS rule
FROM refused
"""

DAILY_SALES = """
SELECT CAST(sold_at AS DATE) AS sale_date, country AS store_id,
       count(*) FILTER (NOT cancelled) AS sales,
       coalesce(sum(quantity) FILTER (NOT cancelled), 0)::BIGINT AS units,
       coalesce(sum(quantity * price) FILTER (NOT cancelled), 0)::DECIMAL(38,2) AS gross_amount,
       0::DECIMAL(38,2) AS discount_amount,
       coalesce(sum(quantity * price) FILTER (NOT cancelled), 0)::DECIMAL(38,2) AS net_amount,
       NULL::DECIMAL(38,2) AS margin_amount,
       count(*) FILTER (cancelled) AS returns,
       coalesce(sum(-quantity * price) FILTER (cancelled), 0)::DECIMAL(38,2) AS returns_amount,
       count(DISTINCT invoice) FILTER (NOT cancelled) AS transactions,
       min(sold_at) FILTER (NOT cancelled) AS first_sale_at,
       max(sold_at) FILTER (NOT cancelled) AS last_sale_at
FROM lines WHERE rule IS NULL GROUP BY ALL
"""

DAILY_PRODUCTS = """
SELECT CAST(sold_at AS DATE) AS sale_date, stock AS product_id,
       coalesce(sum(quantity) FILTER (NOT cancelled), 0)::BIGINT AS units_sold,
       coalesce(sum(-quantity) FILTER (cancelled), 0)::BIGINT AS units_returned,
       sum(quantity)::BIGINT AS net_units,
       count(*) FILTER (NOT cancelled) AS sales
FROM lines WHERE rule IS NULL GROUP BY ALL
"""

# Times are London's. In December they are UTC's as well, so nothing has to be moved.
OUT_OF_WINTER = "SELECT count(*) FROM lines WHERE month(sold_at) <> 12"

SILVER = "SELECT invoice, stock, quantity, price::VARCHAR AS price FROM lines WHERE rule IS NULL"


def frame(connection, query):
    return pl.from_arrow(connection.sql(query).to_arrow_table())


def comparable(found, columns):
    """Gold's rows with moments without a zone, as DuckDB has them."""
    moments = [name for name, kind in found.schema.items() if isinstance(kind, pl.Datetime)]
    found = found.with_columns(pl.col(name).dt.replace_time_zone(None) for name in moments)
    return found.select(columns)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lake")
    parser.add_argument("--tenant", default="online-retail")
    parser.add_argument("--csv", default=str(CSV))
    parser.add_argument("--reader", choices=readers.READERS, default="polars")
    args = parser.parse_args()

    connection = duckdb.connect()
    connection.execute(LINES, [args.csv])
    checks = readers.Checks()
    checks.equal("lines out of December", 0, connection.sql(OUT_OF_WINTER).fetchall()[0][0])

    paths = readers.tables(args.lake, args.tenant)
    read = lambda name, columns=None: readers.rows(paths[name], columns, args.reader)
    lines = connection.sql("SELECT count(*) FROM lines").fetchall()[0][0]
    checks.equal("bronze: rows", lines, read("bronze", ["_offset"]).height)
    refused = connection.sql("SELECT rule, count(*) FROM lines WHERE rule IS NOT NULL GROUP BY 1")
    found = read("quarantine", ["rule"]).group_by("rule").len().iter_rows()
    checks.equal("quarantine: rows by rule", dict(sorted(refused.fetchall())), dict(sorted(found)))

    key = ["invoice", "stock", "quantity", "price"]
    silver = read("silver", ["transaction_id", "product_id", "quantity", "unit_price"])
    silver.columns = key
    silver = silver.with_columns(pl.col("price").cast(pl.String))
    readers.same_rows(checks, "silver", key, frame(connection, SILVER), silver)

    for name, query, key in (
        ("daily_sales", DAILY_SALES, ["sale_date", "store_id"]),
        ("daily_products", DAILY_PRODUCTS, ["sale_date", "product_id"]),
    ):
        expected = frame(connection, query)
        gold = comparable(read(f"gold/{name}"), expected.columns)
        readers.same_rows(checks, name, key, expected, gold)
    checks.end(f"OK {lines} lines: silver {silver.height}, gold to the cent")


if __name__ == "__main__":
    main()
