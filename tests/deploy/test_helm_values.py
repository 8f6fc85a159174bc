"""The Helm values agree with the project: versions, settings, pools, connections, paths, metrics. The chart itself is not here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ducklift.orchestration.airflow_home import POOLS
from ducklift.settings import load_settings

PROJECT = Path(__file__).resolve().parents[2]
HELM = PROJECT / "deploy" / "helm"
EXECUTORS = {"values-kubernetes.yaml": "KubernetesExecutor", "values-celery.yaml": "CeleryExecutor"}


def values(*names: str) -> dict[str, Any]:
    """Return the files laid over each other as Helm does it: maps are merged, all else is replaced."""
    merged: dict[str, Any] = {}
    for name in ("values.yaml", *names):
        _lay(yaml.safe_load((HELM / name).read_text("utf-8")), merged)
    return merged


def _lay(upper: dict[str, Any], lower: dict[str, Any]) -> None:
    for key, value in upper.items():
        if isinstance(value, dict) and isinstance(lower.get(key), dict):
            _lay(value, lower[key])
        else:
            lower[key] = value


def environment(found: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in [*yaml.safe_load(found["extraEnv"]), *found.get("env", [])]}


def mebibytes(quantity: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi|MB|GB)", quantity).groups()
    return int(number) * {"Mi": 1, "Gi": 1024, "MB": 0.954, "GB": 954}[unit]


@pytest.mark.parametrize("name", EXECUTORS)
def test_the_versions_are_those_of_the_project(name):
    found = values(name)
    pinned = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]

    assert f"apache-airflow=={found['airflowVersion']}" in pinned
    assert found["defaultAirflowTag"] == found["airflowVersion"]
    assert found["images"]["airflow"]["tag"].startswith(found["airflowVersion"])
    assert found["executor"] == EXECUTORS[name]


@pytest.mark.parametrize("name", EXECUTORS)
def test_every_setting_is_known_and_nothing_needs_a_disk_that_tasks_share(name):
    told = environment(values(name))
    settings = load_settings(told, PROJECT)

    assert {variable.removeprefix("DUCKLIFT_").lower() for variable in told} <= settings.origins.keys()
    assert settings.lake_url.startswith("s3://")
    assert settings.spool.startswith("s3://")
    assert settings.warehouse_url.startswith(("md:", "ducklake:postgresql://"))


@pytest.mark.parametrize("name", EXECUTORS)
def test_no_secret_stands_in_the_values_and_no_user_has_a_default_password(name):
    found = values(name)
    secrets = [key for key in _keys(found) if re.search(r"(password|secret|token|key)$", key, re.I)]

    assert [key for key in secrets if not key.endswith("SecretName")] == []
    assert found["createUserJob"]["enabled"] is False
    assert found["postgresql"]["enabled"] is False


def _keys(found: Any) -> list[str]:
    if not isinstance(found, dict):
        return []
    return [*found, *(key for value in found.values() for key in _keys(value))]


@pytest.mark.parametrize("name", EXECUTORS)
def test_everything_runs_as_nobody_special(name):
    contexts = values(name)["securityContexts"]

    assert (contexts["pod"]["runAsNonRoot"], contexts["pod"]["runAsUser"]) == (True, 50000)
    assert contexts["containers"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize("name", EXECUTORS)
def test_the_migration_makes_every_pool_and_workers_have_the_memory_that_their_loads_may_take(name):
    found = values(name)
    made = dict(re.findall(r"airflow pools set (\w+) (\d+)", found["migrateDatabaseJob"]["args"][-1]))
    limit = environment(found)["DUCKLIFT_MEMORY_LIMIT"]
    workers = found["workers"]["kubernetes" if "kubernetes" in name else "celery"]
    at_once = found["config"].get("celery", {}).get("worker_concurrency", 1)

    assert made.keys() == POOLS.keys()
    assert workers.get("replicas", 6) * at_once == int(made["ducklift_warehouse"])
    assert mebibytes(workers["resources"]["limits"]["memory"]) > at_once * mebibytes(limit) * 1.5


def test_dags_from_git_lie_where_airflow_and_ducklift_look():
    found = values("values-kubernetes.yaml", "values-git-sync.yaml")
    told, below = environment(found), "/opt/airflow/dags/repo/"

    assert told["AIRFLOW__CORE__DAGS_FOLDER"] == below + found["dags"]["gitSync"]["subPath"]
    for variable in ("AIRFLOW__CORE__DAGS_FOLDER", "DUCKLIFT_PIPELINES"):
        assert (PROJECT / told[variable].removeprefix(below)).is_dir()


def test_the_charts_exporter_gets_the_same_rule_for_ducklifts_times_as_the_stacks():
    own = yaml.safe_load((PROJECT / "deploy" / "observability" / "statsd-exporter.yml").read_text("utf-8"))["mappings"]
    found = values("values-celery.yaml")

    assert found["statsd"]["extraMappings"] == [rule for rule in own if "ducklift" in rule["match"]]
    assert found["config"]["metrics"]["statsd_influxdb_enabled"] == "True"
