"""A table's whole state after one commit, as Parquet in the lake: where a rebuild starts once the raw files before it are gone.

`_ducklift/checkpoints/<dataset>.<table>/<sequence>/` holds the table, its rows of the system tables and, written last, `manifest.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson
from pydantic import ValidationError

from ducklift.errors import ManifestUnreadable
from ducklift.lake.commits import CommitRecord
from ducklift.lake.kept_files import KeptFile
from ducklift.lake.layout import checkpoint_key, checkpoint_prefix
from ducklift.lake.store import Store
from ducklift.specs import Spec, TableName

CHECKPOINT_VERSION = 1


class KeptTable(Spec):
    """One table of a checkpoint: its columns with their DuckDB types, in order, and the hash of its content."""

    table: TableName
    columns: dict[str, str]
    content_hash: str
    files: tuple[KeptFile, ...]


class Checkpoint(Spec):
    """The manifest of a checkpoint; `load_id` is the newest commit's, so that a checkpoint of another history is not taken for this one's.

    `tables` are the table itself and its child tables; `system` holds the files of each system table by its name.
    """

    checkpoint_version: int = CHECKPOINT_VERSION
    table: TableName
    sequence: int
    load_id: str
    made_at: datetime
    tables: tuple[KeptTable, ...]
    system: dict[str, tuple[KeptFile, ...]]

    @property
    def files(self) -> list[KeptFile]:
        """Return all files but the manifest."""
        return [file for files in (*(kept.files for kept in self.tables), *self.system.values()) for file in files]


def put_checkpoint(lake: Store, checkpoint: Checkpoint) -> None:
    """Put the manifest, which makes the checkpoint one."""
    data = orjson.dumps(checkpoint.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
    lake.replace(checkpoint_key(checkpoint.table, checkpoint.sequence), data)


def read_checkpoint(lake: Store, table: TableName, sequence: int) -> Checkpoint | None:
    """Return the checkpoint of this place in the table's order, or None; raises `ManifestUnreadable` on a damaged or newer one."""
    key = checkpoint_key(table, sequence)
    data = lake.read(key)
    if data is None:
        return None
    try:
        values = orjson.loads(data)
        if values["checkpoint_version"] > CHECKPOINT_VERSION:
            raise ManifestUnreadable(lake.url_of(key), f"its version is {values['checkpoint_version']}. Upgrade Ducklift.")
        return Checkpoint.model_validate(values)
    except (ValidationError, ValueError, LookupError, TypeError) as err:
        raise ManifestUnreadable(lake.url_of(key), "the checkpoint was damaged outside Ducklift; restore it, or delete it.") from err


def checkpoint_sequences(lake: Store, table: TableName) -> list[int]:
    """Return the places in the table's order of which there is a checkpoint, newest first."""
    prefix = checkpoint_prefix(table)
    places = [found.key.removeprefix(prefix).split("/") for found in lake.list(prefix)]
    return sorted((int(parts[0]) for parts in places if len(parts) == 2 and parts[1] == "manifest.json"), reverse=True)


def superseded_later(records: Sequence[CommitRecord], superseded: Mapping[str, str], sequence: int) -> list[CommitRecord]:
    """Return the loads up to `sequence` whose effect a later commit took out: a checkpoint of that place still has them.

    A superseding load that is not among the records is being committed now.
    """
    places = {record.load_id: record.sequence for record in records}
    return [
        record
        for record in records
        if record.sequence <= sequence and record.load_id in superseded and places.get(superseded[record.load_id], sequence + 1) > sequence
    ]
