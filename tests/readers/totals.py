#!/usr/bin/env python3
"""Reads every table of a tenant with three readers and prints, as JSON, what they hold.

usage: totals.py LAKE TENANT [--rows]

Ends with 1 if the readers do not agree on every table: on its rows, its identities, and of each
column on how many values it has, the lowest and the highest.
"""

import argparse
import json
import sys

import readers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lake")
    parser.add_argument("tenant")
    parser.add_argument("--rows", action="store_true", help="print gold's rows too")
    args = parser.parse_args()

    found, agree = {}, True
    for name, path in readers.tables(args.lake, args.tenant).items():
        summaries = {reader: readers.summary(path, reader) for reader in readers.READERS}
        first, *others = summaries.values()
        if any(other != first for other in others):
            agree = False
            print(f"{name}: the readers differ: {json.dumps(summaries, indent=1)}", file=sys.stderr)
        table = {"rows": first["rows"]}
        if "identities" in first:
            table["identities"] = first["identities"]
        if args.rows and name.startswith("gold/"):
            frame = readers.rows(path)
            shown = [column for column in frame.columns if not column.startswith("_")]
            frame = frame.select(shown).sort(shown[:2])
            table["content"] = [
                {column: readers.plain(value) for column, value in row.items()}
                for row in frame.iter_rows(named=True)
            ]
        found[name] = table
    if not found:
        sys.exit(f"{args.lake}: no table of tenant {args.tenant} here")
    duckdb_by = "delta_scan" if readers.duckdb_has_delta() else "read_parquet"
    print(json.dumps({"readers_agree": agree, "duckdb_by": duckdb_by, "tables": found}, indent=1))
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
