"""The sandbox's clock, and what moves with it: posts are a function of the seed and of virtual time."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sandbox_clients import fetch, reddit_client, walk

from ducklift.errors import SandboxUnavailable
from ducklift.sandbox.clock import SandboxClock
from ducklift.sandbox.communities import COMMUNITIES
from ducklift.sandbox.posts import Archive
from ducklift.sandbox.submissions import render

ORIGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = ORIGIN.timestamp()
DAY_S = 86_400
# Changes with the vocabulary; computed on Python 3.11, 3.12 and 3.13.
DIGEST_OF_SEED_2026 = "78781bf64bfed18a"


def test_a_new_clock_stands_at_a_full_hour_30_days_ago(tmp_path: Path) -> None:
    clock = SandboxClock(tmp_path / "clock.json")

    behind = datetime.now(UTC) - clock.now()

    assert timedelta(days=30) <= behind < timedelta(days=30, hours=1, minutes=1)
    assert (clock.now().minute, clock.now().second) == (0, 0)


def test_the_first_start_does_not_advance_and_later_ones_do(tmp_path: Path) -> None:
    starts = [SandboxClock(tmp_path / "clock.json", advance=timedelta(days=1)).now() for _ in range(3)]

    assert [moment - starts[0] for moment in starts] == [timedelta(0), timedelta(days=1), timedelta(days=2)]


def test_the_clock_never_passes_the_real_time(tmp_path: Path) -> None:
    clock = SandboxClock(tmp_path / "clock.json")

    reached = clock.advance(timedelta(days=99))

    assert abs(datetime.now(UTC) - reached) < timedelta(seconds=5)
    assert clock.advance(timedelta(hours=1)) - reached < timedelta(seconds=5)


def test_the_clock_does_not_move_by_itself_without_speed(tmp_path: Path) -> None:
    clock = SandboxClock(tmp_path / "clock.json")

    assert clock.now() == clock.now()


def test_the_clock_flows_as_many_times_faster_as_its_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 1000.0
    monkeypatch.setattr("ducklift.sandbox.clock.time.monotonic", lambda: seconds)
    clock = SandboxClock(tmp_path / "clock.json", speed=3600)
    started = clock.now()

    seconds += 24

    assert clock.now() - started == timedelta(days=1)
    assert datetime.fromisoformat(json.loads((tmp_path / "clock.json").read_text())["now"]) == started + timedelta(days=1)


def test_the_clock_refuses_to_move_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only moves forward"):
        SandboxClock(tmp_path / "clock.json").advance(timedelta(hours=-1))


def test_a_broken_clock_file_is_named_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_text("{}")

    with pytest.raises(SandboxUnavailable, match=r"clock\.json.*Delete it"):
        SandboxClock(tmp_path / "clock.json")


def test_two_archives_of_one_seed_hold_the_same_posts_whatever_was_asked_before() -> None:
    at_once, in_steps = Archive(7, ORIGIN), Archive(7, ORIGIN)
    for day in range(31):
        in_steps.posts(NOW - (30 - day) * DAY_S)

    rendered = [[render(post, archive, NOW) for post in archive.posts(NOW)] for archive in (at_once, in_steps)]

    assert rendered[0] == rendered[1]


def test_the_same_seed_gives_these_posts_on_every_python() -> None:
    posts = Archive(2026, ORIGIN).posts(NOW)

    told = json.dumps([(post.id, post.created, post.title, post.text, post.final_score) for post in posts])
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == DIGEST_OF_SEED_2026


def test_another_seed_gives_other_posts() -> None:
    titles = [[post.title for post in Archive(seed, ORIGIN).posts(NOW)[:50]] for seed in (1, 2)]

    assert titles[0] != titles[1]


def test_about_2000_posts_in_six_subreddits_stand_in_the_30_days_before_the_start() -> None:
    posts = Archive(2026, ORIGIN).posts(NOW)

    assert 1_900 <= len(posts) <= 2_100
    assert {post.community.name for post in posts} == {community.name for community in COMMUNITIES}
    assert posts[0].created >= NOW - 30 * DAY_S
    assert posts[-1].created <= NOW
    assert len({post.name for post in posts}) == len(posts)


def test_titles_read_well_and_rarely_repeat() -> None:
    posts = Archive(2026, ORIGIN).posts(NOW)

    assert not [post.title for post in posts if "{" in post.title + post.text]
    assert len({post.title for post in posts}) > 0.8 * len(posts)


def test_about_sixty_posts_come_every_day() -> None:
    archive = Archive(2026, ORIGIN)

    per_day = [len(archive.posts(NOW + (day + 1) * DAY_S)) - len(archive.posts(NOW + day * DAY_S)) for day in range(10)]

    assert all(45 <= count <= 85 for count in per_day)


def test_about_a_fifth_is_taken_down_and_one_in_fifty_appears_late() -> None:
    archive = Archive(2026, ORIGIN)
    posts = archive.posts(NOW)
    later = NOW + 40 * DAY_S

    assert 0.17 < sum(post.deleted(later) for post in posts) / len(posts) < 0.23
    assert 0.01 < sum(not post.listed(post.created + 600) and not post.deleted(post.created + 600) for post in posts) / len(posts) < 0.03


def test_scores_and_comments_grow_with_age_and_settle() -> None:
    archive = Archive(2026, ORIGIN)
    post = max(archive.posts(NOW - 10 * DAY_S), key=lambda each: each.final_score)

    scores = [post.score(post.created + hours * 3600) for hours in (0, 1, 6, 24, 96, 500)]
    comments = [post.comments(post.created + hours * 3600) for hours in (0, 1, 6, 24, 200, 500)]

    assert scores == sorted(scores)
    assert scores[0] < scores[2] < scores[4] == scores[5]
    assert comments == sorted(comments)


def test_a_second_run_meets_new_changed_and_deleted_posts(start: Any) -> None:
    sandbox = start()
    client = reddit_client(sandbox)
    before = {post["name"]: post for post in walk(client, "/r/python/new")}

    sandbox.stop()
    sandbox = start(advance=timedelta(days=1))
    after = {post["name"]: post for post in walk(reddit_client(sandbox), "/r/python/new")}

    assert after.keys() - before.keys()
    assert before.keys() - after.keys()
    assert any(after[name]["score"] != before[name]["score"] for name in after.keys() & before.keys())
    assert any(after[name] == before[name] for name in after.keys() & before.keys())


def test_the_clock_can_be_advanced_over_http(start: Any) -> None:
    sandbox = start()
    before = sandbox.reddit.advance(timedelta(0))

    answer = httpx.post(f"{sandbox.reddit_url}/sandbox/advance", json={"hours": 36}, trust_env=False)

    assert answer.status_code == 200
    assert datetime.fromisoformat(answer.json()["now"]) - before == timedelta(hours=36)


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [('{"hours": 1}', "text/plain", 415), ('{"hours": -1}', "application/json", 400), ("[3]", "application/json", 400)],
)
def test_a_wrong_advance_is_refused(start: Any, content: str, media_type: str, status: int) -> None:
    sandbox = start()

    answer = httpx.post(f"{sandbox.reddit_url}/sandbox/advance", content=content, headers={"content-type": media_type}, trust_env=False)

    assert answer.status_code == status
    assert fetch(reddit_client(sandbox), "/r/duckdb/about")
