"""Write rules for Assay in Python: rows over columns, exact decimals, params that are checked.

A rule exports what one of `cleanser`, `validator`, `enricher` and `aggregator` makes:

    from assay_rules import decimal, integer, money, quarantine, required, validator

    def validate(sale, params, refuse):
        if sale.unit_price is not None and sale.unit_price < 0:
            refuse("price_negative", f"unit_price is {money(sale.unit_price, 2)}")

    Validation = validator(
        validate,
        reads={"quantity": required(integer), "unit_price": required(decimal(2))},
        rules={"price_negative": quarantine("A price below zero is a mistake at the till.")},
    )

All numbers but floats are int: a decimal is its units (cents, at two decimals), a timestamp is
microseconds since 1970 in UTC, a date is days since 1970. What is absent is None. There is no clock and
no chance: "now" is the column `_now`. Each batch has a fresh instance, and where it ends is not a rule's
to know: the answer depends on the row alone.
"""

import json
import re
from collections import namedtuple
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from types import SimpleNamespace

from componentize_py_types import Err
from wit_world.imports import host, types as wit

LEAST, MOST = -(2**63), 2**63 - 1


# Kinds of value: how the contract spells them, how they are read and written.


@dataclass(frozen=True)
class Kind:
    wire: object
    read: object
    write: object
    column: str | None = None
    required: bool = True


def _numbers(wire, case, default, check):
    def write(values):
        return case([default if value is None else check(value) for value in values])

    return Kind(wire(), lambda values: values.value, write)


def _whole(value):
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no int")
    if not LEAST <= value <= MOST:
        raise Err(f"{value} is past 64 bits")
    return value


def _joined(parts):
    return wit.Text([0, *accumulate(len(part) for part in parts)], b"".join(parts))


def _cut(values):
    offsets, data = values.value.offsets, bytes(values.value.bytes)
    return [data[begin:end] for begin, end in zip(offsets, offsets[1:])]


boolean = Kind(
    wit.Kind_Boolean(),
    lambda values: [value == 1 for value in values.value],
    lambda values: wit.Values_Booleans(bytes(1 if value else 0 for value in values)),
)
integer = _numbers(wit.Kind_Integer, wit.Values_Integers, 0, _whole)
float64 = _numbers(wit.Kind_Float, wit.Values_Floats, 0.0, float)
timestamp = _numbers(wit.Kind_Timestamp, wit.Values_Timestamps, 0, _whole)
date = _numbers(wit.Kind_Date, wit.Values_Dates, 0, _whole)
text = Kind(
    wit.Kind_Text(),
    lambda values: [part.decode() for part in _cut(values)],
    lambda values: wit.Values_Text(_joined([(value or "").encode() for value in values])),
)
binary = Kind(
    wit.Kind_Binary(),
    _cut,
    lambda values: wit.Values_Binary(_joined([value or b"" for value in values])),
)


def decimal(scale):
    """An exact decimal with so many decimals: an int of units, in cents where there are two."""

    def write(values):
        return wit.Values_Decimals(wit.Decimal(scale, integer.write(values).value))

    return Kind(wit.Kind_Decimal(scale), lambda values: values.value.units, write)


# What a rule declares.


def required(kind, column=None):
    """A column that the tenant's events must have. In a row it may be absent all the same."""
    return Kind(kind.wire, kind.read, kind.write, column, True)


def optional(kind, column=None):
    """A column that may be missing: then it is absent in every row."""
    return Kind(kind.wire, kind.read, kind.write, column, False)


LookUp = namedtuple("LookUp", "dimension on fields")


def look_up(dimension, on, fields):
    """Fields that the host joins from a dimension, where its key columns equal columns of the row."""
    return LookUp(dimension, on, fields)


def warn(description):
    """The row goes on; silver lists the rule in `_warnings`."""
    return wit.Action.WARN, description


def quarantine(description):
    """The row goes to quarantine, with its payload and the reason."""
    return wit.Action.QUARANTINE, description


def drop(description):
    """The row is left out on purpose, without payload."""
    return wit.Action.DROP, description


def fail(description):
    """The tenant stops before this row until a person decides."""
    return wit.Action.FAIL, description


# Params: each has a default and a way to be read. An error names the param that it is about.


class _Number(str):
    """A number as the TOML has it: digits, not a float."""


def _expect(value, good, wanted):
    if not good:
        found = str(value) if isinstance(value, _Number) else json.dumps(value)
        raise Err(f"expected {wanted}, found {found}")
    return value


def whole_number(default=None):
    """A whole number: an int."""

    def read(value):
        whole = isinstance(value, _Number) and re.fullmatch(r"-?\d+", value)
        return _whole(int(_expect(value, whole, "a whole number")))

    return default, read


def amount(scale, default=None):
    """An exact decimal, given as a number or as text: an int of units."""
    return None if default is None else units(default, scale), lambda value: units(value, scale)


def flag(default):
    """True or false."""
    return default, lambda value: _expect(value, isinstance(value, bool), "true or false")


def word(default=None):
    """Text."""
    return default, lambda value: _expect(value, type(value) is str, "a text")


def words(default):
    """A list of texts."""

    def read(value):
        good = isinstance(value, list) and all(type(item) is str for item in value)
        return _expect(value, good, "a list of texts")

    return default, read


def _read_params(given, declared, check):
    params = {name: default for name, (default, _) in declared.items()}
    for name, value in json.loads(given, parse_int=_Number, parse_float=_Number).items():
        if name not in declared:
            known = ", ".join(f"`{name}`" for name in declared)
            raise Err(f"params: unknown field `{name}`, expected one of {known}")
        if value is None:
            continue
        try:
            params[name] = declared[name][1](value)
        except Err as problem:
            raise Err(f"params: {name}: {problem.value}") from None
    params = SimpleNamespace(**params)
    if check is not None:
        check(params)
    return params


# Decimals and moments.


def units(written, scale):
    """The units of a decimal that is written as text: `units("0.10", 2)` is 10."""
    found = re.fullmatch(r"(-?\d+)(?:\.(\d*))?", str(written))
    if not found:
        raise Err(f"{json.dumps(written)} is no decimal")
    whole, decimals = found[1], found[2] or ""
    if len(decimals) > scale:
        raise Err(f"{written} has more than {scale} decimals")
    return _whole(int(whole + decimals.ljust(scale, "0")))


def money(units, scale):
    """Units as people write them: `money(-5, 2)` is "-0.05"."""
    digits = str(abs(units)).rjust(scale + 1, "0")
    sign = "-" if units < 0 else ""
    split = len(digits) - scale
    return f"{sign}{digits[:split]}.{digits[split:]}" if scale else f"{sign}{digits}"


def divided(dividend, divisor):
    """A quotient, rounded half away from zero."""
    rounded = (2 * abs(dividend) + abs(divisor)) // (2 * abs(divisor))
    return rounded if (dividend < 0) == (divisor < 0) else -rounded


def times_rate(units, rate, decimals):
    """Units times a rate with so many decimals, rounded half away from zero."""
    return divided(units * rate, 10**decimals)


def fits(units):
    """Whether a number of units can stand in a column: in 64 bits."""
    return LEAST <= units <= MOST


def moment(micros):
    """A timestamp as people write it, in UTC."""
    written = (datetime(1970, 1, 1) + timedelta(microseconds=micros)).isoformat()
    return f"{written.removesuffix('000') if '.' in written else written}Z"


# From the contract's columns to rows, and back.


def _fields(declared):
    return [wit.Field(kind.column or name, kind.wire, kind.required) for name, kind in declared.items()]


def _values(kind, column):
    values = kind.read(column.values)
    if column.valid is None:
        return values
    valid = column.valid
    return [value if valid[row >> 3] >> (row & 7) & 1 else None for row, value in enumerate(values)]


def _rows(names, columns, rows):
    row = namedtuple("Row", names)
    return map(row._make, zip(*columns)) if columns else (row() for _ in range(rows))


def _opened(reads, look_ups, batch):
    """The rows of a batch, one after the other."""
    columns = iter(batch.columns)
    names = list(reads)
    values = [_values(kind, next(columns)) for kind in reads.values()]
    for look_up in look_ups:
        fields = [_values(kind, next(columns)) for kind in look_up.fields.values()]
        found = _values(boolean, next(columns))
        joined = _rows(list(look_up.fields), fields, batch.rows)
        names.append(look_up.dimension)
        values.append([row if is_found else None for row, is_found in zip(joined, found)])
    return _rows(names, values, batch.rows)


def _column(kind, values):
    valid = None
    if any(value is None for value in values):
        bits = bytearray((len(values) + 7) // 8)
        for row, value in enumerate(values):
            if value is not None:
                bits[row >> 3] |= 1 << (row & 7)
        valid = bytes(bits)
    return wit.Column(kind.write(values), valid)


def _columns(declared, made):
    return [_column(kind, [one.get(name) for one in made]) for name, kind in declared.items()]


def _telling(work):
    """Other errors than `Err` are mistakes in the rule: the host is told which, then the instance ends
    in a trap."""

    def told(*given):
        try:
            return work(*given)
        except Err:
            raise
        except BaseException as error:
            at = error.__traceback__
            while at.tb_next is not None:
                at = at.tb_next
            where = f"{at.tb_frame.f_code.co_name}, line {at.tb_lineno}"
            host.log(host.Level.ERROR, f"{type(error).__name__}: {error} ({where})")
            raise

    return told


# The four steps.


def _by_row(step, work, reads, rules, params, look_ups, writes, check):
    numbers = {name: number for number, name in enumerate(rules)}
    # There is an object for each call, and one instance for all of them: what lasts stands here.
    held = SimpleNamespace()

    class Exported:
        @_telling
        def configure(self, given):
            held.params = _read_params(given, params or {}, check)

        @_telling
        def describe(self):
            joined = [
                wit.LookUp(one.dimension, list(one.on.items()), None, _fields(one.fields))
                for one in self.look_ups()
            ]
            said = [wit.Rule(name, description, action) for name, (action, description) in rules.items()]
            return wit.RowDescription(_fields(reads), joined, _fields(writes), said)

        def look_ups(self):
            return look_ups(held.params) if look_ups else []

        def judge(self, batch):
            verdicts, written = [], []
            at = 0

            def refuse(name, reason=""):
                verdicts.append(wit.Verdict(at, numbers[name], reason))

            for at, row in enumerate(_opened(reads, self.look_ups(), batch)):
                written.append(work(row, held.params, refuse))
            return verdicts, _columns(writes, written)

    def judged(self, batch):
        verdicts, columns = self.judge(batch)
        return verdicts if step == "validate" else wit.Judged(columns, verdicts)

    setattr(Exported, step, _telling(judged))
    return Exported


def cleanser(cleanse, *, reads, writes, rules={}, params=None, look_ups=None, check=None):
    """Repairs fields: `cleanse(row, params, refuse)` answers with a dict of `writes`."""
    return _by_row("cleanse", cleanse, reads, rules, params, look_ups, writes, check)


def validator(validate, *, reads, rules, params=None, look_ups=None, check=None):
    """Says what is wrong: `validate(row, params, refuse)` calls `refuse(rule, reason)`."""
    return _by_row("validate", validate, reads, rules, params, look_ups, {}, check)


def enricher(enrich, *, reads, writes, rules={}, params=None, look_ups=None, check=None):
    """Adds columns: `enrich(row, params, refuse)` answers with a dict of `writes`."""
    return _by_row("enrich", enrich, reads, rules, params, look_ups, writes, check)


# Parts of a group's state, each of which knows how to merge with its like.


@dataclass(frozen=True)
class Part:
    kind: Kind
    zero: object
    merge: object
    stored: object = staticmethod(lambda value: value)
    restored: object = staticmethod(lambda value: value)


def _added(left, right):
    return left + right


#: How many: an int.
count = Part(integer, int, _added)
#: Different texts: a set.
distinct = Part(
    text,
    set,
    lambda left, right: left | right,
    lambda held: json.dumps(sorted(held), ensure_ascii=False),
    lambda stored: set(json.loads(stored)),
)


def sum_of(scale):
    """The sum of decimals with so many decimals: an int of units."""
    return Part(decimal(scale), int, _added)


def aggregator(fold, finish, *, reads, keys, state, measures, params=None, check=None):
    """Adds rows up to the groups of a gold table: `fold(group, row, params)` adds a row to its group's
    state, `finish(group, params)` answers with a dict of `measures`."""
    kinds = {name: part.kind for name, part in state.items()}
    # There is an object for each call, and one instance for all of them: what lasts stands here.
    held = SimpleNamespace()

    def states(batch):
        columns = [
            [part.restored(value) for value in _values(part.kind, column)]
            for part, column in zip(state.values(), batch.columns)
        ]
        return [SimpleNamespace(**dict(zip(state, values))) for values in zip(*columns)]

    def answer(groups):
        made = [{name: part.stored(getattr(group, name)) for name, part in state.items()} for group in groups]
        return wit.Batch(len(made), _columns(kinds, made))

    class Exported:
        @_telling
        def configure(self, given):
            held.params = _read_params(given, params or {}, check)

        @_telling
        def describe(self):
            return wit.GroupDescription(_fields(reads), list(keys), _fields(kinds), _fields(measures))

        @_telling
        def fold(self, batch, group, groups):
            made = [SimpleNamespace(**{name: part.zero() for name, part in state.items()}) for _ in range(groups)]
            for at, row in zip(group, _opened(reads, [], batch)):
                fold(made[at], row, held.params)
            return answer(made)

        @_telling
        def merge(self, left, right):
            merged = [
                SimpleNamespace(**{name: part.merge(getattr(a, name), getattr(b, name)) for name, part in state.items()})
                for a, b in zip(states(left), states(right))
            ]
            return answer(merged)

        @_telling
        def finish(self, batch):
            made = [finish(group, held.params) for group in states(batch)]
            return wit.Batch(batch.rows, _columns(measures, made))

    return Exported
