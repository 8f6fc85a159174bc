from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from ducklift.errors import ConfigurationError, CredentialsMissing
from ducklift.pipeline_file import load_pipeline
from ducklift.settings import PROJECT, Connection, load_settings
from ducklift.sources.base import SliceRequest, Source
from ducklift.sources.reddit import RedditSource
from ducklift.sources.reddit_credentials import find_credentials
from ducklift.sources.registry import source_class

KEYS = {"REDDIT_CLIENT_ID": "an-id", "REDDIT_CLIENT_SECRET": "a-secret"}


def source(**config):
    return RedditSource(**{"subreddits": ["Python", "duckdb"]} | config)


def credentials(environment, tmp_path, connection=None):
    return find_credentials(load_settings(environment, tmp_path).with_connections(lambda _name: connection))


def test_the_type_reddit_is_this_source():
    assert source_class("reddit") is RedditSource


def test_importing_the_source_imports_no_heavy_library():
    code = "import sys, ducklift.sources.reddit; print([n for n in ('praw', 'prawcore', 'requests', 'tenacity') if n in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_stream_is_a_subreddit_and_a_listing():
    assert list(source(listing="top").streams()) == ["Python/top", "duckdb/top"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"subreddits": []}, "at least 1 item"),
        ({"subreddits": ["r/python"]}, "without r/, as 'python'"),
        ({"subreddits": ["/r/python/"]}, "without r/, as 'python'"),
        ({"subreddits": ["https://www.reddit.com/r/python"]}, "is not the name of a subreddit"),
        ({"subreddits": ["../python"]}, "is not the name of a subreddit"),
        ({"subreddits": ["a\nb"]}, "is not the name of a subreddit"),
        ({"subreddits": [" "]}, "is not the name of a subreddit"),
        ({"subreddits": ["x" * 300]}, "is not the name of a subreddit"),
        ({"subreddits": [7]}, "valid string"),
        ({"subreddits": ["python", "Python"]}, "named twice.*Python, python"),
        ({"listing": "best"}, "'new', 'hot', 'top', 'rising' or 'controversial'"),
        ({"time_filter": "decade"}, "'hour'"),
        ({"limit": 0}, "greater than or equal to 1"),
        ({"limit": True}, "valid integer"),
        ({"limit": "5"}, "valid integer"),
        ({"oauth_url": "https://elsewhere.example"}, "Extra inputs"),
    ],
    ids=str,
)
def test_a_bad_configuration_is_refused_with_a_hint(config, says):
    with pytest.raises(ValidationError, match=says):
        source(**config)


@pytest.mark.parametrize(
    ("config", "uses"),
    [({}, True), ({"limit": 5}, False), ({"listing": "hot"}, False), ({"listing": "top", "limit": 5}, False)],
    ids=str,
)
def test_only_a_whole_reading_of_new_uses_the_watermark(config, uses):
    assert source(**config).uses_watermark() is uses


def test_the_options_have_the_configured_values_as_defaults_which_change_nothing():
    configured = source(listing="top", time_filter="week", limit=9)
    defaults = {name: schema["default"] for name, schema in configured.options_schema().items()}

    assert configured.with_options(defaults) == configured
    assert configured.with_options({}) == configured


def test_airflow_takes_the_options_as_params():
    from airflow.sdk import Param

    for schema in source().options_schema().values():
        facts = json.loads(json.dumps(schema))
        assert Param(facts.pop("default"), **facts).resolve() == schema["default"]


@pytest.mark.parametrize(
    ("option", "bad"),
    [("subreddits", ["elsewhere"]), ("subreddits", []), ("listing", "best"), ("time_filter", "decade"), ("limit", 0), ("limit", "5")],
)
def test_the_form_and_the_task_both_refuse_a_bad_option(option, bad):
    from airflow.sdk import Param
    from airflow.sdk.exceptions import ParamValidationError

    facts = dict(source().options_schema()[option]) | {"default": bad}
    with pytest.raises(ParamValidationError):
        Param(facts.pop("default"), **facts).resolve()
    with pytest.raises(ConfigurationError):
        source().with_options({option: bad})


@pytest.mark.parametrize(
    "options",
    [
        {"subreddits": "Python"},
        {"subreddits": ["python"]},
        {"subreddits": ["Python", "Python"]},
        {"subreddits": [["Python"]]},
        {"subreddits": None},
        {"subreddits": {"Python": 1}},
        {"limit": True},
        {"limit": 1.0},
        {"limit": -1},
        {"listing": None},
        {"listing": ["new"]},
        {"time_filter": "{{ ds }}"},
        {"page_size": 1},
        {"type": "reddit"},
        {"oauth_url": "http://169.254.169.254/"},
    ],
    ids=str,
)
def test_hostile_options_are_refused(options):
    with pytest.raises(ConfigurationError):
        source().with_options(options)


def test_options_narrow_the_subreddits_and_redirect_the_listing():
    chosen = source().with_options({"subreddits": ["duckdb"], "listing": "top", "time_filter": "all", "limit": 3})

    assert list(chosen.streams()) == ["duckdb/top"]
    assert (chosen.time_filter, chosen.limit) == ("all", 3)


def test_a_configured_stream_leads_to_the_chosen_one_or_to_none():
    chosen = source().with_options({"subreddits": ["duckdb"], "listing": "top"})

    assert [chosen.effective_stream(stream) for stream in source().streams()] == [None, "duckdb/top"]


def test_a_source_without_options_reads_its_configured_streams():
    class Plain(Source):
        def streams(self):
            return ["only"]

        def read(self, request: SliceRequest, settings, report):
            yield []

    assert Plain(type="plain").effective_stream("only") == "only"
    assert Plain(type="plain").effective_stream("other") is None


def test_the_table_has_a_key_and_the_columns_that_people_query():
    defaults = RedditSource.table_defaults
    columns = {column.name: column for column in defaults.columns}

    assert defaults.primary_key == ("name",)
    assert defaults.record_column == "raw"
    assert len(columns) == len(defaults.columns)
    assert {name for name, column in columns.items() if not column.nullable} == {"name", "created_at"}
    assert columns["created_at"].field == "created_utc"
    assert (columns["edited_at"].field, columns["edited_at"].null_if) == ("edited", (True, False))
    assert columns["was_edited"].field == "edited"
    assert columns["flair"].field == "link_flair_text"


def test_every_column_is_filled_from_a_field_that_posts_have(read):
    fields = set().union(*(record.keys() for record in read("python/new")))

    assert {column.field for column in RedditSource.table_defaults.columns} <= fields


def test_the_shipped_pipeline_reads_the_six_subreddits_of_the_sandbox(tmp_path: Path):
    settings = load_settings({"DUCKLIFT_PIPELINES": str(PROJECT / "include" / "pipelines")}, tmp_path)

    pipeline = load_pipeline("reddit", settings)
    spec = pipeline.table_spec("python/new")

    assert len(pipeline.streams()) == 6
    assert (str(spec.name), spec.disposition, spec.primary_key, spec.record_column) == ("reddit.posts", "merge", ("name",), "raw")
    assert spec.incremental is not None
    assert (spec.incremental.cursor, spec.incremental.overlap_s) == ("created_utc", 48 * 3600)


def test_without_credentials_the_error_names_each_place_the_approval_and_the_sandbox(tmp_path):
    with pytest.raises(CredentialsMissing) as caught:
        credentials({}, tmp_path)

    for part in ("'reddit_default'", "REDDIT_CLIENT_ID", "praw_client_id", "by approval", "make run", "ducklift sandbox"):
        assert part in str(caught.value)


@pytest.mark.parametrize(("lacking", "says"), [("REDDIT_CLIENT_SECRET", "client secret"), ("REDDIT_CLIENT_ID", "client id")])
def test_half_of_the_credentials_is_named(tmp_path, lacking, says):
    with pytest.raises(CredentialsMissing, match=f"REDDIT_CLIENT_ID.*the {says} is missing"):
        credentials(KEYS | {lacking: " "}, tmp_path)


def test_the_connection_goes_before_the_environment(tmp_path):
    connection = Connection(login="its-id", password="its-secret", extra={"user_agent": "web:mine:2 (by /u/me_too)"})

    found = credentials(KEYS, tmp_path, connection)

    assert (found.client_id, found.client_secret, found.user_agent) == ("its-id", "its-secret", "web:mine:2 (by /u/me_too)")


def test_an_empty_connection_leaves_the_word_to_the_environment(tmp_path):
    assert credentials(KEYS, tmp_path, Connection()).client_id == "an-id"


def test_no_url_comes_from_a_connection(tmp_path):
    extra = {"reddit_url": "https://evil.example", "oauth_url": "https://evil.example", "praw_oauth_url": "https://evil.example"}

    found = credentials(KEYS, tmp_path, Connection(host="evil.example", extra=extra))

    assert (found.reddit_url, found.oauth_url) == ("https://www.reddit.com", "https://oauth.reddit.com")


def test_praws_own_variables_serve_as_well(tmp_path):
    environment = {"praw_client_id": "p-id", "praw_client_secret": "p-secret", "praw_user_agent": "linux:x:1 (by u/abc)"}

    found = credentials(environment, tmp_path)

    assert (found.client_id, found.client_secret, found.user_agent) == ("p-id", "p-secret", "linux:x:1 (by u/abc)")


def test_the_default_user_agent_is_of_reddits_form(tmp_path):
    default = credentials(KEYS, tmp_path).user_agent

    assert credentials(KEYS | {"REDDIT_USER_AGENT": default}, tmp_path).user_agent == default


@pytest.mark.parametrize(
    "bad", ["Mozilla/5.0", "python-requests", "linux:x:1", "linux:x:1 (by /u/me)\r\nX-Evil: 1", "linux:x:1 (by /u/mé)"]
)
def test_a_user_agent_of_another_form_is_refused_with_an_example(tmp_path, bad):
    with pytest.raises(ConfigurationError, match=r"\(by /u/somebody\)"):
        credentials(KEYS | {"REDDIT_USER_AGENT": bad}, tmp_path)


@pytest.mark.parametrize(
    "bad", ["http://reddit.example", "ftp://x", "https://user:pass@x.example", "https://", "x", "http://[", "https://x/?a=1"]
)
@pytest.mark.parametrize("variable", ["praw_reddit_url", "praw_oauth_url"])
def test_an_endpoint_that_would_leak_the_keys_is_refused(tmp_path, variable, bad):
    with pytest.raises(ConfigurationError, match=variable):
        credentials(KEYS | {variable: bad}, tmp_path)


def test_keys_that_cannot_stand_in_a_header_are_refused_without_being_shown(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        credentials(KEYS | {"REDDIT_CLIENT_SECRET": "pässword"}, tmp_path)

    assert "pässword" not in str(caught.value)


def test_secrets_are_not_in_the_text_form(tmp_path):
    found = credentials(KEYS | {"praw_password": "hush", "praw_refresh_token": "hush-too"}, tmp_path)

    assert "a-secret" not in repr(found)
    assert "hush" not in repr(found)


def test_a_praw_ini_and_praw_variables_of_the_process_change_nothing(read, tmp_path, monkeypatch):
    from praw.config import Config

    lines = ("oauth_url=http://127.0.0.1:9", "reddit_url=http://127.0.0.1:9", "client_id=x", "timeout=x", "username=x", "password=x")
    (tmp_path / "praw.ini").write_text("\n".join(("[DEFAULT]", *lines)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Config, "CONFIG", None)
    for name, value in {"praw_site": "no_such_site", "praw_username": "x", "praw_password": "x", "praw_client_id": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PRAW_ALLOW_ENDPOINT_OVERRIDE", "1")

    assert len(read("python/new")) > 200


def test_a_damaged_praw_ini_is_named(read, tmp_path, monkeypatch):
    from praw.config import Config

    (tmp_path / "praw.ini").write_text("no section\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Config, "CONFIG", None)

    with pytest.raises(ConfigurationError, match=r"praw\.ini"):
        read("python/new")


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(read, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert len(read("python/new")) > 200


def test_the_connection_reaches_the_source(read):
    keys = read.sandbox.environment
    read.environment = {"REDDIT_CLIENT_ID": "wrong", "REDDIT_CLIENT_SECRET": "wrong"}
    read.connection = Connection(login=keys["REDDIT_CLIENT_ID"], password=keys["REDDIT_CLIENT_SECRET"])

    assert len(read("python/new")) > 200
