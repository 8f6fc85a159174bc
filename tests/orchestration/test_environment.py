"""The environment of a local Airflow: its own, whole, and closed to the user's other settings."""

from __future__ import annotations

import pytest

from ducklift.errors import ConfigurationError
from ducklift.orchestration.environment import LocalAirflow, airflow_environment


@pytest.fixture
def airflow(tmp_path) -> LocalAirflow:
    made = LocalAirflow(tmp_path)
    made.make_folders()
    return made


def test_settings_of_another_airflow_and_keys_of_real_accounts_stay_out(airflow, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_DUCKLIFT_LAKE", "aws://real:keys@")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("DUCKLIFT_WAREHOUSE_URL", "md:production")

    environment = airflow_environment(airflow, {"DUCKLIFT_LAKE_URL": "s3://sandbox"})

    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_DUCKLIFT_LAKE" not in environment
    assert "AWS_PROFILE" not in environment
    assert environment["DUCKLIFT_WAREHOUSE_URL"].startswith("duckdb:///")
    assert environment["DUCKLIFT_LAKE_URL"] == "s3://sandbox"


def test_the_port_stands_wherever_airflow_looks_for_it(airflow):
    environment = airflow_environment(airflow, {}, port=9123)

    assert environment["AIRFLOW__API__PORT"] == "9123"
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:9123"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:9123/execution/"


def test_a_task_waits_for_the_first_answer_of_a_server_that_has_just_started(airflow):
    from airflow.sdk.configuration import conf

    waits_s = float(airflow_environment(airflow, {})["AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT"])

    # Seen on a busy machine: 30 s.
    assert waits_s >= 60 > conf.getfloat("workers", "execution_api_timeout")


def test_a_proxy_is_not_asked_for_this_machine(airflow, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "intranet")

    assert airflow_environment(airflow, {})["no_proxy"] == "intranet,127.0.0.1,localhost"


def test_secrets_are_random_kept_and_for_the_owner_alone(airflow, tmp_path):
    first, again = airflow.secrets(), airflow.secrets()
    other = LocalAirflow(tmp_path / "other")
    other.make_folders()

    assert first == again
    assert first != other.secrets()
    for file in ("secrets.json", "passwords.json"):
        assert (airflow.home / file).stat().st_mode & 0o077 == 0


def test_a_secret_is_not_shown_with_the_object_that_holds_it(airflow):
    assert airflow.secrets().admin_password not in repr(airflow.secrets())


def test_secrets_that_cannot_be_read_name_the_way_out(airflow):
    (airflow.home / "secrets.json").write_text("{")

    with pytest.raises(ConfigurationError, match="make clean"):
        airflow.secrets()
