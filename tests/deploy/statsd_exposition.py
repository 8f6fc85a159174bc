#!/usr/bin/env python3
"""A stand-in for statsd_exporter, which no package index here has: what Prometheus would be served for the lines that Airflow sent.

It does what the exporter's README says of the parts that deploy/observability/statsd-exporter.yml uses: tags in InfluxDB's way become
labels, dots in names become underscores, a rule's `match` (without wildcards) renames, timers are in seconds, as histograms where a rule
says so and as summaries without quantiles elsewhere. As a program it takes those of the exporter's options that
docker-compose.yaml gives.
"""

from __future__ import annotations

import argparse
import re
import socketserver
from collections import defaultdict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import yaml

LINE = re.compile(r"(?P<name>[^,:|]+)(?P<tags>(,[^,=:|]+=[^,:|]*)*):(?P<value>[-+]?[0-9.eE+-]+)\|(?P<kind>c|g|ms)")
NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


class Exposition:
    """Counters, gauges and timers, as they stand after the lines that came so far."""

    def __init__(self, rules: Path) -> None:
        self.rules: dict[str, Mapping[str, Any]] = {rule["match"]: rule for rule in yaml.safe_load(rules.read_text("utf-8"))["mappings"]}
        self.series: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.kinds: dict[str, str] = {}
        self.lock = Lock()

    def take(self, line: str) -> None:
        """Take in one line; what is no line of StatsD is passed over, as the exporter does."""
        match = LINE.fullmatch(line.strip())
        if match is None:
            return
        rule = self.rules.get(match["name"], {})
        name = NOT_IN_A_NAME.sub("_", rule.get("name", match["name"]))
        labels = dict(tag.split("=", 1) for tag in match["tags"].split(",") if tag)
        value = float(match["value"])
        with self.lock:
            if match["kind"] == "ms":
                self._observe(name, labels, value / 1000, rule)
            elif match["kind"] == "c":
                self._add(name, "counter", name, labels, value)
            else:
                self.kinds[name] = "gauge"
                self.series[name][_sample(name, labels)] = value

    def _observe(self, name: str, labels: dict[str, str], seconds: float, rule: Mapping[str, Any]) -> None:
        kind = rule.get("observer_type", "summary")
        if kind == "histogram":
            for bound in (*rule["histogram_options"]["buckets"], float("inf")):
                told = "+Inf" if bound == float("inf") else f"{bound:g}"
                self._add(name, kind, f"{name}_bucket", {**labels, "le": told}, float(seconds <= bound))
        self._add(name, kind, f"{name}_sum", labels, seconds)
        self._add(name, kind, f"{name}_count", labels, 1)

    def _add(self, family: str, kind: str, name: str, labels: Mapping[str, str], value: float) -> None:
        self.kinds[family] = kind
        self.series[family][_sample(name, labels)] += value

    def text(self) -> str:
        """Return what is served under /metrics."""
        with self.lock:
            return "".join(
                f"# TYPE {family} {self.kinds[family]}\n" + "".join(f"{sample} {value!r}\n" for sample, value in samples.items())
                for family, samples in self.series.items()
            )


def _sample(name: str, labels: Mapping[str, str]) -> str:
    told = ",".join(f'{NOT_IN_A_NAME.sub("_", label)}="{value}"' for label, value in labels.items())
    return f"{name}{{{told}}}"


class Served(ThreadingHTTPServer):
    """The stand-in's web page."""

    def __init__(self, address: tuple[str, int], exposition: Exposition) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exposition.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(address, Handler)


def main() -> None:
    """Take in packets and serve what they add up to, until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--statsd.mapping-config", dest="rules", type=Path, required=True)
    parser.add_argument("--statsd.listen-udp", dest="packets", required=True)
    parser.add_argument("--statsd.listen-tcp", dest="not_served")
    parser.add_argument("--web.listen-address", dest="page", required=True)
    given = parser.parse_args()
    kept = Exposition(given.rules)

    class Packet(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            for line in self.request[0].decode("utf-8", "replace").split("\n"):
                kept.take(line)

    packets = socketserver.ThreadingUDPServer(("0.0.0.0", int(given.packets.rpartition(":")[2])), Packet)
    Thread(target=packets.serve_forever, daemon=True).start()
    Served(("0.0.0.0", int(given.page.rpartition(":")[2])), kept).serve_forever()


if __name__ == "__main__":
    main()
