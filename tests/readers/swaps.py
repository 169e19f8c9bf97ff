"""Holds a tenant's tables to its rule sets after many swaps, and says how soon each took effect, as JSON.

usage: swaps.py LAKE TENANT MESSAGES
Each message has its number as `transaction_id` and a quantity of 1 to 10; the sets differ in `max_quantity`.
"""
import json
import pathlib
import sys

import polars as pl

lake, tenant, messages = pathlib.Path(sys.argv[1]) / sys.argv[2], sys.argv[2], int(sys.argv[3])


def table(name, columns):
    return pl.read_delta(str(lake / name), columns=columns)


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


place = ["_partition", "_offset", "_ruleset"]
bronze = table("bronze", place + ["transaction_id", "quantity"])
silver, quarantine = table("silver", place), table("quarantine", place + ["rule"])
rulesets = pl.read_delta(str(lake / "rulesets")).filter(pl.col("kind") == "activate")
limits = {row["number"]: limit(row["definition"]) for row in rulesets.iter_rows(named=True)}
limits = pl.DataFrame({"_ruleset": list(limits), "limit": list(limits.values())})

key = ["_partition", "_offset"]
ends = pl.concat([
    silver.with_columns(refused=pl.lit(False)),
    quarantine.filter(pl.col("rule") == "quantity_absurd").select(place).with_columns(refused=pl.lit(True)),
]).rename({"_ruleset": "judged_by"})
judged = bronze.join(ends, on=key, how="left").join(limits, on="_ruleset", how="left")
runs = bronze.sort(key).with_columns(before=pl.col("_ruleset").shift().over("_partition"))

activations = {version: moment for version, moment, _ in commits("rulesets")}
numbers = sorted(set(limits["_ruleset"]) & set(activations))
writes = [(moment, sets) for _, moment, sets in commits("bronze") if sets]
firsts = {}
for moment, sets in writes:
    for number in sets:
        firsts.setdefault(number, moment)
# The first of all was activated by the start, before there was anything to judge.
effects = [firsts[number] - activations[number] for number in numbers[1:] if number in firsts]
gaps = [after[0] - before[0] for before, after in zip(writes, writes[1:])]
across = [after[0] - before[0] for before, after in zip(writes, writes[1:]) if before[1] != after[1]]

print(json.dumps({
    "messages": bronze.height,
    "lost": messages - bronze["transaction_id"].n_unique() + judged["judged_by"].null_count(),
    "doubled": bronze.height - bronze.n_unique(key) + ends.height - ends.n_unique(key)
    + bronze.height - bronze["transaction_id"].n_unique(),
    "by_two_sets": judged.filter(pl.col("judged_by") != pl.col("_ruleset")).height
    + sum(len(sets) > 1 for _, sets in writes),
    "against_its_set": judged.filter(pl.col("refused") != (pl.col("quantity") > pl.col("limit"))).height,
    "by_no_set": judged["limit"].null_count(),
    "backwards": runs.filter(pl.col("_ruleset") < pl.col("before")).height,
    "activations": len(numbers),
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
