"""Who asks in the tests of the page, as `authorize` functions."""

from __future__ import annotations

from typing import Any

from ducklift.web.security import NotLoggedIn, Visitor

ANYBODY = Visitor("anna", may_read=lambda _pipeline: True, may_run=lambda _pipeline: True)
READER = Visitor("rita", may_read=lambda _pipeline: True, may_run=lambda _pipeline: False)


async def anybody(_request: Any) -> Visitor:
    return ANYBODY


async def reader(_request: Any) -> Visitor:
    return READER


async def nobody(_request: Any) -> Visitor:
    raise NotLoggedIn


async def broken(_request: Any) -> Visitor:
    raise RuntimeError("the database with the users is gone: password=hunter2")


async def careless(_request: Any) -> Any:
    return None
