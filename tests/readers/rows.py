"""Prints the rows of a Delta table as JSON, one a line, read by Polars. usage: rows.py TABLE [COLUMN…]"""
import base64
import datetime
import decimal
import json
import sys

import polars as pl


def plain(value):
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return "base64:" + base64.b64encode(value).decode()
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    raise TypeError(type(value))


table, *columns = sys.argv[1:]
for row in pl.read_delta(table, columns=columns or None).iter_rows(named=True):
    print(json.dumps(row, default=plain))
