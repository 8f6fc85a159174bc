"""Names of stored values: an asset's key, a partition's key, a version's id, and where each lies under `assets/`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from urllib.parse import quote

from ducklift.assets.errors import AssetMisnamed

ASSETS = "assets/"
UNPARTITIONED = "_all"
VERSION_ID = r"^[0-9]{8}T[0-9]{12}Z-[0-9a-f]{8}-[0-9a-f]{12}$"
LONGEST_NAME = 255  # bytes of one name in a path, for every filesystem

PartitionKey = str | date | datetime | Mapping[str, str | date | datetime]

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_PLAIN = "-_."  # what stands in a path unquoted, besides letters and digits


def in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC, which is also what one without a zone is, whatever the machine's own."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def asset_key(key: str | Sequence[str]) -> str:
    """Return an asset's key, `name` or `folder/name`; raises `AssetMisnamed` for what could leave its folder or hide."""
    text = key if isinstance(key, str) else "/".join(key)
    segments = text.split("/")
    if not all(_SEGMENT.fullmatch(segment) for segment in segments) or any(".." in segment for segment in segments):
        raise AssetMisnamed(
            f"{text[:200]!r} is not an asset's key: write letters, digits, '_', '-' and '.', with '/' between parts, as in 'raw/posts'."
        )
    return text


def partition_key(key: PartitionKey | None) -> str | None:
    """Return a partition's key as text: a date as ISO 8601, several dimensions as `day=2026-01-01|region=eu`, in their names' order."""
    if key is None:
        return None
    if isinstance(key, Mapping):
        if not key:
            raise AssetMisnamed("A partition of several dimensions names none; write for example {'day': '2026-01-01', 'region': 'eu'}.")
        return "|".join(f"{name}={_dimension(name, key[name])}" for name in sorted(key))
    text = key.isoformat() if isinstance(key, date) else key
    if not isinstance(text, str) or not text or not text.isprintable():
        raise AssetMisnamed(f"{text!r} is not a partition's key; write for example '2026-01-01'.")
    return text


def _dimension(name: str, value: str | date | datetime) -> str:
    text = partition_key(value) or ""
    if "|" in text or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise AssetMisnamed(
            f"{name!r}: {text!r} cannot be a dimension of a partition: '|' separates dimensions, and names are plain words."
        )
    return text


def partition_folder(partition: str | None) -> str:
    """Return the folder of a partition: the key itself where a path can carry it, else quoted; long ones end in a hash of the whole."""
    if partition is None:
        return UNPARTITIONED
    quoted = quote(partition, safe=_PLAIN)
    if quoted.startswith((".", "_")):
        quoted = f"%{ord(quoted[0]):02X}{quoted[1:]}"  # `.`, `..` and the folders of the house
    if len(quoted) > LONGEST_NAME:
        quoted = f"{quoted[:180]}-{hashlib.sha256(partition.encode()).hexdigest()[:32]}"
    return quoted


def partition_prefix(key: str, partition: str | None) -> str:
    """Return the prefix of everything stored for one partition of an asset."""
    return f"{ASSETS}{key}/{partition_folder(partition)}/"


def version_prefix(key: str, partition: str | None, version: str) -> str:
    """Return the prefix of one version of a value."""
    return f"{partition_prefix(key, partition)}{version}/"


def derived_key(table: str, key: str) -> str:
    """Return the key that tells that versions of an asset were made of a table's rows."""
    return f"{ASSETS}_derived/{table}/{key}.json"


def version_id(moment: datetime, run_id: str, sha256: str) -> str:
    """Return a version's id: when it was written (UTC), by which run, and what it holds."""
    run = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S%f}Z-{run}-{sha256[:12]}"


def is_version_id(text: str) -> bool:
    """Return whether a text is the id of a version, and nothing that could lead out of its folder."""
    return re.fullmatch(VERSION_ID, text) is not None
