"""What all stores' credentials have in common: the connection `ducklift_lake`, and going without any at a public bucket."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from ducklift.errors import MissingExtra
from ducklift.settings import Connection, Settings

CONNECTION = "ducklift_lake"
ANONYMOUS = "DUCKLIFT_LAKE_ANONYMOUS"
EXPECTED_OWNER = "DUCKLIFT_EXPECTED_BUCKET_OWNER"
# Every store's own; a load must never hang on a server that went silent.
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 60


def lake_connection(settings: Settings) -> Connection:
    """Return the connection `ducklift_lake`; an empty one stands for none."""
    return settings.connections(CONNECTION) or Connection()


def environments_keys(settings: Settings) -> Mapping[str, str]:
    """Return the environment where it is to be asked for keys: not where the connection exists, whose keys alone count."""
    return {} if settings.connections(CONNECTION) else settings.environment


def is_anonymous(settings: Settings) -> bool:
    """Tell whether requests go unsigned, as a public bucket admits them: `anonymous` in the connection's extra, or the environment."""
    return is_set(lake_connection(settings).extra.get("anonymous")) or is_set(settings.environment.get(ANONYMOUS))


def is_set(value: object) -> bool:
    """Tell whether a switch is on; forms and environments write it in words."""
    return str(value or "").strip().lower() in {"1", "true", "yes", "on"}


def require_extra(what: str, package: str, extra: str) -> None:
    """Raise `MissingExtra` when an optional package is not installed; it is not imported."""
    if find_spec(package) is None:
        raise MissingExtra(what, package, extra)
