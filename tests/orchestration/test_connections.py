"""Airflow's connections as credentials, the connection type `reddit`, its form and its hook."""

from __future__ import annotations

import json
import warnings

import pytest

from ducklift.errors import ConfigurationError
from ducklift.lake.s3 import s3_options
from ducklift.orchestration.connections import airflow_connection, airflow_settings
from ducklift.orchestration.provider import provider_info
from ducklift.sandbox import Fault, Sandbox
from ducklift.sources.reddit_credentials import find_credentials


def define(monkeypatch: pytest.MonkeyPatch, name: str, **fields: object) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))


@pytest.fixture
def reddit_keys(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The sandbox's keys, which the environment does not hold; its places stay there."""
    values = dict(sandbox.environment)
    keys = values.pop("REDDIT_CLIENT_ID"), values.pop("REDDIT_CLIENT_SECRET")
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return keys


def test_a_connection_that_is_not_defined_leaves_the_environment_in_charge(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")

    settings = airflow_settings()

    assert airflow_connection("ducklift_lake") is None
    assert s3_options(settings)["key"] == "from-the-environment"


@pytest.mark.parametrize("value", ["{not json", "aws://key:secret@host:port-that-is-none/"])
def test_a_connection_that_airflow_cannot_read_is_not_taken_for_none(monkeypatch, value):
    monkeypatch.setenv("AIRFLOW_CONN_DUCKLIFT_LAKE", value)

    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_DUCKLIFT_LAKE is set, and Airflow cannot read it") as told:
        airflow_connection("ducklift_lake")
    assert "secret" not in str(told.value)


def test_the_lake_connection_carries_keys_region_endpoint_and_addressing_style(monkeypatch):
    extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "eu-west-1", "config_kwargs": {"s3": {"addressing_style": "path"}}}
    define(monkeypatch, "ducklift_lake", conn_type="aws", login="key-id", password="the-secret", extra=extra)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")

    options = s3_options(airflow_settings())

    assert (options["key"], options["secret"], options["endpoint_url"]) == ("key-id", "the-secret", "http://127.0.0.1:9")
    assert options["client_kwargs"]["region_name"] == "eu-west-1"
    assert options["config_kwargs"]["s3"]["addressing_style"] == "path"


def test_keys_in_the_extra_of_an_aws_connection_count_as_airflow_counts_them(monkeypatch):
    define(monkeypatch, "ducklift_lake", conn_type="aws", extra={"aws_access_key_id": "key-id", "aws_secret_access_key": "the-secret"})

    connection = airflow_connection("ducklift_lake")

    assert connection is not None
    assert (connection.login, connection.password) == ("key-id", "the-secret")


def test_a_role_that_would_not_be_assumed_is_refused_rather_than_ignored(monkeypatch):
    define(monkeypatch, "ducklift_lake", conn_type="aws", extra={"role_arn": "arn:aws:iam::123456789012:role/loader"})

    with pytest.raises(ConfigurationError, match="profile_name"):
        airflow_connection("ducklift_lake")


def test_a_connection_moves_neither_lake_nor_warehouse(monkeypatch):
    before = airflow_settings()
    define(monkeypatch, "ducklift_lake", conn_type="aws", host="elsewhere", schema="another-bucket")
    define(monkeypatch, "ducklift_warehouse", conn_type="duckdb", host="/elsewhere.duckdb")

    after = airflow_settings()

    assert (after.lake_url, after.warehouse_url) == (before.lake_url, before.warehouse_url)


@pytest.mark.parametrize("extra", ["{broken", '["a", "list"]'])
def test_a_damaged_extra_is_named_without_being_shown(monkeypatch, extra):
    define(monkeypatch, "reddit_default", conn_type="reddit", extra=extra)

    with pytest.raises(ConfigurationError, match="extra of connection 'reddit_default'") as caught:
        airflow_connection("reddit_default")

    assert extra not in str(caught.value)


def test_a_connection_is_asked_for_once(monkeypatch):
    settings = airflow_settings()
    first = settings.connections("reddit_default")
    define(monkeypatch, "reddit_default", conn_type="reddit", login="made-meanwhile")

    assert first is None
    assert settings.connections("reddit_default") is None


def test_secrets_of_connections_and_of_the_environment_are_masked(monkeypatch):
    from airflow.sdk._shared.secrets_masker import redact

    define(monkeypatch, "reddit_default", conn_type="reddit", login="some-id", password="connection-secret-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "environment-secret-2")
    monkeypatch.setenv("AWS_REGION", "plain-region-3")

    settings = airflow_settings()
    settings.connections("reddit_default")

    assert redact("connection-secret-1 environment-secret-2 plain-region-3") == "*** *** plain-region-3"


def test_a_secret_under_a_name_of_the_user_s_own_and_one_derived_from_it_are_masked(monkeypatch):
    from airflow.sdk._shared.secrets_masker import redact

    from ducklift.sources.secret_refs import SecretRef

    monkeypatch.setenv("BIRDS_KEY", "found-by-the-source-4")
    settings = airflow_settings()
    SecretRef(env="BIRDS_KEY").find(settings)
    settings.on_secret("given-by-a-server-5")

    assert redact("found-by-the-source-4 given-by-a-server-5") == "*** ***"


@pytest.mark.parametrize(
    "name", ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN", "SFTP_PASSWORD"]
)
def test_secrets_of_the_other_stores_are_masked_too(monkeypatch, name: str):
    from airflow.sdk._shared.secrets_masker import redact

    monkeypatch.setenv(name, f"the-value-of-{name}")
    airflow_settings()

    assert redact(f"told: the-value-of-{name}") == "told: ***"


def test_the_reddit_connection_gives_the_extraction_its_keys(monkeypatch):
    extra = {"user_agent": "linux:mine:1.0 (by /u/somebody)"}
    define(monkeypatch, "reddit_default", conn_type="reddit", login="connection-id", password="connection-secret", extra=extra)
    monkeypatch.setenv("REDDIT_CLIENT_ID", "environment-id")
    monkeypatch.setenv("REDDIT_CLIENT_SECRET", "environment-secret")

    credentials = find_credentials(airflow_settings())

    assert (credentials.client_id, credentials.client_secret) == ("connection-id", "connection-secret")
    assert credentials.user_agent == "linux:mine:1.0 (by /u/somebody)"


def test_airflow_shows_a_form_for_the_type_reddit_without_a_warning():
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hook = ProvidersManagerTaskRuntime().hooks["reddit"]
    (form,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "reddit"]

    assert hook is not None
    assert (hook.hook_name, hook.connection_testable) == ("Reddit", True)
    assert hook.hook_class_name == provider_info()["connection-types"][0]["hook-class-name"]
    assert form.standard_fields is not None
    assert form.standard_fields.login is not None
    assert form.standard_fields.login.title == "Client id"
    assert form.standard_fields.password is not None
    assert form.standard_fields.password.title == "Client secret"
    assert set(form.extra_fields or {}) == {"user_agent"}


def test_the_hook_tests_a_connection_by_asking_for_a_token(sandbox, monkeypatch, reddit_keys):
    from ducklift.orchestration.reddit_hook import RedditHook

    client_id, client_secret = reddit_keys
    define(monkeypatch, "my_reddit", conn_type="reddit", login=client_id, password=client_secret)
    tokens_before = sum("access_token" in request.path for request in sandbox.reddit.requests)

    worked, message = RedditHook("my_reddit").test_connection()

    assert (worked, message) == (True, "Reddit gave a token and answered a request with it.")
    assert sum("access_token" in request.path for request in sandbox.reddit.requests) == tokens_before + 1


def test_the_hook_says_what_is_wrong_with_the_keys_without_showing_them(monkeypatch, reddit_keys):
    from ducklift.orchestration.reddit_hook import RedditHook

    define(monkeypatch, "my_reddit", conn_type="reddit", login=reddit_keys[0], password="wrong-secret")

    worked, message = RedditHook("my_reddit").test_connection()

    assert not worked
    assert "does not accept the credentials" in message
    assert "wrong-secret" not in message


def test_the_hook_never_tests_the_keys_of_the_environment_instead(sandbox, monkeypatch):
    from ducklift.orchestration.reddit_hook import RedditHook

    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    define(monkeypatch, "my_reddit", conn_type="reddit")

    worked, message = RedditHook("my_reddit").test_connection()

    assert not worked
    assert "No Reddit credentials were found" in message


def test_a_throttled_test_of_a_connection_fails_at_once(sandbox, monkeypatch, reddit_keys):
    from ducklift.orchestration.reddit_hook import RedditHook

    define(monkeypatch, "my_reddit", conn_type="reddit", login=reddit_keys[0], password=reddit_keys[1])
    sandbox.reddit.script([Fault("status", "any", status=429, retry_after="30", times=None)])
    try:
        worked, message = RedditHook("my_reddit").test_connection()
    finally:
        sandbox.reddit.script([])

    assert not worked
    assert "asks to wait for 30 s" in message


def test_the_hook_lends_the_client_of_the_extraction(monkeypatch, reddit_keys):
    from ducklift.orchestration.reddit_hook import RedditHook

    define(monkeypatch, "reddit_default", conn_type="reddit", login=reddit_keys[0], password=reddit_keys[1])

    with RedditHook().get_conn() as client:
        page = client.page("python/new", "r/python/new", {"limit": 5, "raw_json": 1})

    assert len(page.records) == 5
