"""Writing an extraction's files: split by the records' dates, rotated, bounded memory, fsynced, hashed; a package is complete or not there.

A package is the folder `<spool>/<dataset>/<table>/<load_id>/<attempt>/` with the raw files and, written last, `manifest.json`: the very
bytes that the upload puts. Two attempts at one load never share a folder.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from ducklift.batches import Batch, JsonLines
from ducklift.errors import ContractBroken, DiskFull
from ducklift.failpoints import reach
from ducklift.lake.file_reading import FileDuckDB, count_rows
from ducklift.lake.formats import OpenFile, encoder_of
from ducklift.lake.hashed_file import file_sha256 as file_sha256, synced
from ducklift.lake.manifest import Manifest, RawFile
from ducklift.lake.privacy import Privacy
from ducklift.lake.records import without_surrogates
from ducklift.lake.spool_place import MANIFEST_NAME, PackageName, SpoolPlace, file_name
from ducklift.lake.store import NO_SPACE
from ducklift.lake.templates import FileFacts, Layout
from ducklift.source_files import FileFormat, ReadOptions, SourceFile, kind_of

ROTATE_BYTES = 32 * 2**20  # s3fs holds a file it puts in memory twice, and a step has 200 MB for any number of records
ROTATE_ROWS = 1_000_000
OPEN_FILES = 32  # at most, when records are split by their dates; the one that waited longest is closed for the next
FILE_ID_LENGTH, LONE_FILE_ID_LENGTH = 12, 20  # hex digits: beside the load's id, and without it

Partition = tuple[str, ...]


class SpoolWriter:
    """Writes batches to the rotated files of one package; memory stays at one batch and what a format has to hold back.

    Use as a context manager: when the body raises, everything written is removed. Dict batches are changed in place by `privacy`.
    """

    def __init__(self, place: SpoolPlace, layout: Layout, facts: FileFacts, privacy: Privacy) -> None:
        self.layout, self.facts, self.privacy = layout, facts, privacy
        self.rows = 0
        self.files: list[RawFile] = []
        self.read: ReadOptions | None = None
        """How the files that were taken whole are to be read."""
        self._place, self._encoder = place, encoder_of(facts.extension)
        name, attempt = PackageName(facts.table, facts.load_id), uuid.uuid4().hex[:12]
        self._package, self._building = place.package(name, attempt), place.building(name, attempt)
        self._reader = FileDuckDB(self._building)
        self._open: dict[Partition, OpenFile] = {}
        self._opened = 0
        self._file_ids: set[str] = set()
        self._key_tuples: set[tuple[Any, ...]] = set()
        self._fields: dict[str, None] = {}

    def __enter__(self) -> SpoolWriter:
        with self._no_space_named():
            self._building.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._reader.close()
        if kind is not None:
            for file in self._open.values():
                file.abandon()
            shutil.rmtree(self._building, ignore_errors=True)

    @property
    def format(self) -> FileFormat:
        """Return the format of the files; of those that were taken whole, the first one's."""
        return next((file.format for file in self.files if file.format), cast(FileFormat, self.facts.extension))

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of all top-level fields written so far, in the order they came."""
        return tuple(self._fields)

    @property
    def field_types(self) -> Mapping[str, str]:
        """Return the Arrow types of the fields, where the format has types."""
        return self._encoder.field_types

    @property
    def value_kinds(self) -> Mapping[str, tuple[str, ...]]:
        """Return what kinds of values the fields had, as far as that is known of all records."""
        return self._encoder.value_kinds

    @property
    def surrogates_replaced(self) -> int:
        """Return how many lone surrogates became U+FFFD so far."""
        return self._encoder.surrogates_replaced

    def write(self, batch: Batch | JsonLines) -> None:
        """Append a batch of records, of lines, or an Arrow table."""
        if isinstance(batch, JsonLines):
            if self.facts.extension.startswith("jsonl") and not self.privacy and not self.layout.record_fields:
                self.write_lines(batch.lines, batch.fields)
                return
            batch = batch.to_pylist()
        if not isinstance(batch, list):
            batch = self._table_of(batch)
        if not len(batch):
            return
        if self.privacy:
            batch = self.privacy.applied(batch)
        self._note_fields(batch)
        with self._no_space_named():
            for partition, part in self._split(batch):
                for piece in self._encoder.pieces(part):
                    self._write_piece(partition, piece)
        self.rows += len(batch)
        reach("extract.batch_written")

    def take(self, file: SourceFile) -> None:
        """Take a source's file as it is: a copy of its bytes, or a reference where it is used in place."""
        others = {kind_of(taken.format) for taken in self.files if taken.format} - {kind_of(file.format)}
        if others:
            reason = f"{file.origin.url} is {kind_of(file.format)}, others of this load are {others.pop()}. Give each format a pipeline"
            raise ContractBroken(str(self.facts.table), reason)
        if self.privacy:
            reason = "files are taken unaltered, so that no column of theirs can have `pii`"
            raise ContractBroken(str(self.facts.table), reason)
        with self._no_space_named():
            taken = self._referred(file) if file.origin.in_place else self._copied(file)
        self.files.append(taken)
        self.read = file.read
        self.rows += taken.rows
        reach("extract.file_closed")

    def _referred(self, file: SourceFile) -> RawFile:
        facts: dict[str, Any] = {
            "format": file.format,
            "origin": file.origin,
            "values": dict(file.values),
            "counted": file.rows is not None,
        }
        return RawFile(key=file.origin.url, size_bytes=file.origin.size_bytes, sha256="", rows=file.rows or 0, **facts)

    def _copied(self, file: SourceFile) -> RawFile:
        self._opened += 1
        # In a folder of its own, since counting may spill; its name tells readers nothing, whatever the source calls it.
        local = self._building / f"taken-{self._opened:06d}" / f"file.{file.format}"
        local.parent.mkdir()
        file.fetch(local)
        counted = count_rows(self._reader, local, file.format, file.read, file.origin.url)
        sha256 = file_sha256(local)
        key = self.layout.key(replace(self.facts, extension=file.format), self._file_id(sha256))
        kept = local.rename(self._building / file_name(key))
        shutil.rmtree(local.parent)
        with kept.open("rb+") as source:
            synced(source)
        facts: dict[str, Any] = {"format": file.format, "origin": file.origin, "values": dict(file.values)}
        sizes: dict[str, Any] = {"rows": counted.rows, "longest_record_bytes": counted.longest_record_bytes}
        return RawFile(key=key, size_bytes=kept.stat().st_size, sha256=sha256, **sizes, **facts)

    def write_lines(self, lines: list[bytes], fields: Iterable[str]) -> None:
        """Append records that are JSON lines already, byte for byte; for `jsonl` formats and layouts without dates of records."""
        self._fields.update(dict.fromkeys(fields))
        self._encoder.kinds.forget()
        with self._no_space_named():
            self._write_piece((), lines)
        self.rows += len(lines)
        reach("extract.batch_written")

    def close(self) -> tuple[RawFile, ...]:
        """Close the files that are open and return all files."""
        self._reader.close()
        with self._no_space_named():
            for partition in list(self._open):
                self._close_file(partition)
        return tuple(self.files)

    def finish(self, manifest: Manifest) -> str:
        """Write the manifest, publish the package and return its path; raises FileNotFoundError when it was swept away."""
        with self._no_space_named():
            with (self._building / MANIFEST_NAME).open("wb") as target:
                target.write(manifest.to_bytes())
                synced(target)
            reach("extract.manifest_written")
            self._place.publish(self._building, self._package, manifest.files)
        reach("extract.packaged")
        return self._package

    def _table_of(self, batch: Any) -> Any:
        import pyarrow as pa

        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        names = table.column_names
        twins = sorted({name for name in names if names.count(name) > 1})
        if twins:
            raise ContractBroken(str(self.facts.table), f"the source yields several columns of one name: {', '.join(twins)}")
        return table

    def _note_fields(self, batch: Batch) -> None:
        tuples = dict.fromkeys(map(tuple, batch)) if isinstance(batch, list) else {tuple(batch.schema.names): None}
        for names in tuples:
            if names not in self._key_tuples:
                # Records whose fields are never the same twice would fill the memory with combinations.
                if len(self._key_tuples) > 10_000:
                    self._key_tuples.clear()
                self._key_tuples.add(names)
                self._fields.update(dict.fromkeys(without_surrogates(str(name)) for name in names))
                if not self._encoder.tells_names_apart:
                    self._refuse_ambiguous_names()

    def _refuse_ambiguous_names(self) -> None:
        """Raise `ContractBroken` for names that the format's readers take for one, before a value is lost."""
        twins = sorted(name for name in self._fields if not name or sum(name.lower() == other.lower() for other in self._fields) > 1)
        if twins:
            reason = f"{self.facts.extension} cannot hold fields that are named {', '.join(map(repr, twins))}. Write format: jsonl.gz."
            raise ContractBroken(str(self.facts.table), reason)

    def _split(self, batch: Batch) -> Iterator[tuple[Partition, Batch]]:
        """Yield the batch by the dates of its records, as far as the layout asks for it."""
        fields = self.layout.record_fields
        if not fields:
            yield (), batch
        elif isinstance(batch, list):
            records: dict[Partition, list[dict[str, Any]]] = {}
            for record in batch:
                records.setdefault(self.layout.partition([record.get(field) for field in fields]), []).append(record)
            yield from records.items()
        else:
            places: dict[Partition, list[int]] = {}
            names = set(batch.schema.names)
            columns = [batch.column(field).to_pylist() if field in names else [None] * batch.num_rows for field in fields]
            for place, values in enumerate(zip(*columns, strict=True)):
                places.setdefault(self.layout.partition(values), []).append(place)
            for partition, chosen in places.items():
                yield partition, batch.take(chosen)

    def _write_piece(self, partition: Partition, piece: Any) -> None:
        file = self._open.pop(partition, None)
        if file is not None and not file.takes(piece):
            self._open[partition] = file
            self._close_file(partition)
            file = None
        if file is None:
            if len(self._open) >= OPEN_FILES:
                self._close_file(next(iter(self._open)))
            self._opened += 1
            file = self._encoder.open(self._building / f"part-{self._opened:06d}", OPEN_FILES if self.layout.record_fields else 1)
        self._open[partition] = file  # now the last of all: the first is the one that waited longest
        file.write(piece)
        if file.size_bytes >= ROTATE_BYTES or file.rows >= ROTATE_ROWS:
            self._close_file(partition)

    def _close_file(self, partition: Partition) -> None:
        file = self._open[partition]
        written = file.close()
        del self._open[partition]
        key = self.layout.key(self.facts, self._file_id(written.sha256), partition)
        file.path.rename(self._building / file_name(key))
        self.files.append(written.model_copy(update={"key": key}))
        reach("extract.file_closed")

    def _file_id(self, sha256: str) -> str:
        """Return a name that derives from the content, and from the load where the layout does not name it.

        A key is thus never shared by two loads, of which one may be deleted, nor by two files of a load with the same content.
        """
        length = FILE_ID_LENGTH
        if not self.layout.names_the_load:
            sha256, length = hashlib.sha256(f"{self.facts.load_id}/{sha256}".encode()).hexdigest(), LONE_FILE_ID_LENGTH
        while sha256[:length] in self._file_ids:
            sha256 = hashlib.sha256(sha256.encode()).hexdigest()
        self._file_ids.add(sha256[:length])
        return sha256[:length]

    @contextmanager
    def _no_space_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            if err.errno in NO_SPACE:
                raise DiskFull(str(self._building), "spooling the extraction (DUCKLIFT_SPOOL)") from err
            raise
