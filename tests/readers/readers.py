"""Three ways to read a Delta table: the deltalake package, Polars and DuckDB.

DuckDB uses its delta extension where that is installed (nothing is downloaded here). Elsewhere it
reads the Parquet files that the table's log names, and takes the partition columns from their paths.
"""

import datetime
import decimal
import functools
import os
import pathlib

import duckdb
import polars
import pyarrow
import pyarrow.compute
from deltalake import DeltaTable

READERS = ("deltalake", "polars", "duckdb")

IDENTITY = ["_topic", "_source", "_partition", "_offset"]


# In an object store, where folders can't be walked through.
TABLES = ["bronze", "quarantine", "silver", "gold/daily_sales", "gold/daily_products"]


def store_options():
    """What the environment says of an object store."""
    told = ("AZURE_", "AWS_", "GOOGLE_")
    return {name.lower(): value for name, value in os.environ.items() if name.startswith(told)}


def tables(lake, tenant):
    """The tenant's tables by name, as in gold/daily_sales, with their paths or URLs."""
    if "://" in lake:
        urls = {name: f"{lake}/{tenant}/{name}" for name in TABLES}
        is_table = lambda url: DeltaTable.is_deltatable(url, store_options())
        return {name: url for name, url in urls.items() if is_table(url)}
    root = pathlib.Path(lake) / tenant
    logs = sorted(root.glob("**/_delta_log"))
    return {log.parent.relative_to(root).as_posix(): str(log.parent) for log in logs}


def rows(path, columns=None, reader="polars"):
    """A table, or some of its columns, as a Polars frame, decoded by `reader`."""
    if reader == "polars":
        options = {"storage_options": store_options(), "credential_provider": None} if "://" in path else {}
        frame = polars.scan_delta(path, **options)
        return (frame.select(columns) if columns else frame).collect()
    if reader == "deltalake":
        return polars.from_arrow(DeltaTable(path).to_pyarrow_table(columns=columns))
    names = ", ".join(f'"{name}"' for name in columns) if columns else "*"
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return polars.from_arrow(connection.sql(f"SELECT {names} FROM {duckdb_source(path)}").to_arrow_table())


def duckdb_source(path):
    """What to write after FROM to read the table in DuckDB."""
    if duckdb_has_delta():
        return f"delta_scan({literal(path)})"
    table = DeltaTable(path)
    schema = pyarrow.schema(table.schema())
    files = table.file_uris()
    columns = [f'"{field.name}"' for field in schema]
    if not files:
        nulls = ", ".join(f"CAST(NULL AS {duckdb_type(f.type)}) AS \"{f.name}\"" for f in schema)
        return f"(SELECT {nulls} WHERE false)"
    partitions = {
        name: f"CAST(\"{name}\" AS {duckdb_type(schema.field(name).type)}) AS \"{name}\""
        for name in table.metadata().partition_columns
    }
    select = ", ".join(partitions.get(name.strip('"'), name) for name in columns)
    listed = ", ".join(literal(file) for file in files)
    return (
        f"(SELECT {select} FROM read_parquet([{listed}], hive_partitioning = true, "
        "hive_types_autocast = false, union_by_name = true))"
    )


@functools.cache
def duckdb_has_delta():
    try:
        duckdb.connect().execute("SET autoinstall_known_extensions = false; LOAD delta")
    except duckdb.Error:
        return False
    return True


def summary(path, reader):
    """How many rows and identities a table has, and of each column how many values, the lowest and
    the highest. Each reader counts in its own way, so that equal summaries mean that the readers
    agree."""
    counted = {"deltalake": by_deltalake, "polars": by_polars, "duckdb": by_duckdb}[reader]
    count, columns = counted(path)
    found = {"rows": count, "columns": columns}
    if set(IDENTITY) <= set(columns):
        names = IDENTITY + (["_line"] if "_line" in columns else [])
        found["identities"] = rows(path, names, reader).n_unique()
    return found


def by_polars(path):
    frame = polars.read_delta(path)
    columns = {}
    for column in frame:
        ordered = not column.dtype.is_nested() and column.dtype != polars.Binary
        ends = [plain(column.min()), plain(column.max())] if ordered else []
        columns[column.name] = [column.len() - column.null_count(), *ends]
    return frame.height, columns


def by_deltalake(path):
    table = DeltaTable(path).to_pyarrow_table()
    columns = {}
    for name in table.column_names:
        column = table[name]
        ends = []
        if is_ordered(column.type):
            both = pyarrow.compute.min_max(column)
            ends = [plain(both["min"].as_py()), plain(both["max"].as_py())]
        columns[name] = [len(column) - column.null_count, *ends]
    return table.num_rows, columns


def by_duckdb(path):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    source = duckdb_source(path)
    schema = pyarrow.schema(DeltaTable(path).schema())
    wanted, names = ["count(*)"], []
    for field in schema:
        names.append((field.name, is_ordered(field.type)))
        wanted.append(f'count("{field.name}")')
        if is_ordered(field.type):
            # As UTC without a zone: a moment with one would need a further package to be fetched.
            naive = "::TIMESTAMP" if pyarrow.types.is_timestamp(field.type) else ""
            wanted += [f'min("{field.name}"){naive}', f'max("{field.name}"){naive}']
    found = iter(connection.sql(f"SELECT {', '.join(wanted)} FROM {source}").fetchall()[0])
    count = next(found)
    return count, {
        name: [next(found), *([plain(next(found)), plain(next(found))] if ordered else [])]
        for name, ordered in names
    }


def is_ordered(kind):
    types = pyarrow.types
    return not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def plain(value):
    """A value as JSON can hold it, the same whichever reader it came from."""
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    return value


def duckdb_type(kind):
    types = pyarrow.types
    if types.is_date(kind):
        return "DATE"
    if types.is_int64(kind):
        return "BIGINT"
    if types.is_int32(kind):
        return "INTEGER"
    if types.is_boolean(kind):
        return "BOOLEAN"
    if types.is_timestamp(kind):
        return "TIMESTAMPTZ"
    if types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return "BLOB" if types.is_binary(kind) or types.is_large_binary(kind) else "VARCHAR"


def literal(text):
    return "'" + text.replace("'", "''") + "'"


class Checks:
    """Collects what is wrong, and ends the program with it."""

    def __init__(self):
        self.wrong = []

    def equal(self, what, expected, found):
        if expected != found:
            self.wrong.append(f"{what}: expected {expected}, found {found}")

    def empty(self, what, frame):
        """`frame` holds offenders: there should be none. The first few are named."""
        if frame.height:
            self.wrong.append(f"{what}: {frame.height}, as {frame.head(5).to_dicts()}")

    def end(self, good):
        for wrong in self.wrong:
            print(f"WRONG {wrong}")
        if self.wrong:
            raise SystemExit(1)
        print(good)


def same_rows(checks, what, key, expected, found):
    """Holds two frames of the same columns against each other, row by row, in both directions."""
    checks.empty(f"{what}: twice", found.filter(found.select(key).is_duplicated()).select(key))
    checks.empty(f"{what}: missing", expected.join(found, on=key, how="anti").select(key))
    checks.empty(f"{what}: too many", found.join(expected, on=key, how="anti").select(key))
    both = expected.join(found, on=key, suffix="_found")
    for name in expected.columns:
        if name not in key:
            pair = [*key, name, f"{name}_found"]
            differ = both.filter(polars.col(name).ne_missing(polars.col(f"{name}_found")))
            checks.empty(f"{what}: {name} differs", differ.select(pair))
