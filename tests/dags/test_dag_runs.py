"""DAG `reddit` run whole by Airflow itself: a green run, one with a private subreddit, one from a filled trigger form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dags_on_sandbox import YAML, run_by_airflow, stand_on

from ducklift.settings import load_settings
from ducklift.warehouse import open_warehouse

pytestmark = pytest.mark.airflow

SUBREDDITS = ["python", "private_example", "selfhosted"]
WITHOUT_THE_PRIVATE_ONE = {"subreddits": ["python", "selfhosted"]}


@pytest.fixture(scope="module")
def told(sandbox, tmp_path_factory) -> Any:
    """The outcome of four runs in a row, and what they logged."""
    folder = tmp_path_factory.mktemp("airflow")
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_on(sandbox, folder, monkeypatch)
        (folder / "pipelines" / "reddit.yaml").write_text(YAML.format(subreddits=", ".join(SUBREDDITS), target="warehouse"), "utf-8")
        requests = [
            {"logical_date": "2026-01-05T00:00:00+00:00", "form": WITHOUT_THE_PRIVATE_ONE},
            {"form": WITHOUT_THE_PRIVATE_ONE},
            {"form": {}},
            {"form": {"subreddits": ["python"], "listing": "top", "time_filter": "all", "limit": 5}},
        ]
        return {**run_by_airflow(folder, requests), "settings": load_settings()}


def states(run: dict[str, Any]) -> dict[str, list[str]]:
    """Return the states of the three tasks by subreddit, in run order."""
    order = ["reddit_extraction", "s3_upload", "duckdb_load"]
    found: dict[str, list[str]] = {name: ["", "", ""] for name in SUBREDDITS}
    for task in run["tasks"]:
        found[SUBREDDITS[task["map_index"]]][order.index(task["task"])] = task["state"]
    return found


def xcoms(run: dict[str, Any], task_id: str) -> list[Any]:
    return [task["xcom"] for task in run["tasks"] if task["task"] == task_id and task["xcom"] is not None]


@pytest.mark.parametrize("number", [0, 1], ids=["with a logical date", "without a logical date"])
def test_a_run_over_readable_subreddits_is_green(told, number):
    run = told["runs"][number]

    assert run["state"] == "success"
    assert states(run) == {"python": ["success"] * 3, "private_example": ["skipped"] * 3, "selfhosted": ["success"] * 3}


def test_a_private_subreddit_ends_red_while_the_others_land(told):
    run = told["runs"][2]

    assert run["state"] == "failed"
    assert states(run) == {
        "python": ["success"] * 3,
        "private_example": ["failed", "upstream_failed", "upstream_failed"],
        "selfhosted": ["success"] * 3,
    }


def test_the_red_run_names_the_subreddit_and_the_reason_and_does_not_retry_it(told):
    (red,) = [task for task in told["runs"][2]["tasks"] if task["state"] == "failed"]

    assert (red["label"], red["tries"]) == ("private_example/new", 1)
    assert "private_example/new: the subreddit is private" in told["log"]


def test_a_filled_form_narrows_the_run_and_shows_the_listing_that_was_read(told):
    run = told["runs"][3]

    assert run["state"] == "success"
    assert {task["label"] for task in run["tasks"] if task["state"] == "success"} == {"python/top"}
    assert [summary["rows_extracted"] for summary in xcoms(run, "duckdb_load")] == [5]


def test_the_second_run_brings_nothing_twice(told):
    with open_warehouse(told["settings"], read_only=True) as warehouse:
        ((posts, rows),) = warehouse.rows("select count(distinct name), count(*) from reddit.posts")

    assert rows == posts > 0
    assert [summary["rows_inserted"] for summary in xcoms(told["runs"][1], "duckdb_load")] == [0, 0]


def test_xcom_carries_paths_and_small_summaries_alone(told):
    for run in told["runs"]:
        assert all(isinstance(path, str) for task_id in ("reddit_extraction", "s3_upload") for path in xcoms(run, task_id))
        assert all(len(json.dumps(summary)) < 1000 for summary in xcoms(run, "duckdb_load"))


def test_each_landed_stream_is_an_event_of_the_asset_with_rows_and_bytes(told):
    events = [event for event in told["events"] if event["run_id"] == told["runs"][0]["run_id"]]

    assert [event["asset"] for event in events] == ["reddit.posts"] * 2
    summaries = xcoms(told["runs"][0], "duckdb_load")
    assert sorted(event["rows_inserted"] for event in events) == sorted(summary["rows_inserted"] for summary in summaries)
    assert all(event["bytes"] > 0 for event in events)


def test_no_key_stands_in_a_log(told, sandbox):
    for name in ("AWS_SECRET_ACCESS_KEY", "REDDIT_CLIENT_SECRET"):
        assert sandbox.environment[name] not in told["log"]
