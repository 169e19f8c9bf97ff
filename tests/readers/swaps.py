"""Holds a tenant's tables to its rule sets after many swaps, and says how soon each took effect, as JSON.

usage: swaps.py LAKE TENANT MESSAGES
Each message has its number as `transaction_id` and a quantity of 1 to 10; the sets differ in `max_quantity`.
"""
import collections
import json
import pathlib
import sys

import polars as pl

lake, tenant, messages = pathlib.Path(sys.argv[1]) / sys.argv[2], sys.argv[2], int(sys.argv[3])


def table(name, columns):
    return pl.scan_delta(str(lake / name)).select(columns).collect()


def percentile(values, share):
    return sorted(values)[int((len(values) - 1) * share)] if values else None


def limit(definition):
    """What the validator of a set allows."""
    parts = [json.loads(definition)]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if "max_quantity" in part:
                return part["max_quantity"]
            parts.extend(part.values())
        elif isinstance(part, list):
            parts.extend(part)
        elif isinstance(part, str) and part.startswith("{"):
            parts.append(json.loads(part))
    return None


def commits(name):
    """The moment of each commit in milliseconds, and the rule sets that its rows name."""
    for file in sorted((lake / name / "_delta_log").glob("*.json")):
        moment, sets, operation = None, set(), None
        for line in file.read_text().splitlines():
            action = json.loads(line)
            if "commitInfo" in action:
                moment, operation = action["commitInfo"]["timestamp"], action["commitInfo"]["operation"]
            stats = json.loads(action.get("add", {}).get("stats") or "{}")
            for bounds in ("minValues", "maxValues"):
                if "_ruleset" in stats.get(bounds, {}):
                    sets.add(stats[bounds]["_ruleset"])
        if operation == "WRITE":
            yield int(file.stem), moment, sets


rulesets = pl.read_delta(str(lake / "rulesets")).filter(pl.col("kind") == "activate")
limits = {row["number"]: limit(row["definition"]) for row in rulesets.iter_rows(named=True)}
limits = pl.DataFrame({"_ruleset": list(limits), "limit": list(limits.values())})

place = [pl.col("_partition", "_offset", "_ruleset")]
number = pl.col("transaction_id").str.slice(1).cast(pl.UInt32).alias("number")
refused = pl.col("rule") == "quantity_absurd"
bronze = table("bronze", [*place, number, pl.col("quantity").cast(pl.Int8)])
silver = table("silver", [*place, pl.lit(False).alias("refused")])
quarantine = table("quarantine", [*place, refused.alias("refused")]).filter("refused")

found = collections.Counter()
# Tens of millions of rows are joined a partition at a time.
for partition in bronze["_partition"].unique():
    of = pl.col("_partition") == partition
    taken = bronze.filter(of).sort("_offset")
    ends = pl.concat([silver.filter(of), quarantine.filter(of)]).rename({"_ruleset": "judged_by"})
    judged = taken.join(ends, on="_offset", how="left").join(limits, on="_ruleset", how="left")
    by_another = pl.col("judged_by") != pl.col("_ruleset")
    found.update({
        "lost": judged["judged_by"].null_count(),
        "doubled": taken.height - taken["_offset"].n_unique() + ends.height - ends["_offset"].n_unique(),
        "by_two_sets": judged.filter(by_another).height,
        "against_its_set": judged.filter(pl.col("refused") != (pl.col("quantity") > pl.col("limit"))).height,
        "by_no_set": judged["limit"].null_count(),
        "backwards": taken.filter(pl.col("_ruleset") < pl.col("_ruleset").shift()).height,
    })
numbers = bronze["number"].n_unique()

activations = {version: moment for version, moment, _ in commits("rulesets")}
sets = sorted(set(limits["_ruleset"]) & set(activations))
writes = [(moment, named) for _, moment, named in commits("bronze") if named]
firsts = {}
for moment, named in writes:
    for one in named:
        firsts.setdefault(one, moment)
# The first of all was activated by the start, before there was anything to judge.
effects = [firsts[one] - activations[one] for one in sets[1:] if one in firsts]
gaps = [after[0] - before[0] for before, after in zip(writes, writes[1:])]
across = [after[0] - before[0] for before, after in zip(writes, writes[1:]) if before[1] != after[1]]

print(json.dumps({
    "messages": bronze.height,
    **found,
    "lost": found["lost"] + messages - numbers,
    "doubled": found["doubled"] + bronze.height - numbers,
    "by_two_sets": found["by_two_sets"] + sum(len(named) > 1 for _, named in writes),
    "activations": len(sets),
    "took_effect": len(effects),
    "effect_p50_ms": percentile(effects, 0.5),
    "effect_p99_ms": percentile(effects, 0.99),
    "effect_max_ms": max(effects, default=None),
    "batches": len(writes),
    "gap_p50_ms": percentile(gaps, 0.5),
    "gap_p99_ms": percentile(gaps, 0.99),
    "gap_max_ms": max(gaps, default=None),
    "gap_at_swap_p50_ms": percentile(across, 0.5),
    "gap_at_swap_max_ms": max(across, default=None),
}))
