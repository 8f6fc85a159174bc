"""What is gone at Reddit goes here: posts of the sandbox, whose clock takes some of them away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ducklift.assets import AssetIn, AssetValueLoader, asset, daily, materialize
from ducklift.deletion_sweeps import sweep_pipeline
from ducklift.errors import ConfigurationError, ExtractionIncomplete, SourceUnavailable, SweepRefused
from ducklift.lake.filesystem import open_lake
from ducklift.pipeline import Pipeline, Run, run_pipeline
from ducklift.sandbox import Fault, RedditOptions, Sandbox
from ducklift.settings import Settings, load_settings
from ducklift.sources.reddit import RedditSource
from ducklift.sources.reddit_client import Patience
from ducklift.sources.reddit_info import is_gone
from ducklift.warehouse.rebuild import verify

CONFIG: dict[str, Any] = {
    "name": "reddit",
    "source": {"type": "reddit", "subreddits": ["python"]},
    "table": "reddit.posts",
    "disposition": "merge",
    "primary_key": ["name"],
    "incremental": {"cursor": "created_utc", "overlap": "48h"},
    "sweep": {"window": "30d"},
}
PIPELINE = Pipeline.model_validate(CONFIG)


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(RedditSource, "patience", replace(Patience(), sleep=lambda _: None))
    with Sandbox(tmp_path / "sandbox", options=RedditOptions(requests_per_minute=None)) as running:
        yield running


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> Settings:
    """Settings of an installation that has read r/python; since then, five days have passed at Reddit."""
    project = tmp_path / "project"
    project.mkdir()
    found = load_settings({**sandbox.environment, "DUCKLIFT_LAKE_URL": (project / "lake").as_uri()}, project)
    assert run_pipeline(PIPELINE, Run.now(), found).state == "loaded"
    sandbox.reddit.advance(timedelta(days=5))
    return found


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(settings.home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_posts_that_are_gone_are_blanked_and_a_second_sweep_asks_about_the_others_only(settings: Settings) -> None:
    posts = query(settings, "SELECT count(*) FROM reddit.posts")[0][0]

    [shown] = sweep_pipeline(PIPELINE, settings)
    assert (shown.asked, shown.applied) == (posts, False)
    assert 1 < shown.gone < posts / 2
    [done] = sweep_pipeline(PIPELINE, settings, apply=True)

    blank = query(settings, "SELECT title, author, selftext, url, permalink, flair FROM reddit.posts WHERE url IS NULL")
    assert len(blank) == done.gone == shown.gone
    assert {row[3:] for row in blank} == {(None, None, None)}
    assert {row[0] for row in blank} == {"[deleted]"}
    verify(open_lake(settings), settings)
    [again] = sweep_pipeline(PIPELINE, settings, apply=True)
    assert (again.asked, again.gone) == (posts - done.gone, 0)


def test_a_post_keeps_its_numbers_and_its_place(settings: Settings) -> None:
    kept = "name, subreddit, created_at, score, num_comments, is_self"
    before = query(settings, f"SELECT {kept} FROM reddit.posts ORDER BY 1")

    sweep_pipeline(PIPELINE, settings, apply=True)

    assert query(settings, f"SELECT {kept} FROM reddit.posts ORDER BY 1") == before


POSTS_OF_A_DAY = "SELECT name, title FROM reddit.posts WHERE CAST(created_at AS DATE) = CAST($partition_key AS DATE)"


@asset(partitions=daily("2005-06-23"), ins={"posts": AssetIn(input_manager_key="warehouse", metadata={"query": POSTS_OF_A_DAY})})
def top_posts(posts: pa.Table) -> pa.Table:
    return posts


@asset(partitions=daily("2005-06-23"))
def headlines(top_posts: list) -> str:
    return "; ".join(post["title"] for post in top_posts)


def test_of_values_made_of_days_those_days_lose_what_is_gone_and_the_others_stay(settings: Settings) -> None:
    chosen = "SELECT CAST(CAST(created_at AS DATE) AS VARCHAR), list(name), list(name) FILTER (url IS NULL) FROM reddit.posts"
    by_day = f"{chosen} GROUP BY 1 ORDER BY 1 DESC LIMIT 6"
    for day, *_ in query(settings, by_day):
        materialize([top_posts, headlines], partition_key=day, settings=settings)

    [done] = sweep_pipeline(PIPELINE, settings, apply=True)

    kept = dict[bool, int]()
    with AssetValueLoader(settings) as loader:
        for day, names, gone in query(settings, by_day):
            left = loader.load_asset_value("top_posts", partition_key=day).column("name").to_pylist()
            assert sorted(left) == sorted(set(names) - set(gone or ()))
            found = loader.load_asset_value("headlines", partition_key=[day], missing="skip")
            assert bool(found) is (not gone)
            kept[bool(found)] = kept.get(bool(found), 0) + 1
    assert (done.values, len(done.to_make)) == (2 * kept[False], kept[False])
    assert kept[True]


def test_a_later_run_goes_on_and_brings_nothing_back(settings: Settings) -> None:
    [done] = sweep_pipeline(PIPELINE, settings, apply=True)

    assert run_pipeline(PIPELINE, Run.now(), settings).state == "loaded"

    assert query(settings, "SELECT count(*) FROM reddit.posts WHERE url IS NULL")[0][0] == done.gone
    verify(open_lake(settings), settings)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("nothing_found", endpoint="info"), SweepRefused),
        (Fault("all_gone", endpoint="info"), SweepRefused),
        (Fault("others_found", endpoint="info"), ExtractionIncomplete),
        (Fault("malformed_json", endpoint="info", times=None), ExtractionIncomplete),
        (Fault("status", status=503, endpoint="info", times=None), SourceUnavailable),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_broken_answer_blanks_nothing(settings: Settings, sandbox: Sandbox, fault: Fault, error: type[Exception]) -> None:
    sandbox.reddit.script([fault])

    with pytest.raises(error):
        sweep_pipeline(PIPELINE, settings, apply=True)

    assert list(open_lake(settings).list("_ducklift/sweeps/")) == []
    assert query(settings, "SELECT count(*) FROM reddit.posts WHERE url IS NULL")[0][0] == 0


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=429, endpoint="info"), Fault("null_author", endpoint="info"), Fault("missing_fields", endpoint="info")],
    ids=str,
)
def test_an_answer_that_lacks_something_takes_nobody_for_gone(settings: Settings, sandbox: Sandbox, fault: Fault) -> None:
    expected = sweep_pipeline(PIPELINE, settings)[0].gone
    sandbox.reddit.script([fault])

    assert sweep_pipeline(PIPELINE, settings)[0].gone <= expected


def test_the_ratio_of_the_pipeline_file_can_be_lifted_once(settings: Settings) -> None:
    strict = PIPELINE.model_copy(update={"sweep": PIPELINE.sweep.model_copy(update={"max_ratio": 0.001})})

    with pytest.raises(SweepRefused, match="--max-ratio"):
        sweep_pipeline(strict, settings, apply=True)

    assert sweep_pipeline(strict, settings, apply=True, max_ratio=1)[0].rows > 0


def test_a_source_that_cannot_tell_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedditSource, "sweep_rule", lambda _self: None)

    with pytest.raises(ConfigurationError, match="cannot tell which"):
        sweep_pipeline(PIPELINE, settings)


@pytest.mark.parametrize(
    ("record", "gone"),
    [
        ({"name": "t3_a", "author": "someone", "selftext": "words"}, False),
        ({"name": "t3_a", "author": "[deleted]", "selftext": "words"}, False),
        ({"name": "t3_a", "author": None}, False),
        ({"name": "t3_a", "author": "[deleted]", "selftext": "[deleted]"}, True),
        ({"name": "t3_a", "selftext": "[removed]"}, True),
        ({"name": "t3_a", "removed_by_category": "moderator", "selftext": ""}, True),
        ({"name": "t1_a", "author": "[deleted]", "body": "[removed]"}, True),
        ({"name": "t1_a", "author": "[deleted]", "body": "still here"}, False),
    ],
    ids=str,
)
def test_a_record_is_gone_when_its_text_is_not_when_its_author_left(record: dict[str, Any], gone: bool) -> None:
    assert is_gone(record) is gone
