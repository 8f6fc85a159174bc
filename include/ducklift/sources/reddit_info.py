"""Asking Reddit again about things that are known, a hundred by one request: how they stand now, and which of them are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from ducklift.errors import ExtractionIncomplete
from ducklift.sources.base import Batch, ReadReport, Record, SweepRule
from ducklift.sources.reddit_client import RedditClient
from ducklift.specs import Blanking

INFO_PATH = "api/info"
IDS_PER_REQUEST = 100
# What Reddit puts in the place of an author and a text that are gone.
GONE_WORDS = frozenset({"[deleted]", "[removed]", "[deleted by user]", "[ Removed by Reddit ]", "[removed by reddit]"})

# What says nothing of what somebody wrote, nor of who it was; everything else is taken out, whatever Reddit adds.
_KEPT = (
    "id", "name", "created", "created_utc", "edited", "subreddit", "subreddit_id", "subreddit_name_prefixed", "subreddit_type",
    "subreddit_subscribers", "link_id", "parent_id", "depth", "score", "ups", "downs", "upvote_ratio", "num_comments", "num_crossposts",
    "total_awards_received", "gilded", "controversiality", "over_18", "spoiler", "is_self", "is_video", "is_gallery",
    "is_original_content", "is_submitter", "locked", "stickied", "pinned", "archived", "contest_mode", "quarantine", "collapsed",
    "score_hidden", "removed_by_category",
)  # fmt: skip
SWEEP = SweepRule("created_utc", Blanking(keep=_KEPT, values=dict.fromkeys(("author", "title", "selftext", "body"), "[deleted]")))


def read_again(client: RedditClient, stream: str, known: Iterable[list[str]], report: ReadReport) -> Iterator[Batch]:
    """Yield the known things as they stand now; those that Reddit no longer tells of are counted in the report.

    Raises `ExtractionIncomplete` when it tells of none, or of others: a broken answer is no sign that everything is gone.
    """
    told = report.request = {"path": INFO_PATH, "asked": 0, "answered": 0, "missing": 0, "pages": 0}
    for names, records in _answers(client, stream, known):
        told["asked"] += len(names)
        told["answered"] += len(records)
        told["missing"] += len(names) - len(records)
        told["pages"] += 1
        if records:
            yield records
    if told["asked"] and not told["answered"]:
        raise ExtractionIncomplete(f"{stream}: Reddit told nothing of all {told['asked']} posts that it was asked about.")


def find_gone(client: RedditClient, stream: str, known: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield for each request how many things it asked about, and the names of those that are gone."""
    for names, records in _answers(client, stream, known):
        there = {str(record["name"]) for record in records if not is_gone(record)}
        yield len(names), [name for name in names if name not in there]


def is_gone(record: Record) -> bool:
    """Tell whether a post or comment was deleted by its author or taken down; a missing author alone may be an account that is gone."""
    if record.get("removed_by_category"):
        return True
    texts = (record.get("title"), record.get("selftext"), record.get("body"))
    return any(text in GONE_WORDS for text in texts)


def _answers(client: RedditClient, stream: str, known: Iterable[list[str]]) -> Iterator[tuple[list[str], list[Record]]]:
    waiting = chain.from_iterable(known)
    while names := list(islice(waiting, IDS_PER_REQUEST)):
        records = client.page(stream, INFO_PATH, {"id": ",".join(names), "raw_json": 1}).records
        answered = [record.get("name") for record in records]
        strangers = [str(name)[:20] for name in answered if name not in names]
        if strangers or len(set(answered)) < len(answered):
            raise ExtractionIncomplete(f"{stream}: Reddit was asked about {len(names)} posts and answered about others: {strangers[:3]}.")
        yield names, records
