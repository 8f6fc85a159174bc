"""The streams of a Reddit source: what each is named, what people configure of it, and which listing it reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ducklift.specs import Spec

Kind = Literal["subreddit", "user", "search", "refresh", "comments"]
SearchOrder = Literal["new", "relevance", "hot", "top", "comments"]
TimeFilter = Literal["hour", "day", "week", "month", "year", "all"]

REFRESH = "refresh:posts"
# `u_name` is the subreddit of a user's own page.
SUBREDDIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{1,20}|u_[A-Za-z0-9_-]{1,20}")
USER = re.compile(r"[A-Za-z0-9_-]{2,20}")


class Search(Spec):
    """One search, in all of Reddit or in one subreddit; `name` is what its stream is called, the query itself unless set."""

    query: str = Field(min_length=1, max_length=512, description="As in Reddit's own search field.")
    subreddit: str | None = Field(default=None, description="Only there; absent: all of Reddit.")
    sort: SearchOrder = Field(default="new", description="Only 'new' can be read incrementally.")
    time_filter: TimeFilter = "all"
    name: str | None = Field(default=None, min_length=1, max_length=100)

    @property
    def label(self) -> str:
        """Return what stands for the search in names."""
        return self.name or (f"{self.subreddit}/{self.query}" if self.subreddit else self.query)


@dataclass(frozen=True)
class Stream:
    """One stream: what kind of listing, and whose."""

    name: str
    kind: Kind
    subject: str


def checked_names(names: Sequence[str], what: str, prefix: str) -> None:
    """Raise ValueError for names that a subreddit or user could not have by their form, or that stand there twice."""
    example = "dataengineering" if what == "subreddit" else "some_user"
    for name in names:
        if hint := re.fullmatch(rf"/?{prefix}/([^/]+)/?", name):
            raise ValueError(f"{name!r}: write the name without {prefix}/, as {hint[1]!r}")
        # A name that is merely impossible is refused when its stream is read, so that the others land.
        if not name.isprintable() or not name.strip() or "/" in name or len(name) > 100:
            raise ValueError(f"{name[:100]!r} is not the name of a {what}; write it without {prefix}/, for example {example!r}")
    folded = [name.casefold() for name in names]
    if twins := sorted({name for name in names if folded.count(name.casefold()) > 1}):
        raise ValueError(f"{what}s are named twice (Reddit does not tell case apart): {', '.join(twins)}")


def listed_options(name: str, title: str, what: str, configured: Sequence[str], least: int) -> dict[str, dict[str, Any]]:
    """Return the trigger form's field that chooses among configured names; `examples` is what makes Airflow show a list."""
    names = list(configured)
    return {
        name: {
            "type": "array",
            "title": title,
            "description": f"Which of the configured {what} to read.",
            "items": {"type": "string", "enum": names},
            "examples": names,
            "minItems": least,
            "uniqueItems": True,
            "default": names,
        }
    }
