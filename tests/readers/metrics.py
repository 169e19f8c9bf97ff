"""Reads OpenMetrics text from a file with Prometheus's own parser, and prints each sample as JSON,
one a line. usage: metrics.py FILE"""
import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with open(sys.argv[1]) as file:
    for family in text_string_to_metric_families(file.read()):
        if not family.documentation:
            sys.exit(f"{family.name} has no help")
        for sample in family.samples:
            print(json.dumps({"name": sample.name, "labels": sample.labels, "value": sample.value}))
