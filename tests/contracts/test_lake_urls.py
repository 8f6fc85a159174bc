"""Which lake URLs are taken, which are refused, and what a missing package or a cloud's refusal is told as."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError
from gcsfs.retry import HttpError
from store_contract import new_name, raised, settings_for

from ducklift.errors import ConfigurationError, CredentialsMissing, LakeRefused, LakeUnavailable, MissingExtra
from ducklift.lake import credentials
from ducklift.lake.azure import account_url
from ducklift.lake.filesystem import open_lake
from ducklift.settings import Connection


@pytest.mark.parametrize(
    "url",
    [
        "s3://KEY:SECRETVALUE@bucket/lake",
        "s3://SECRETVALUE@bucket",
        "az://container?sig=SECRETVALUE",
        "gs://bucket#SECRETVALUE",
        "sftp://courier:SECRETVALUE@host/lake",
    ],
)
def test_a_url_that_carries_keys_or_options_is_refused_without_being_shown(tmp_path: Path, url: str):
    with pytest.raises(ConfigurationError) as caught:
        open_lake(settings_for(tmp_path, url))

    assert "SECRETVALUE" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://", "s3://bucket"),
        ("gs:///x", "gs://bucket"),
        ("az://", "az://container"),
        ("ftp://h/x", "sftp://"),
        ("file://", "file:///folder"),
        ("file:///", "file:///folder"),
    ],
)
def test_a_url_that_names_no_place_is_refused_with_an_example(tmp_path: Path, url: str, told: str):
    with pytest.raises(ConfigurationError, match=told):
        open_lake(settings_for(tmp_path, f"{url}/" if url.endswith("//") else url))


@pytest.mark.parametrize(
    ("url", "package", "extra"), [("gs://b", "gcsfs", "gs"), ("az://c", "adlfs", "az"), ("sftp://h/x", "paramiko", "sftp")]
)
def test_a_missing_package_names_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str
):
    monkeypatch.setattr(credentials, "find_spec", lambda name: None if name == package else importlib.util.find_spec(name))

    with pytest.raises(MissingExtra, match=rf"ducklift\[{extra}\]"):
        open_lake(settings_for(tmp_path, url))


def test_nothing_is_connected_to_before_the_first_use(tmp_path: Path):
    assert open_lake(settings_for(tmp_path, "sftp://nowhere.invalid/lake")).url_of("raw/a") == "sftp://nowhere.invalid/lake/raw/a"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (HttpError({"code": 401, "message": "Invalid Credentials"}), LakeRefused, "401"),
        (OSError("Forbidden: b/o\nno storage.objects.get"), LakeRefused, "403"),
        (HttpError({"code": 503, "message": "backendError"}), LakeUnavailable, "503"),
        (HttpError({"code": 429, "message": "rateLimitExceeded"}), LakeUnavailable, "429"),
        (ValueError("Bad Request: b\nInvalid bucket name"), LakeRefused, "400"),
        (TimeoutError(), LakeUnavailable, "TimeoutError"),
    ],
)
def test_answers_of_google_are_told_by_their_code(tmp_path: Path, error: Exception, kind: type[Exception], code: str):
    told = open_lake(settings_for(tmp_path, "gs://bucket")).named("raw/a", error)

    assert (type(told), told.code) == (kind, code)


def azure_error(kind: Any, code: str | None) -> Exception:
    error = kind(message="refused")
    error.error_code = code
    return error


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (azure_error(ClientAuthenticationError, "AuthenticationFailed"), LakeRefused, "AuthenticationFailed"),
        (azure_error(HttpResponseError, "AuthorizationPermissionMismatch"), LakeRefused, "AuthorizationPermissionMismatch"),
        (azure_error(HttpResponseError, "ServerBusy"), LakeUnavailable, "ServerBusy"),
        (azure_error(ServiceRequestError, None), LakeUnavailable, "ServiceRequestError"),
    ],
)
def test_answers_of_azure_are_told_by_their_code(tmp_path: Path, error: Exception, kind: type[Exception], code: str):
    told = open_lake(settings_for(tmp_path, "az://container")).named("raw/a", error)

    assert (type(told), told.code) == (kind, code)


def test_an_azure_account_is_found_in_connection_or_environment_or_asked_for(tmp_path: Path):
    assert account_url(Connection(login="birds"), {}) == "https://birds.blob.core.windows.net"
    assert account_url(Connection(), {"AZURE_STORAGE_ACCOUNT_NAME": "birds"}) == "https://birds.blob.core.windows.net"
    assert account_url(Connection(login="birds", host="birds.blob.core.chinacloudapi.cn"), {}) == "https://birds.blob.core.chinacloudapi.cn"
    assert "AZURE_STORAGE_ACCOUNT_NAME" in str(raised(CredentialsMissing, settings_for(tmp_path, "az://container")))


def test_a_key_file_of_googles_that_is_not_json_is_not_shown(tmp_path: Path):
    settings = settings_for(tmp_path, "gs://bucket").with_connections(lambda _: Connection(extra={"keyfile_dict": "{SECRETVALUE"}))

    assert "SECRETVALUE" not in str(raised(ConfigurationError, settings))


def test_a_key_file_of_googles_that_is_not_there_is_named(tmp_path: Path):
    settings = settings_for(tmp_path, "gs://bucket", GOOGLE_APPLICATION_CREDENTIALS="/nowhere/key.json")

    assert "/nowhere/key.json" in str(raised(ConfigurationError, settings))


def test_the_steps_of_one_call_share_a_store_and_those_of_others_open_their_own(tmp_path: Path):
    alone = settings_for(tmp_path, f"memory://{new_name()}")
    shared = dataclasses.replace(alone, opened={})

    assert open_lake(shared) is open_lake(shared)
    assert open_lake(dataclasses.replace(shared, lake_url=f"{alone.lake_url}/spool")) is not open_lake(shared)
    assert open_lake(alone) is not open_lake(alone)


def test_a_connection_of_azure_is_not_mixed_with_a_key_of_the_environment(tmp_path: Path):
    settings = settings_for(tmp_path, "az://container", AZURE_STORAGE_ACCOUNT_KEY="c29tZWJvZHkgZWxzZSdz")
    ours = Connection(login="birds", extra={"sas_token": "?sv=2024-08-04&sig=ours"})

    client = open_lake(settings.with_connections(lambda _: ours)).filesystem.service_client

    assert "sig=ours" in client.url
    assert not hasattr(client.credential, "account_key")


def test_a_password_of_the_environment_is_not_sent_to_the_server_of_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sent: dict[str, Any] = {}

    def connecting(_host: str, **how: Any) -> None:
        sent.update(how)
        raise ConnectionRefusedError

    monkeypatch.setattr("fsspec.implementations.sftp.SFTPFileSystem", connecting)
    settings = settings_for(tmp_path, "sftp://host/lake", SFTP_PASSWORD="somebody else's")
    ours = Connection(login="courier", extra={"no_host_key_check": True})

    raised(LakeUnavailable, settings.with_connections(lambda _: ours))

    assert (sent["username"], sent["password"]) == ("courier", None)
