"""Every route of an app as a request that would reach it, found by walking the app itself, so that a new one is among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from starlette.routing import BaseRoute, Mount, Route

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def requests_of(app: Any) -> list[tuple[str, str]]:
    """Return method and path of each route, and of one that does not exist."""
    found = [*requests_below(app.routes), *((method, "/no-such-route") for method in METHODS)]
    assert len(found) > len(METHODS)
    return found


def requests_below(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Route):
            path = prefix + re.sub(r"\{[^}]*\}", lambda part: "1" if ":int" in part[0] else "x", route.path)
            yield from ((method, path) for method in METHODS)
        else:
            assert isinstance(route, Mount), f"{route!r} is of a kind that this walk does not know"
            yield from requests_below(route.routes, prefix + route.path)
            yield from ((method, f"{prefix}{route.path}/x") for method in METHODS)
