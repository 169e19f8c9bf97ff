// Write rules for Assay in JavaScript: rows over columns, exact decimals, params that are checked.
//
// A rule exports what one of `cleanser`, `validator`, `enricher` and `aggregator` makes:
//
//   import { decimal, integer, quarantine, required, validator } from "./assay-rules.js";
//
//   export const validation = validator({
//     reads: { quantity: required(integer), unit_price: required(decimal(2)) },
//     rules: { price_negative: quarantine("A price below zero is a mistake at the till.") },
//     validate(sale, params, refuse) {
//       if (sale.unit_price < 0n) refuse("price_negative", `unit_price is ${money(sale.unit_price, 2)}`);
//     },
//   });
//
// Integers, decimals and timestamps are BigInt: a decimal is its units (cents, at two decimals), a
// timestamp is microseconds since 1970 in UTC. Dates are days since 1970, as plain numbers. What is
// absent is null. There is no clock and no chance: "now" is the column `_now`. Each batch has a fresh
// instance, and where it ends is not a rule's to know: the answer depends on the row alone.

import { log } from "assay:rules/host@0.1.1";

const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;

// Kinds of value.

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/** A column whose values are numbers, as many as rows. */
function numbers(tag, List, check) {
  const read = ({ val }) => (row) => val[row];
  const write = (values) => {
    const list = new List(values.length);
    values.forEach((value, row) => {
      if (value != null) list[row] = check(value);
    });
    return { tag, val: list };
  };
  return { kind: { tag: tag.slice(0, -1) }, read, write };
}

function within64(value) {
  if (typeof value !== "bigint") throw new TypeError(`${value} is a ${typeof value}: a bigint is wanted, as in 5n`);
  if (value < LEAST || value > MOST) throw `${value} is past 64 bits`;
  return value;
}

const asFlag = (value) => (value ? 1 : 0);
const flags = numbers("booleans", Uint8Array, asFlag);

/** True or false. */
export const boolean = { ...flags, read: ({ val }) => (row) => val[row] === 1 };
/** A whole number of 64 bits: a BigInt. */
export const integer = numbers("integers", BigInt64Array, within64);
/** A float of 64 bits. Not for money. */
export const float = numbers("floats", Float64Array, Number);
/** A moment: a BigInt of microseconds since 1970-01-01T00:00:00Z. */
export const timestamp = numbers("timestamps", BigInt64Array, within64);
/** A day: a number of days since 1970-01-01. */
export const date = numbers("dates", Int32Array, Number);

/** An exact decimal with so many decimals: a BigInt of units, in cents where there are two. */
export const decimal = (scale) => ({
  kind: { tag: "decimal", val: scale },
  read: ({ val }) => (row) => val.units[row],
  write: (values) => ({ tag: "decimals", val: { scale, units: integer.write(values).val } }),
});

/** Text: a string. */
export const text = {
  kind: { tag: "text" },
  read({ val: { offsets, bytes } }) {
    const whole = decoder.decode(bytes);
    // One letter a byte: the offsets are those of the letters, too.
    if (whole.length === bytes.length) return (row) => whole.slice(offsets[row], offsets[row + 1]);
    return (row) => decoder.decode(bytes.subarray(offsets[row], offsets[row + 1]));
  },
  write: (values) => ({ tag: "text", val: joined(values.map((value) => encoder.encode(value ?? ""))) }),
};

/** Any bytes: a Uint8Array. */
export const binary = {
  kind: { tag: "binary" },
  read: ({ val: { offsets, bytes } }) => (row) => bytes.slice(offsets[row], offsets[row + 1]),
  write: (values) => ({ tag: "binary", val: joined(values.map((value) => value ?? new Uint8Array())) }),
};

function joined(parts) {
  const offsets = new Uint32Array(parts.length + 1);
  parts.forEach((part, row) => {
    offsets[row + 1] = offsets[row] + part.length;
  });
  const bytes = new Uint8Array(offsets[parts.length]);
  parts.forEach((part, row) => bytes.set(part, offsets[row]));
  return { offsets, bytes };
}

// What a rule declares.

/** A column that the tenant's events must have. In a row it may be absent all the same. */
export const required = (kind, column) => ({ ...kind, column, required: true });
/** A column that may be missing: then it is absent in every row. */
export const optional = (kind, column) => ({ ...kind, column, required: false });

/** Fields that the host joins from a dimension, where its key columns equal columns of the row. */
export const lookUp = (dimension, on, fields) => ({ dimension, on, fields });

const rule = (action) => (description) => ({ action, description });
/** The row goes on; silver lists the rule in `_warnings`. */
export const warn = rule("warn");
/** The row goes to quarantine, with its payload and the reason. */
export const quarantine = rule("quarantine");
/** The row is left out on purpose, without payload. */
export const drop = rule("drop");
/** The tenant stops before this row until a person decides. */
export const fail = rule("fail");

// Params: each has a default and a way to be read. An error names the param that it is about.

const param = (fallback, read) => ({ fallback, read });

/** A whole number: a BigInt. */
export const wholeNumber = (fallback) =>
  param(fallback, (value) => {
    if (!Number.isSafeInteger(value)) throw `expected a whole number, found ${JSON.stringify(value)}`;
    return BigInt(value);
  });
/** An exact decimal, given as a number or as text: a BigInt of units. */
export const amount = (scale, fallback) =>
  param(fallback == null ? null : units(fallback, scale), (value) => units(value, scale));
/** True or false. */
export const flag = (fallback) => param(fallback, (value) => expect(value, typeof value === "boolean", "true or false"));
/** Text. */
export const word = (fallback) => param(fallback, (value) => expect(value, typeof value === "string", "a text"));
/** A list of texts. */
export const words = (fallback) =>
  param(fallback, (value) => {
    const good = Array.isArray(value) && value.every((item) => typeof item === "string");
    return expect(value, good, "a list of texts");
  });

function expect(value, good, wanted) {
  if (!good) throw `expected ${wanted}, found ${JSON.stringify(value)}`;
  return value;
}

function readParams(text, declared, check) {
  const params = {};
  for (const [name, { fallback }] of Object.entries(declared)) params[name] = fallback;
  for (const [name, value] of Object.entries(JSON.parse(text))) {
    if (!Object.hasOwn(declared, name)) {
      const known = Object.keys(declared).map((name) => `\`${name}\``);
      throw `params: unknown field \`${name}\`, expected one of ${known.join(", ")}`;
    }
    try {
      params[name] = value === null ? declared[name].fallback : declared[name].read(value);
    } catch (problem) {
      throw `params: ${name}: ${problem}`;
    }
  }
  check?.(params);
  return params;
}

// Decimals and moments.

/** The units of a decimal that is written as text or as a number: `units("0.10", 2)` is 10n. */
export function units(written, scale) {
  if (typeof written === "number" && !Number.isSafeInteger(written) && String(written).length > 16) {
    throw `${written} has too many digits for a number: write it as a text`;
  }
  const found = /^(-?)(\d+)(?:\.(\d*))?$/.exec(String(written));
  if (!found) throw `${JSON.stringify(written)} is no decimal`;
  const [, sign, whole, decimals = ""] = found;
  if (decimals.length > scale) throw `${written} has more than ${scale} decimals`;
  return within64(BigInt(`${sign}${whole}${decimals.padEnd(scale, "0")}`));
}

/** Units as people write them: `money(-5n, 2)` is "-0.05". */
export function money(units, scale) {
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, "0");
  const split = digits.length - scale;
  const decimals = scale ? `.${digits.slice(split)}` : "";
  return `${units < 0n ? "-" : ""}${digits.slice(0, split)}${decimals}`;
}

/** A quotient, rounded half away from zero. */
export function divided(dividend, divisor) {
  const below = dividend < 0n !== divisor < 0n;
  const [top, bottom] = [dividend < 0n ? -dividend : dividend, divisor < 0n ? -divisor : divisor];
  const rounded = (2n * top + bottom) / (2n * bottom);
  return below ? -rounded : rounded;
}

/** Units times a rate with so many decimals, rounded half away from zero. */
export const timesRate = (units, rate, decimals) => divided(units * rate, 10n ** BigInt(decimals));

/** Whether a number of units can stand in a column: in 64 bits. */
export const fits = (units) => units >= LEAST && units <= MOST;

/** A timestamp as people write it, in UTC. */
export function moment(micros) {
  const seconds = micros < 0n ? (micros - 999_999n) / 1_000_000n : micros / 1_000_000n;
  const fraction = String(micros - seconds * 1_000_000n).padStart(6, "0").replace(/^(\d{3})000$/, "$1");
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return fraction === "000" ? `${whole}Z` : `${whole}.${fraction}Z`;
}

// From the contract's columns to rows, and back.

const fieldsOf = (declared) =>
  Object.entries(declared).map(([name, { kind, column, required = true }]) => ({ name: column ?? name, kind, required }));

/** Columns as functions of the row's number. They are taken in the order of `declared`. */
function slots(declared, columns) {
  return Object.entries(declared).map(([name, { read }]) => {
    const { values, valid } = columns.next().value;
    const value = read(values);
    const get = valid == null ? value : (row) => ((valid[row >> 3] >> (row & 7)) & 1 ? value(row) : null);
    return [name, get];
  });
}

/** One object that shows the row of number `at`; a value is read when it is asked for. */
function view(reads, lookUps, batch) {
  const columns = batch.columns.values();
  const row = { at: 0 };
  const show = (object, name, get) => Object.defineProperty(object, name, { get: () => get(row.at) });
  for (const [name, get] of slots(reads, columns)) show(row, name, get);
  for (const { dimension, fields } of lookUps) {
    const joined = {};
    for (const [name, get] of slots(fields, columns)) show(joined, name, get);
    const [[, found]] = slots({ found: boolean }, columns);
    show(row, dimension, (at) => (found(at) ? joined : null));
  }
  return row;
}

function column({ write }, values) {
  const made = { values: write(values), valid: undefined };
  if (values.some((value) => value == null)) {
    made.valid = new Uint8Array(Math.ceil(values.length / 8));
    values.forEach((value, row) => {
      if (value != null) made.valid[row >> 3] |= 1 << (row & 7);
    });
  }
  return made;
}

const columnsOf = (declared, objects) =>
  Object.entries(declared).map(([name, kind]) => column(kind, objects.map((object) => object[name])));

/** Errors are mistakes in the rule: the host is told which, then the instance ends in a trap. */
function telling(exported) {
  const told = (work) => (...given) => {
    try {
      return work(...given);
    } catch (error) {
      if (error instanceof Error) log("error", `${error.name}: ${error.message} (${error.stack?.trim().split("\n")[0]})`);
      throw error;
    }
  };
  return Object.fromEntries(Object.entries(exported).map(([name, work]) => [name, told(work)]));
}

// The four steps.

function byRow(step, { reads, lookUps = () => [], writes = {}, rules = {}, params: declared = {}, check, ...work }) {
  let params;
  const numbers = new Map(Object.keys(rules).map((name, number) => [name, number]));
  const describe = () => ({
    reads: fieldsOf(reads),
    lookUps: lookUps(params).map(({ dimension, on, fields }) => ({
      dimension,
      on: Object.entries(on),
      asOf: undefined,
      fields: fieldsOf(fields),
    })),
    writes: fieldsOf(writes),
    rules: Object.entries(rules).map(([name, { action, description }]) => ({ name, description, action })),
  });
  const judge = (batch) => {
    const verdicts = [];
    const written = [];
    const row = view(reads, lookUps(params), batch);
    const refuse = (name, reason = "") => {
      if (!numbers.has(name)) throw new Error(`there is no rule ${name}`);
      verdicts.push({ row: row.at, rule: numbers.get(name), reason });
    };
    for (; row.at < batch.rows; row.at += 1) written.push(work[step](row, params, refuse));
    return { columns: columnsOf(writes, written), verdicts };
  };
  return telling({
    configure: (text) => void (params = readParams(text, declared, check)),
    describe,
    [step]: step === "validate" ? (batch) => judge(batch).verdicts : judge,
  });
}

/** Repairs fields: `cleanse(row, params, refuse)` answers with a value for each of `writes`. */
export const cleanser = (rule) => byRow("cleanse", rule);
/** Says what is wrong: `validate(row, params, refuse)` calls `refuse(rule, reason)`. */
export const validator = (rule) => byRow("validate", rule);
/** Adds columns: `enrich(row, params, refuse)` answers with a value for each of `writes`. */
export const enricher = (rule) => byRow("enrich", rule);

// Parts of a group's state, each of which knows how to merge with its like.

/** How many: a BigInt. */
export const count = { ...integer, zero: () => 0n, merge: (left, right) => left + right };
/** The sum of decimals with so many decimals: a BigInt of units. */
export const sum = (scale) => ({ ...decimal(scale), zero: () => 0n, merge: (left, right) => left + right });
/** Different texts: a Set. */
export const distinct = {
  kind: text.kind,
  zero: () => new Set(),
  merge: (left, right) => left.union(right),
  read(values) {
    const stored = text.read(values);
    return (row) => new Set(JSON.parse(stored(row)));
  },
  write: (sets) => text.write(sets.map((set) => JSON.stringify([...set].sort()))),
};

/**
 * Adds rows up to the groups of a gold table: `fold(group, row, params)` adds a row to its group's
 * `state`, `finish(group, params)` answers with a value for each of `measures`.
 */
export function aggregator({ reads, keys, state, measures, params: declared = {}, check, fold, finish }) {
  let params;
  const names = Object.keys(state);
  const opened = (batch) => {
    const columns = slots(state, batch.columns.values());
    return (at) => Object.fromEntries(columns.map(([name, get]) => [name, get(at)]));
  };
  const all = (rows, make) => Array.from({ length: rows }, (_, at) => make(at));
  const answer = (declared, objects) => ({ rows: objects.length, columns: columnsOf(declared, objects) });
  return telling({
    configure: (text) => void (params = readParams(text, declared, check)),
    describe: () => ({ reads: fieldsOf(reads), keys, state: fieldsOf(state), measures: fieldsOf(measures) }),
    fold(batch, group, groups) {
      const states = all(groups, () => Object.fromEntries(names.map((name) => [name, state[name].zero()])));
      const row = view(reads, [], batch);
      for (; row.at < batch.rows; row.at += 1) fold(states[group[row.at]], row, params);
      return answer(state, states);
    },
    merge(left, right) {
      const [one, other] = [opened(left), opened(right)];
      const merged = all(left.rows, (at) => {
        const [a, b] = [one(at), other(at)];
        return Object.fromEntries(names.map((name) => [name, state[name].merge(a[name], b[name])]));
      });
      return answer(state, merged);
    },
    finish(batch) {
      const group = opened(batch);
      return answer(measures, all(batch.rows, (at) => finish(group(at), params)));
    },
  });
}
