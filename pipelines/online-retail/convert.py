#!/usr/bin/env python3
"""Turns the CSV of Online Retail into sales events, one JSON object a line.

Columns are renamed, numbers stay as they are written, and the local time of London becomes UTC.
Nothing is judged: every line of the CSV becomes one event, in the same order. What is empty is left
out; what can't be read as a number or a time goes on as the text that it is.
"""

import argparse
import csv
import datetime
import json
import pathlib
import re
import sys
import zoneinfo

HERE = pathlib.Path(__file__).resolve().parent

TEXTS = {
    "InvoiceNo": "transaction_id",
    "Country": "store_id",
    "StockCode": "product_id",
    "Description": "description",
    "CustomerID": "customer_id",
}
NUMBERS = {"Quantity": "quantity", "UnitPrice": "unit_price"}

# What JSON takes as a number, digit by digit: 2.50 must not pass through a float.
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def utc(text, zone):
    """Month/day/year hour:minute in `zone`, as RFC 3339 in UTC; other texts as they are."""
    try:
        local = datetime.datetime.strptime(text, "%m/%d/%y %H:%M").replace(tzinfo=zone)
    except ValueError:
        return text
    return local.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(row, zone):
    """One line of the CSV as the text of a JSON object."""
    parts = [(name, json.dumps(row[column])) for column, name in TEXTS.items() if row[column]]
    for column, name in NUMBERS.items():
        if row[column]:
            number = NUMBER.fullmatch(row[column])
            parts.append((name, row[column] if number else json.dumps(row[column])))
    if row["InvoiceDate"]:
        parts.append(("timestamp", json.dumps(utc(row["InvoiceDate"], zone))))
    return "{" + ",".join(f'"{name}":{value}' for name, value in parts) + "}"


def write_products(rows, path):
    """Each stock code with the first description that it came with."""
    names = {}
    for row in rows:
        code = row["StockCode"]
        names[code] = names.get(code) or row["Description"].strip()
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["product_id", "product_name"])
        writer.writerows(sorted(names.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", nargs="?", type=pathlib.Path, default=HERE / "online_retail_week.csv")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=HERE / "events" / "sales.ndjson",
                        help="where the events go; - is standard output")
    parser.add_argument("--zone", default="Europe/London", help="the zone of the CSV's times")
    parser.add_argument("--products", type=pathlib.Path, metavar="FILE",
                        help="write the product dimension there, and no events")
    args = parser.parse_args()
    try:
        zone = zoneinfo.ZoneInfo(args.zone)
    except zoneinfo.ZoneInfoNotFoundError:
        sys.exit(f"{args.zone}: not known here; install the time zones (apt-get install tzdata)")

    with open(args.csv, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if args.products:
        write_products(rows, args.products)
        return
    lines = "".join(event(row, zone) + "\n" for row in rows)
    if str(args.out) == "-":
        sys.stdout.write(lines)
        return
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(lines, encoding="utf-8")
    print(f"{args.out}: {len(rows)} events", file=sys.stderr)


if __name__ == "__main__":
    main()
