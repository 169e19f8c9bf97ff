"""Writes a checkpoint of a Delta table, as another engine does: delta-rs. usage: checkpoint.py TABLE"""
import sys

from deltalake import DeltaTable

table = DeltaTable(sys.argv[1])
table.create_checkpoint()
print(table.version())
