// The types of assay-rules.js, for rules in TypeScript. What a rule declares decides what it is given: its row
// has the columns of `reads`, `refuse` takes the names of `rules`, and what it answers with is `writes`.

declare const value: unique symbol;
declare const column: unique symbol;

// Kinds of value.

/** What stands in a column: a `V` in a rule. */
export interface Kind<V> {
  readonly [value]: V;
}

/** True or false. */
export declare const boolean: Kind<boolean>;
/** A whole number of 64 bits. */
export declare const integer: Kind<bigint>;
/** A float of 64 bits. Not for money. */
export declare const float: Kind<number>;
/** A moment: microseconds since 1970-01-01T00:00:00Z. */
export declare const timestamp: Kind<bigint>;
/** A day: days since 1970-01-01. */
export declare const date: Kind<number>;
/** An exact decimal with so many decimals: its units, in cents where there are two. */
export declare function decimal(scale: number): Kind<bigint>;
/** Text. */
export declare const text: Kind<string>;
/** Any bytes. */
export declare const binary: Kind<Uint8Array>;

type Kinds = Readonly<Record<string, Kind<any>>>;

// What a rule declares.

/** A column that is read. `C` is its name, where that is other than the field's. */
export interface Column<V, C extends string = never> extends Kind<V> {
  readonly [column]: C;
}

type Columns = Readonly<Record<string, Column<any, any>>>;

/** A column that the tenant's events must have. In a row it may be absent all the same. */
export declare function required<V>(kind: Kind<V>): Column<V>;
export declare function required<V, C extends string>(kind: Kind<V>, column: C): Column<V, C>;
/** A column that may be missing: then it is absent in every row. */
export declare function optional<V>(kind: Kind<V>): Column<V>;
export declare function optional<V, C extends string>(kind: Kind<V>, column: C): Column<V, C>;

/** Fields that the host joins from a dimension. */
export interface LookUp<D extends string, F extends Columns> {
  readonly dimension: D;
  readonly on: Readonly<Record<string, string>>;
  readonly fields: F;
}

/** Fields that the host joins from a dimension, where its key columns (the names) equal columns of the row. */
export declare function lookUp<D extends string, F extends Columns>(
  dimension: D,
  on: Readonly<Record<string, string>>,
  fields: F,
): LookUp<D, F>;

/** What becomes of a row that breaks a rule. */
export type Action = "warn" | "quarantine" | "drop" | "fail";

/** What can be wrong with a row. */
export interface RowRule {
  readonly action: Action;
  readonly description: string;
}

type RowRules = Readonly<Record<string, RowRule>>;

/** The row goes on; silver lists the rule in `_warnings`. */
export declare function warn(description: string): RowRule;
/** The row goes to quarantine, with its payload and the reason. */
export declare function quarantine(description: string): RowRule;
/** The row is left out on purpose, without payload. */
export declare function drop(description: string): RowRule;
/** The tenant stops before this row until a person decides. */
export declare function fail(description: string): RowRule;

// Params.

/** What a tenant may set: a `V` in a rule. */
export interface Param<V> {
  readonly fallback: V;
  readonly read: (written: unknown) => V;
}

type DeclaredParams = Readonly<Record<string, Param<any>>>;

/** A whole number. */
export declare function wholeNumber(fallback: bigint): Param<bigint>;
export declare function wholeNumber(fallback: null): Param<bigint | null>;
/** An exact decimal, given as a number or as text: its units. */
export declare function amount(scale: number, fallback: string | number): Param<bigint>;
export declare function amount(scale: number, fallback?: null): Param<bigint | null>;
/** True or false. */
export declare function flag(fallback: boolean): Param<boolean>;
export declare function flag(fallback: null): Param<boolean | null>;
/** Text. */
export declare function word(fallback: string): Param<string>;
export declare function word(fallback: null): Param<string | null>;
/** A list of texts. */
export declare function words(fallback: readonly string[]): Param<readonly string[]>;
export declare function words(fallback: null): Param<readonly string[] | null>;

// Decimals and moments.

/** The units of a decimal that is written as text or as a number: `units("0.10", 2)` is 10n. */
export declare function units(written: string | number, scale: number): bigint;
/** Units as people write them: `money(-5n, 2)` is "-0.05". */
export declare function money(units: bigint, scale: number): string;
/** A quotient, rounded half away from zero. */
export declare function divided(dividend: bigint, divisor: bigint): bigint;
/** Units times a rate with so many decimals, rounded half away from zero. */
export declare function timesRate(units: bigint, rate: bigint, decimals: number): bigint;
/** Whether a number of units can stand in a column: in 64 bits. */
export declare function fits(units: bigint): boolean;
/** A timestamp as people write it, in UTC. */
export declare function moment(micros: bigint): string;

// What a rule is given, and what it answers with.

/** A row of what was declared, as in `Row<typeof reads>`. What is absent is null. */
export type Row<R extends Columns, L extends LookUp<string, any> = never> = {
  readonly [N in keyof R]: R[N] extends Kind<infer V> ? V | null : never;
} & {
  /** Null where the dimension has no such row, undefined where the params made the rule not ask for it. */
  readonly [D in L as D["dimension"]]: Row<D["fields"]> | null | undefined;
};

/** The params that were declared, as in `Params<typeof params>`. */
export type Params<P extends DeclaredParams> = {
  readonly [N in keyof P]: P[N] extends Param<infer V> ? V : never;
};

/** Says that the row breaks a rule, and why: analysts read the reason. As in `Refuse<typeof rules>`. */
export type Refuse<S extends RowRules> = (rule: keyof S & string, reason?: string) => void;

/** A value for each column that is written. Null and undefined are absent. */
export type Written<W extends Kinds> = {
  readonly [N in keyof W]: W[N] extends Kind<infer V> ? V | null | undefined : never;
};

/** What a rule exports. */
export interface Exported {
  configure(params: string): void;
  describe(): unknown;
}

// The four steps.

interface Read<R extends Columns, L extends LookUp<string, any>, S extends RowRules, P extends DeclaredParams> {
  /** The columns that are looked at. */
  reads: R;
  /** What can be wrong. */
  rules?: S;
  /** What the tenant may set. */
  params?: P;
  /** The params together, once: a text that is thrown says what is wrong with them. */
  check?(params: Params<P>): void;
  /** What the host joins. It may depend on the params. */
  lookUps?: (params: Params<P>) => readonly L[];
}

type Judge<R extends Columns, L extends LookUp<string, any>, S extends RowRules, P extends DeclaredParams, A> = (
  row: Row<R, L>,
  params: Params<P>,
  refuse: Refuse<S>,
) => A;

/** Repairs fields. Exported as `cleansing`. */
export declare function cleanser<
  R extends Columns,
  W extends Kinds,
  S extends RowRules = {},
  P extends DeclaredParams = {},
  L extends LookUp<string, any> = never,
>(rule: Read<R, L, S, P> & { writes: W; cleanse: Judge<R, L, S, P, Written<W>> }): Exported;

/** Says what is wrong. Exported as `validation`. */
export declare function validator<
  R extends Columns,
  S extends RowRules,
  P extends DeclaredParams = {},
  L extends LookUp<string, any> = never,
>(rule: Read<R, L, S, P> & { rules: S; validate: Judge<R, L, S, P, void> }): Exported;

/** Adds columns. Exported as `enrichment`. */
export declare function enricher<
  R extends Columns,
  W extends Kinds,
  S extends RowRules = {},
  P extends DeclaredParams = {},
  L extends LookUp<string, any> = never,
>(rule: Read<R, L, S, P> & { writes: W; enrich: Judge<R, L, S, P, Written<W>> }): Exported;

/** A part of a group's state: a `V` in a rule. `merge` must be associative and commutative. */
export interface Part<V> extends Kind<V> {
  zero(): V;
  merge(left: V, right: V): V;
}

type Parts = Readonly<Record<string, Part<any>>>;

/** How many. */
export declare const count: Part<bigint>;
/** The sum of decimals with so many decimals: its units. */
export declare function sum(scale: number): Part<bigint>;
/** Different texts. */
export declare const distinct: Part<Set<string>>;

/** What is known of a group, as in `Group<typeof state>`. */
export type Group<G extends Parts> = {
  -readonly [N in keyof G]: G[N] extends Part<infer V> ? V : never;
};

/** The columns' own names. */
type NamesOf<R extends Columns> = {
  [N in keyof R & string]: R[N] extends Column<any, infer C> ? ([C] extends [never] ? N : C) : never;
}[keyof R & string];

/** Adds rows up to the groups of a gold table. Exported as `aggregation`. */
export declare function aggregator<
  R extends Columns,
  G extends Parts,
  M extends Kinds,
  P extends DeclaredParams = {},
>(rule: {
  /** The columns of silver that are looked at, the keys among them. */
  reads: R;
  /** The columns whose values make a group. */
  keys: readonly NamesOf<NoInfer<R>>[];
  state: G;
  /** The gold table's columns, after the keys. */
  measures: M;
  /** What the tenant may set. */
  params?: P;
  /** The params together, once: a text that is thrown says what is wrong with them. */
  check?(params: Params<P>): void;
  /** Adds a row to its group. */
  fold(group: Group<G>, row: Row<R>, params: Params<P>): void;
  /** A value for each of `measures`. */
  finish(group: Group<G>, params: Params<P>): Written<M>;
}): Exported;
