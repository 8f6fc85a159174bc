"""The source contract on Reddit's listing `new`, served by the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from source_contract import Since, SourceContract, Trial, read, records, source_of

from ducklift.sandbox import Sandbox
from ducklift.settings import load_settings


class TestReddit(SourceContract):
    largest_batch = 100

    @pytest.fixture
    def trial(self, sandbox: Sandbox, tmp_path: Path) -> Trial:
        environment = {name: value for name, value in sandbox.environment.items() if not name.startswith("DUCKLIFT_")}
        config = {"type": "reddit", "subreddits": ["python"]}
        # How many there are, and when, follows from the day on which the sandbox was started.
        posts = records(read(source_of(Trial(config, 0, ())), load_settings(environment, tmp_path)))
        times = sorted(post["created_utc"] for post in posts if "created_utc" in post)
        return Trial(
            config=config,
            rows=len(posts),
            key=["name"],
            environment=environment,
            secrets=[environment["REDDIT_CLIENT_SECRET"]],
            broken=[{**config, "subreddits": ["private_example"]}, {**config, "subreddits": ["no_such_place"]}],
            since=Since("created_utc", times[len(times) // 2], older_at_most=200),
            pipeline={"incremental": {"cursor": "created_utc", "overlap": "48h"}},
        )
