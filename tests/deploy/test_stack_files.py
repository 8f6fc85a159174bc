"""What the compose stack's files promise, held without an engine; tests/deploy/test_stack.py runs them."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from ducklift.errors import ConfigurationError
from ducklift.orchestration.stack_home import read_secrets, refuse_placeholder, stack_connections
from ducklift.orchestration.stack_worker import refusal

PROJECT = Path(__file__).parents[2]
COMPOSE = PROJECT / "docker-compose.yaml"


@pytest.fixture
def stack_script(tmp_path, monkeypatch):
    specification = importlib.util.spec_from_file_location("stack_script", PROJECT / "scripts" / "stack.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    for name, place in {"PROJECT": tmp_path, "SECRETS": tmp_path / "secrets", "ENV": tmp_path / ".env"}.items():
        monkeypatch.setattr(module, name, place)
    return module


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_the_compose_file_is_what_the_specification_allows():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_stack_init_keeps_every_secret_and_every_line(stack_script):
    stack_script.ENV.write_text("# mine\nDUCKLIFT_LAKE_URL=s3://mine\n")
    stack_script.initialise(None)
    made, env = contents(stack_script.SECRETS), stack_script.ENV.read_text()

    stack_script.initialise(None)

    assert contents(stack_script.SECRETS) == made
    assert stack_script.ENV.read_text() == env
    assert env.startswith("# mine\nDUCKLIFT_LAKE_URL=s3://mine\n")


def test_nobody_else_can_read_what_stack_init_writes_and_no_two_stacks_share_a_secret(stack_script):
    stack_script.initialise(None)
    first = contents(stack_script.SECRETS)
    modes = {file.name: file.stat().st_mode & 0o777 for file in [*stack_script.SECRETS.iterdir(), stack_script.ENV]}
    for file in stack_script.SECRETS.iterdir():
        file.unlink()

    stack_script.initialise(None)

    assert set(modes.values()) == {0o600}
    assert stack_script.SECRETS.stat().st_mode & 0o777 == 0o700
    assert not set(first.values()) & set(contents(stack_script.SECRETS).values())


def test_stack_init_changes_the_executor_back_and_forth_and_nothing_else(stack_script):
    stack_script.initialise(None)
    at_first = stack_script.read_env()

    stack_script.initialise("celery")
    celery = stack_script.read_env()
    stack_script.initialise("local")

    assert refusal({"AIRFLOW__CORE__EXECUTOR": celery["STACK_EXECUTOR"], "DUCKLIFT_SPOOL": celery["STACK_SPOOL"]}) is None
    assert celery["COMPOSE_PROFILES"] == "sandbox,celery"
    assert stack_script.read_env() == at_first


def test_every_secret_of_the_compose_file_is_one_that_stack_init_makes(stack_script):
    declared = yaml.safe_load(COMPOSE.read_text())["secrets"]

    assert set(declared) - {"ca_bundle"} == set(stack_script.RECIPES)


def test_each_setting_of_the_compose_file_is_explained_in_the_example():
    read = set(re.findall(r"\$\{(STACK_\w+)", COMPOSE.read_text()))

    assert read <= set(re.findall(r"^# (STACK_\w+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE))


def test_the_secrets_that_stack_init_makes_pass_and_give_the_connections(stack_script):
    stack_script.initialise(None)

    connections = stack_connections(
        read_secrets(stack_script.SECRETS), {"STACK_S3_ENDPOINT": "http://s3:8333", "praw_oauth_url": "http://x"}
    )

    keys = json.loads((stack_script.SECRETS / "s3_identities").read_text())["identities"][0]["credentials"][0]
    assert (connections["ducklift_lake"]["login"], connections["ducklift_lake"]["password"]) == (keys["accessKey"], keys["secretKey"])
    assert set(connections) == {"ducklift_warehouse", "ducklift_lake", "reddit_default"}


def test_a_stack_on_a_bucket_elsewhere_leaves_its_connections_to_their_maker():
    assert set(stack_connections({}, {"STACK_S3_ENDPOINT": "", "praw_oauth_url": ""})) == {"ducklift_warehouse"}


@pytest.mark.parametrize(
    "text",
    ["", "short", "change-me-please-now", "<your password here>", "password1234567", '{"reddit_client_secret": "changeme-changeme"}'],
)
def test_a_secret_that_nobody_made_is_refused_by_its_name(text):
    with pytest.raises(ConfigurationError, match="secrets/api_secret holds a placeholder"):
        refuse_placeholder("api_secret", text)


def test_a_worker_without_work_or_without_a_shared_spool_says_why_it_does_not_start():
    assert "STACK_EXECUTOR" in refusal({"AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "DUCKLIFT_SPOOL": "s3://spool"})
    assert "STACK_SPOOL" in refusal({"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "DUCKLIFT_SPOOL": "/spool"})


@pytest.mark.parametrize("part", ["dags", "plugins", "include/pipelines", "include/sources", "include/storage.yaml"])
def test_what_dags_and_pipelines_lean_on_comes_into_the_image(part):
    sent = [line.removeprefix("!") for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--)(\S+) /opt/ducklift/(\S*)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)

    assert part in sent
    assert any(fnmatch(part, source) and target in (part, f"{part.rpartition('/')[0]}/") for source, target in copied)
