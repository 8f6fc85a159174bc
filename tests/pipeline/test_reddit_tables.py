"""Reddit's streams through all three steps: posts and comments in tables of their own, scores brought up to date."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ducklift.errors import ConfigurationError
from ducklift.pipeline import Pipeline, Run, run_pipeline
from ducklift.sandbox import RedditOptions, Sandbox
from ducklift.settings import Settings, load_settings

CONFIG: dict[str, Any] = {
    "name": "reddit",
    "table": "reddit.posts",
    "disposition": "merge",
    "primary_key": ["name"],
    "incremental": {"cursor": "created_utc", "overlap": "1h"},
    "checks": [{"not_null": "name"}, {"not_null": "title"}],
    "columns": [{"name": "media_only", "type": "boolean"}],
}


@pytest.fixture
def sandbox(tmp_path: Path):
    with Sandbox(tmp_path / "sandbox", options=RedditOptions(requests_per_minute=None)) as running:
        yield running


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> Settings:
    project = tmp_path / "project"
    project.mkdir()
    return load_settings({**sandbox.environment, "DUCKLIFT_LAKE_URL": (project / "lake").as_uri()}, project)


def run(settings: Settings, **source: Any) -> dict[str, Any]:
    pipeline = Pipeline.model_validate({**CONFIG, "source": {"type": "reddit", "subreddits": ["python"], **source}})
    summary = run_pipeline(pipeline, Run.now(), settings)
    assert [load.error for load in summary.loads if load.error] == []
    return {load.stream: load for load in summary.loads}


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(settings.home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_comments_land_in_a_table_of_their_own_beside_the_posts(settings: Settings) -> None:
    loads = run(settings, comments={"requests": 500, "since": "2d"})

    assert (loads["python/new"].table, loads["comments:python"].table) == ("reddit.posts", "reddit.comments")
    rows, posts, orphans = query(
        settings,
        """
        SELECT count(*), count(DISTINCT link_id), count(*) FILTER (depth > 0 AND parent_id NOT IN (SELECT name FROM reddit.comments))
        FROM reddit.comments JOIN reddit.posts ON link_id = posts.name
        """,
    )[0]
    assert rows == loads["comments:python"].rows_inserted > 50
    assert posts > 3
    assert orphans == 0
    assert loads["comments:python"].watermark is None
    assert run(settings, comments={"requests": 500, "since": "2d"})["comments:python"].rows_inserted == 0


def test_known_posts_are_read_again_and_merged_by_name(settings: Settings, sandbox: Sandbox) -> None:
    run(settings)
    rows = query(settings, "SELECT count(*), sum(score) FROM reddit.posts")[0]
    sandbox.reddit.advance(timedelta(hours=30))

    # The other subreddit's listing does not bring them: the table's own posts are asked about.
    loads = run(settings, subreddits=["duckdb"], refresh="3d")

    assert loads["refresh:posts"].rows_extracted > loads["refresh:posts"].rows_updated > 20
    assert loads["refresh:posts"].rows_inserted == 0
    assert loads["refresh:posts"].watermark is None
    after = query(settings, "SELECT count(*), sum(score) FROM reddit.posts")[0]
    assert after[0] == rows[0] + loads["duckdb/new"].rows_inserted
    assert after[1] > rows[1]


def test_the_first_refresh_of_a_new_table_has_nothing_to_read(settings: Settings) -> None:
    pipeline = Pipeline.model_validate({**CONFIG, "source": {"type": "reddit", "subreddits": ["python"], "refresh": "3d"}})

    summary = run_pipeline(pipeline, Run.now(), settings)

    # Streams are read in their order here, so that the listing's posts are known; before it, there is nothing.
    assert [load.state for load in summary.loads] == ["loaded", "loaded"]
    assert summary.loads[1].rows_extracted == summary.loads[1].rows_unchanged + summary.loads[1].rows_updated > 0


def test_a_refresh_by_a_name_that_is_hidden_says_so(settings: Settings) -> None:
    settings = load_settings({**settings.environment, "DUCKLIFT_PII_SALT": "x"}, settings.project)
    hidden = {**CONFIG, "columns": [{"name": "name", "type": "varchar", "pii": "hash"}]}
    pipeline = Pipeline.model_validate({**hidden, "source": {"type": "reddit", "subreddits": ["python"], "refresh": "3d"}})

    summary = run_pipeline(pipeline, Run.now(), settings)

    assert summary.loads[1].exit_code == ConfigurationError("").exit_code
    assert "remove its pii" in str(summary.loads[1].error)
