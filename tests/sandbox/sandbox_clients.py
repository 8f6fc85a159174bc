"""Clients of the sandbox, as its users have them: PRAW and s3fs."""

from __future__ import annotations

from typing import Any

import praw
import s3fs

from ducklift.sandbox import Sandbox


def reddit_client(sandbox: Sandbox) -> praw.Reddit:
    environment = sandbox.environment
    return praw.Reddit(
        client_id=environment["REDDIT_CLIENT_ID"],
        client_secret=environment["REDDIT_CLIENT_SECRET"],
        user_agent=environment["REDDIT_USER_AGENT"],
        reddit_url=environment["praw_reddit_url"],
        oauth_url=environment["praw_oauth_url"],
        check_for_updates=False,
    )


def s3_client(sandbox: Sandbox) -> s3fs.S3FileSystem:
    environment = sandbox.environment
    return s3fs.S3FileSystem(
        key=environment["AWS_ACCESS_KEY_ID"],
        secret=environment["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        client_kwargs={"region_name": environment["AWS_REGION"]},
        use_listings_cache=False,
        skip_instance_cache=True,
    )


def fetch(reddit: praw.Reddit, path: str, **params: Any) -> Any:
    """Return the `data` of one page."""
    page: Any = reddit.request(method="GET", path=path, params=params)
    return page["data"]


def walk(reddit: praw.Reddit, path: str, **params: Any) -> list[dict[str, Any]]:
    """Return the posts of every page of a listing."""
    posts: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        data = fetch(reddit, path, limit=100, after=after, **params)
        posts += [child["data"] for child in data["children"]]
        after = data["after"]
        if after is None:
            return posts


def names(data: dict[str, Any]) -> list[str]:
    return [child["data"]["name"] for child in data["children"]]
