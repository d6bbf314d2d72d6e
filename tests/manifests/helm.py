"""Lints and renders the chart: helm.py CHART, the values as JSON on standard input, JSON on standard output.

Helm itself does both (the Go SDK of Helm 4, as a library in the package helm-python-sdk).
"""

import json
import sys

from helm_python import chart
from helm_python.errors import HelmError

values = json.load(sys.stdin)
said = chart.lint(sys.argv[1], values, strict=True, kube_version="v1.37.0")
answer = {"lint": said["messages"] + [{"error": error} for error in said["errors"]]}
try:
    loaded = chart.Chart.load(sys.argv[1])
    loaded.validate_schema(values)
    answer["rendered"] = loaded.render(values, name="apis", namespace="edgepass-example")
except HelmError as error:
    answer["error"] = str(error)
json.dump(answer, sys.stdout)
