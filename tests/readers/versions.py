"""Reads every version of a Delta table by deltalake and by Polars. usage: versions.py TABLE

Prints, as JSON, how many versions there are and, of each column that a version has, its types in
the order of versions. Ends with an error at the first version that one of them can't read, or that
they read otherwise.
"""
import json
import sys

import polars as pl
from deltalake import DeltaTable

path = sys.argv[1]
last = DeltaTable(path).version()
types = {}
for version in range(last + 1):
    table = DeltaTable(path, version=version)
    rows = table.to_pyarrow_table()
    frame = pl.scan_delta(path, version=version).collect()
    if (rows.num_rows, rows.column_names) != (frame.height, frame.columns):
        sys.exit(f"version {version}: {rows.num_rows} rows, then {frame.height}")
    for field in rows.schema:
        seen = types.setdefault(field.name, [])
        if str(field.type) not in seen:
            seen.append(str(field.type))
print(json.dumps({"versions": last + 1, "columns": types}))
