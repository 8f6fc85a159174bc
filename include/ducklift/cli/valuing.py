"""`ducklift asset`: the values in storage: which there are, their versions, what one looks like, and moving between versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ducklift.assets.errors import ValueMissing
from ducklift.cli.outcome import Json, note, print_json
from ducklift.cli.tabular import Heading, console, print_table
from ducklift.errors import ConfigurationError
from ducklift.safe_text import visible
from ducklift.settings import load_settings

if TYPE_CHECKING:
    from ducklift.assets.versions import Version, VersionStore

verbs = typer.Typer(no_args_is_help=True, help="Stored values: list them, show one, see its versions, go back to one.")

_Key = Annotated[str, typer.Argument(metavar="KEY", help="The asset's key, such as top_posts or raw/posts.")]
_Partition = Annotated[str | None, typer.Option("--partition", "-p", metavar="KEY", help="One partition of it.")]
_Manager = Annotated[str | None, typer.Option("--manager", help="The manager that keeps it; the one that stored it when absent.")]
_ROWS = 20


@contextmanager
def _versions(manager: str | None = None, key: str | None = None) -> Iterator[VersionStore]:
    from ducklift.assets.path_manager import PathIOManager
    from ducklift.assets.storage import Storage

    with Storage(load_settings()) as storage:
        name = manager or (storage.manager_key_of(key) if key else storage.default)
        found = storage.manager(name)
        if not isinstance(found, PathIOManager):
            raise ConfigurationError(f"The manager {name!r} keeps no versions. Values of type duckdb are tables: ducklift tables.")
        yield found.versions


@verbs.command("list")
def list_assets(manager: _Manager = None, as_json: Json = False) -> None:
    """List the assets that have values, with their partitions and current versions."""
    with _versions(manager) as versions:
        found = [(key, partition) for key in sorted(versions.keys()) for partition in versions.partitions(key)]
        known = [_current(versions, key, partition) for key, partition in found]
    current, gone = (
        [each for each in known if not isinstance(each, ValueMissing)],
        [each for each in known if isinstance(each, ValueMissing)],
    )
    if as_json:
        print_json({"assets": [_facts(each) for each in current], "missing": [str(each) for each in gone]})
        return
    if not known:
        note("Nothing is stored yet. An asset is stored when its function has run: see docs/assets.md.")
        return
    headings = [Heading("asset", whole=True), Heading("partition"), Heading("version", whole=True), Heading("form"), Heading("bytes", True)]
    print_table(
        console(), headings, [[each.key, each.partition, each.version, each.serializer, f"{each.size_bytes:,}"] for each in current]
    )
    for each in gone:
        note(str(each))


def _current(versions: VersionStore, key: str, partition: str | None) -> Version | ValueMissing:
    """Return the current version, or what is to be told where a deletion sweep took it away."""
    try:
        return versions.version(key, partition)
    except ValueMissing as err:
        return err


@verbs.command("versions")
def list_versions(key: _Key, partition: _Partition = None, manager: _Manager = None, as_json: Json = False) -> None:
    """List the versions of one value, the newest first; the current one is marked."""
    with _versions(manager, key) as versions:
        found, pointer, current = versions.versions(key, partition), versions.pointer(key, partition), versions.current(key, partition)
    if as_json:
        print_json({"versions": [{**_facts(each), "current": each.version == current} for each in found]})
        return
    if not found:
        note(f"{key} is not stored{f' in partition {partition}' if partition else ''}.")
        return
    headings = [Heading(""), Heading("version", whole=True), Heading("written"), Heading("form"), Heading("bytes", True), Heading("run")]
    rows = [
        ["*" if each.version == current else "", each.version, f"{each.written_at:%Y-%m-%d %H:%M:%S}", each.serializer,
         f"{each.size_bytes:,}", each.run_id] for each in found
    ]  # fmt: skip
    print_table(console(), headings, rows)
    if pointer and pointer.pinned:
        note("The current version is pinned: writes do not move it. ducklift asset unpin lets them.")


@verbs.command()
def show(
    key: _Key,
    partition: _Partition = None,
    version: Annotated[str | None, typer.Option("--version", help="A version's id; the current one when absent.")] = None,
    as_of: Annotated[datetime | None, typer.Option("--as-of", help="The version that was current at this time, in UTC.")] = None,
    manager: _Manager = None,
    as_json: Json = False,
) -> None:
    """Show what is stored: the version's facts, and the value, or its first rows."""
    from ducklift.assets.value_loader import AssetValueLoader

    with _versions(manager, key) as versions:
        found = versions.version(key, partition, version, as_of)
    if as_json:
        print_json(_facts(found))
        return
    rows = [[name, str(value)] for name, value in _facts(found).items() if name != "metadata"]
    print_table(console(), [Heading("", whole=True), Heading(key)], [*rows, *([name, str(told)] for name, told in found.metadata.items())])
    with AssetValueLoader() as loader:
        value = loader.load_asset_value(key, partition_key=partition, version=found.version, io_manager_key=manager)
    for line in _first_lines(value).splitlines():
        typer.echo(visible(line))


@verbs.command()
def rollback(
    key: _Key,
    version: Annotated[str, typer.Argument(help="The version to go back to: ducklift asset versions KEY.")],
    partition: _Partition = None,
    manager: _Manager = None,
) -> None:
    """Make an earlier version the current one; nothing is deleted, and the next write moves on from there."""
    with _versions(manager, key) as versions:
        versions.roll_back(key, partition, version)
    note(f"{key} is at {version} now.")


@verbs.command()
def compare(
    key: _Key,
    first: Annotated[str, typer.Argument(help="A version: ducklift asset versions KEY.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    partition: _Partition = None,
    manager: _Manager = None,
    as_json: Json = False,
) -> None:
    """Show what two versions differ in, and for tables how many rows only one of them has."""
    with _versions(manager, key) as versions:
        found = {name: list(pair) for name, pair in versions.compare(key, partition, first, second).items()}
        form = versions.version(key, partition, first).serializer
    if form == versions.version(key, partition, second).serializer == "parquet":
        found["rows that the other lacks"] = _lone_rows(key, partition, (first, second), manager)
    if as_json:
        print_json({"differences": found})
        return
    print_table(console(), [Heading(""), Heading(first), Heading(second)], [[name, *map(str, pair)] for name, pair in found.items()])


def _lone_rows(key: str, partition: str | None, pair: tuple[str, str], manager: str | None) -> list[Any]:
    """Return how many rows each of two tables has that the other lacks; None for tables of other columns."""
    import duckdb
    import pyarrow as pa

    from ducklift.assets.value_loader import AssetValueLoader

    with AssetValueLoader() as loader, duckdb.connect() as connection:
        for name, version in zip(("first", "second"), pair, strict=True):
            table = loader.load_asset_value(key, partition_key=partition, version=version, io_manager_key=manager, as_type=pa.Table)
            connection.register(name, table)
        try:
            counted = "SELECT count(*) FROM (FROM {} EXCEPT ALL FROM {})"
            return [connection.sql(counted.format(*sides)).fetchall()[0][0] for sides in (("first", "second"), ("second", "first"))]
        except duckdb.Error:
            return [None, None]


@verbs.command()
def clean(
    older_than: Annotated[str, typer.Option(help="Values of XCom older than this, e.g. 30d.")],
    manager: _Manager = None,
) -> None:
    """Delete old values of XCom that Airflow's own cleaning of its database left behind."""
    from ducklift.specs import duration_s

    try:
        age = timedelta(seconds=duration_s(older_than))
    except ValueError as err:
        raise ConfigurationError(f"--older-than: {err}") from err
    with _versions(manager) as versions:
        gone = versions.clean("xcom/", age)
    note(f"{gone} value(s) of XCom are deleted.")


@verbs.command()
def pin(
    key: _Key,
    version: Annotated[str | None, typer.Argument(help="The version to stay at; the current one when absent.")] = None,
    partition: _Partition = None,
    manager: _Manager = None,
) -> None:
    """Keep a version current whatever is written, until it is unpinned."""
    with _versions(manager, key) as versions:
        move = versions.pin(key, partition, version)
    note(f"{key} stays at {move.version} until: ducklift asset unpin {key}")


@verbs.command()
def unpin(key: _Key, partition: _Partition = None, manager: _Manager = None) -> None:
    """Let writes move the current version again, and make the newest one current."""
    with _versions(manager, key) as versions:
        move = versions.unpin(key, partition)
    note(f"{key} is at {move.version} now.")


@verbs.command()
def expire(
    key: _Key,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay.")],
    older_than: Annotated[str, typer.Option(help="Only versions older than this, e.g. 30d.")] = "0s",
    partition: _Partition = None,
    manager: _Manager = None,
) -> None:
    """Delete old versions of a value; the current one always stays."""
    from ducklift.specs import duration_s

    try:
        age = timedelta(seconds=duration_s(older_than))
    except ValueError as err:
        raise ConfigurationError(f"--older-than: {err}") from err
    with _versions(manager, key) as versions:
        gone = versions.expire(key, partition, keep, age)
    note(f"{len(gone)} version(s) of {key} are deleted.")


def _facts(version: Version) -> dict[str, Any]:
    return version.model_dump(mode="json", exclude={"record_version", "file"})


def _first_lines(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    head = getattr(value, "slice", None) if hasattr(value, "num_rows") else None
    text = str(head(0, _ROWS).to_pandas()) if head and _has_pandas() else str(value)
    return text if len(text) < 4_000 else f"{text[:4_000]} …"


def _has_pandas() -> bool:
    from importlib.util import find_spec

    return find_spec("pandas") is not None
