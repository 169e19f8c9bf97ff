"""Prints the live files of a Delta table as JSON, one a line, read by delta-rs. usage: files.py TABLE"""
import json
import sys

from deltalake import DeltaTable

table = DeltaTable(sys.argv[1])
for file in table.file_uris():
    print(json.dumps({"path": file, "version": table.version()}))
