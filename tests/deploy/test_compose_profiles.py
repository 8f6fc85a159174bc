"""The profiles `ducklake` and `observability` of the compose file: what their services name is there, under the names that others use."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from ducklift.settings import load_settings

PROJECT = Path(__file__).resolve().parents[2]
OBSERVABILITY = PROJECT / "deploy" / "observability"
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROFILED = sorted(name for name, service in SERVICES.items() if {"ducklake", "observability"} & set(service.get("profiles", ())))


def loaded(*parts: str) -> Any:
    return yaml.safe_load(OBSERVABILITY.joinpath(*parts).read_text("utf-8"))


@pytest.mark.parametrize("name", PROFILED)
def test_every_file_volume_and_secret_of_a_profiled_service_is_there(name):
    service = SERVICES[name]
    sources = [volume.split(":")[0] for volume in service.get("volumes", ())]

    for source in sources:
        assert (PROJECT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]
    assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()


@pytest.mark.parametrize("name", PROFILED)
def test_a_profiled_service_is_as_closed_as_the_others(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_a_volume_that_a_profiled_service_writes_is_handed_to_its_user():
    handed = SERVICES["volumes"]["command"]
    written = {
        volume.split(":")[0]
        for name in PROFILED
        for volume in SERVICES[name].get("volumes", ())
        if not volume.startswith("./") and not volume.endswith(":ro")
    }

    assert {f"/volumes/{volume}" for volume in written} <= set(handed)


def test_metrics_go_from_airflow_to_the_exporter_to_prometheus_to_grafana():
    airflow = SERVICES["scheduler"]["environment"]
    exporter, prometheus = SERVICES["statsd-exporter"]["command"], SERVICES["prometheus"]["command"]
    targets = [target for job in loaded("prometheus.yml")["scrape_configs"] for each in job["static_configs"] for target in each["targets"]]
    source = urlsplit(loaded("grafana", "provisioning", "datasources", "prometheus.yml")["datasources"][0]["url"])

    assert (airflow["AIRFLOW__METRICS__STATSD_HOST"], airflow["AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED"]) == ("statsd-exporter", "True")
    assert f"--statsd.listen-udp=:{airflow['AIRFLOW__METRICS__STATSD_PORT']}" in exporter
    assert [target.split(":")[0] for target in targets] == ["statsd-exporter"]
    assert f"--web.listen-address=:{targets[0].split(':')[1]}" in exporter
    assert (source.hostname, f"--web.listen-address=:{source.port}") == ("prometheus", prometheus[-1])


def test_grafana_finds_its_dashboards_where_they_are_mounted():
    folder = loaded("grafana", "provisioning", "dashboards", "ducklift.yml")["providers"][0]["options"]["path"]
    mounted = {volume.split(":")[1]: PROJECT / volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"] if volume.startswith("./")}
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert (mounted[folder] / home.removeprefix(f"{folder}/")).is_file()


def test_three_workers_share_the_ducklake_that_the_check_counts():
    workers = [SERVICES[f"ducklake-worker-{number}"] for number in (1, 2, 3)]
    settings = load_settings(workers[0]["environment"], PROJECT)

    assert [worker["command"][-3:] for worker in workers] == [["work", str(number), "3"] for number in (1, 2, 3)]
    assert all(worker["environment"] == SERVICES["ducklake-check"]["environment"] for worker in workers)
    assert settings.warehouse_url == "ducklake:postgresql://ducklake@postgres:5432/lake"
    assert settings.spool.startswith(settings.lake_url)
