"""The notes on raw files that were deleted on purpose: written before the first goes, and told when one is missed."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import orjson
from pydantic import ValidationError

from ducklift.errors import ManifestUnreadable, RawExpired
from ducklift.lake.layout import EXPIRED, expired_key
from ducklift.lake.store import Store
from ducklift.specs import Spec, TableName

Why = Literal["retention", "superseded"]


class Expiry(Spec):
    """Why and when a load's raw files went; `checkpoint` is the commit whose checkpoint holds what they brought."""

    table: TableName
    load_id: str
    why: Why
    expired_at: datetime
    checkpoint: int | None = None


def note_expiry(lake: Store, expiry: Expiry) -> None:
    """Note that a load's raw files are about to go; the first note stands."""
    lake.create(expired_key(expiry.table, expiry.load_id), orjson.dumps(expiry.model_dump(mode="json"), option=orjson.OPT_INDENT_2))


def read_expiry(lake: Store, table: TableName, load_id: str) -> Expiry | None:
    """Return the note on a load, or None when its raw files were never deleted."""
    key = expired_key(table, load_id)
    data = lake.read(key)
    if data is None:
        return None
    try:
        return Expiry.model_validate_json(data)
    except ValidationError as err:
        raise ManifestUnreadable(lake.url_of(key), "the note was damaged outside Ducklift; restore it from a copy of the lake.") from err


def any_expired(lake: Store, table: TableName) -> bool:
    """Return whether raw files of the table were ever deleted on purpose."""
    return next(iter(lake.list(f"{EXPIRED}{table}/")), None) is not None


def refuse_expired(lake: Store, table: TableName, load_id: str, url: str) -> None:
    """Raise `RawExpired` when the load's raw files were deleted on purpose; called when one of them is missed."""
    expiry = read_expiry(lake, table, load_id)
    if expiry is not None:
        raise RawExpired(url, expiry.expired_at.isoformat(timespec="seconds"), expiry.why, expiry.checkpoint)
