"""What deploy/observability asks of Prometheus: the queries of the dashboard and of the alerts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

OBSERVABILITY = Path(__file__).resolve().parents[2] / "deploy" / "observability"
DASHBOARD = OBSERVABILITY / "grafana" / "dashboards" / "ducklift.json"
SERIES = re.compile(r"\b(airflow_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r"(\w+)\s*=~?")
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return found


def queries() -> dict[str, str]:
    """Return the queries by panel and alert, with the dashboard's variables filled in."""
    of_panels = {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$pipeline", ".*").replace("$__rate_interval", "1m")
        for panel in dashboard()["panels"]
        for target in panel["targets"]
    }
    rules = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    return of_panels | {rule["alert"]: rule["expr"] for rule in rules}


def asked(query: str) -> tuple[set[str], set[str]]:
    """Return the names of series in a query, and the labels that it filters and groups by."""
    found = SERIES.findall(query)
    labels = {label for _, filters in found for label in LABEL.findall(filters)}
    grouped = {label.strip() for labels in GROUPED.findall(query) for label in labels.split(",")}
    return {name for name, _ in found}, labels | grouped
