"""A task in front of the others that waits for objects in S3, deferred: it holds no worker's slot while it waits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from ducklift.errors import ConfigurationError, LakeUnavailable

if TYPE_CHECKING:
    from airflow.sdk import Context

TASK_ID = "wait_for_objects"
WAITS_AT_MOST = timedelta(days=1)
LOOKS_EVERY = timedelta(minutes=1)
CONNECTION = "ducklift_lake"


def in_front_of(tasks: Any, wait_for: str | Sequence[str]) -> None:
    """Put a task in front of `tasks` that waits for objects; none where there is nothing to wait for."""
    urls = [wait_for] if isinstance(wait_for, str) else [*wait_for]
    if urls:
        ObjectsExpected(task_id=TASK_ID, urls=urls) >> tasks


class ObjectsExpected(BaseOperator):
    """Waits until every one of `urls` is there; each is `s3://bucket/key`, templated, and may hold the wildcards `*`, `?` and `[…]`.

    The looking is done by the trigger of Airflow's Amazon provider, by the connection `ducklift_lake` (without it: the environment's keys).
    """

    template_fields: Sequence[str] = ("urls",)

    def __init__(
        self, *, urls: Sequence[str], at_most: timedelta = WAITS_AT_MOST, every: timedelta = LOOKS_EVERY, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        for url in urls:
            bucket, _, key = url.removeprefix("s3://").partition("/")
            if not url.startswith("s3://") or not bucket or not key:
                raise ConfigurationError(f"{url!r} cannot be waited for: write s3://bucket/key, with * for any text.")
        self.urls, self.at_most, self.every = list(urls), at_most, every

    def execute(self, context: Context) -> None:
        """Hand over to the triggerer at once: an object that is there already is found by its first look."""
        from airflow.providers.amazon.aws.triggers.s3 import S3KeyTrigger

        trigger = S3KeyTrigger(
            bucket_name=None,  # type: ignore[arg-type]  # the keys are whole URLs, as the provider documents
            bucket_key=self.urls,
            wildcard_match=True,
            aws_conn_id=CONNECTION,
            poke_interval=self.every.total_seconds(),
        )
        self.defer(trigger=trigger, method_name="found", timeout=self.at_most)

    def found(self, context: Context, event: dict[str, Any]) -> list[str]:
        """Return what was waited for; raises `LakeUnavailable` when it could not be looked for, so that the task is tried again."""
        if event.get("status") != "success":
            raise LakeUnavailable(", ".join(self.urls), str(event.get("message") or event))
        return self.urls
