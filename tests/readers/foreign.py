"""Does to a Delta table what another engine may: delta-rs. usage: foreign.py TABLE DEED

Deeds: optimize, vacuum, property, restore. Who loses against another writer tries again.
"""
import sys

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError


def do(table, deed):
    if deed == "optimize":
        print(table.optimize.compact()["numFilesRemoved"])
    elif deed == "vacuum":
        # What the log says was removed, at once and not after a week. Files that no log knows stay:
        # some are about to be committed, which is why Delta warns of a full one without retention.
        gone = table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=False)
        print(len(gone))
    elif deed == "property":
        table.alter.set_table_properties({"delta.dataSkippingNumIndexedCols": "8"})
    elif deed == "restore":
        table.restore(max(0, table.version() - 3))
    else:
        sys.exit(f"{deed!r} is no deed")


path, deed = sys.argv[1:]
for left in reversed(range(20)):
    try:
        do(DeltaTable(path), deed)
        break
    except CommitFailedError:
        if left == 0:
            raise
