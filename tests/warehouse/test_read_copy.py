from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from installations import Installation, sighting, sightings
from killing import killed_at

from ducklift.errors import ConfigurationError, ReadCopyFailed
from ducklift.failpoints import FailpointReached
from ducklift.pipeline import load
from ducklift.resets import reset_pipeline
from ducklift.warehouse.connect import open_warehouse
from ducklift.warehouse.rebuild import rebuild


@pytest.fixture
def copied(tmp_path) -> Installation:
    """An installation that keeps a copy for readers in a folder that is not there yet."""
    (tmp_path / "project").mkdir()
    return Installation(tmp_path / "project", environment={"DUCKLIFT_READ_COPY": str(tmp_path / "bi" / "copy.duckdb")})


def copy_of(installation: Installation) -> Path:
    return Path(installation.environment["DUCKLIFT_READ_COPY"])


def birds(file: Path) -> list[tuple[str]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute("SELECT id FROM nature.sightings ORDER BY id").fetchall()


def test_every_load_is_in_the_copy_when_it_ends(copied):
    copied.land(sightings(1))
    first = birds(copy_of(copied))
    copied.land(sightings(2), day=1)

    assert (first, birds(copy_of(copied))) == ([("s0001",)], [("s0001",), ("s0002",)])
    assert [path.name for path in copy_of(copied).parent.iterdir()] == ["copy.duckdb"]


def test_a_relative_copy_lies_in_the_project(tmp_path):
    installation = Installation(tmp_path, environment={"DUCKLIFT_READ_COPY": "bi/copy.duckdb"})
    installation.land(sightings(1))

    assert birds(tmp_path / "bi" / "copy.duckdb") == [("s0001",)]


def test_a_reader_that_holds_the_copy_keeps_it_and_blocks_no_load(copied):
    copied.land(sightings(1))
    with duckdb.connect(str(copy_of(copied)), read_only=True) as reader:
        reader.execute("BEGIN; FROM nature.sightings")
        before = copy_of(copied).stat().st_ino
        code = (
            "import sys, duckdb; sys.path[:0] = sys.argv[2:]; duckdb.connect(sys.argv[1], read_only=True).execute('FROM nature.sightings')"
        )
        subprocess.run([sys.executable, "-c", code, copy_of(copied)], check=True)

        copied.land(sightings(2), day=1)

        assert reader.execute("SELECT count(*) FROM nature.sightings").fetchall() == [(1,)]
    assert copy_of(copied).stat().st_ino != before
    assert len(birds(copy_of(copied))) == 2


def test_a_load_that_changed_nothing_leaves_the_copy_alone(copied):
    copied.land(sightings(1, 2))
    before = copy_of(copied).stat()

    assert copied.land(sightings(1, 2), day=1).rows_unchanged == 2
    copied.land([], day=2)

    after = copy_of(copied).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_copy_that_was_deleted_or_damaged_is_made_again(copied):
    copied.land(sightings(1))
    copy_of(copied).unlink()
    copied.land([], day=1)
    made_again = birds(copy_of(copied))
    copy_of(copied).write_bytes(b"not a database")
    copied.land([], day=2)

    assert made_again == birds(copy_of(copied)) == [("s0001",)]


def test_a_copy_that_fails_is_told_loses_nothing_and_is_made_by_the_next_try(copied):
    copy_of(copied).parent.write_text("a file where the folder should be")
    manifest = copied.put(pipeline := copied.pipeline(sightings(1)))
    with pytest.raises(ReadCopyFailed, match="The load is committed, but the read copy"):
        load(manifest, copied.settings, pipeline)
    landed = copied.rows()
    copy_of(copied).parent.unlink()

    again = load(manifest, copied.settings, pipeline)

    assert landed == [("s0001", "wren", 1)]
    assert (again.state, birds(copy_of(copied))) == ("already_loaded", [("s0001",)])


def test_a_quiet_load_makes_the_copy_that_the_one_before_could_not(copied, monkeypatch):
    monkeypatch.setenv("DUCKLIFT_FAILPOINTS", "load.read_copy_written:raise")
    with pytest.raises(FailpointReached):
        copied.land(sightings(1))
    monkeypatch.delenv("DUCKLIFT_FAILPOINTS")
    assert not copy_of(copied).exists()

    copied.land([], day=1)

    assert birds(copy_of(copied)) == [("s0001",)]


def test_a_killed_copying_leaves_the_last_copy_whole_and_its_rest_is_swept(copied):
    copied.land(sightings(1))
    pipeline = copied.pipeline(sightings(2))
    manifest = copied.put(pipeline, day=1)
    killed = killed_at("load.read_copy_written", load, manifest, copied.settings, pipeline)
    names = sorted(path.name for path in copy_of(copied).parent.iterdir())

    assert killed
    assert (birds(copy_of(copied)), len(names), names[0][:13]) == ([("s0001",)], 2, ".copy.duckdb.")
    load(manifest, copied.settings, pipeline)
    assert len(birds(copy_of(copied))) == 2
    assert [path.name for path in copy_of(copied).parent.iterdir()] == ["copy.duckdb"]


def test_the_log_of_a_program_that_wrote_to_the_copy_is_not_played_into_the_next(copied):
    copied.land(sightings(1))
    log = Path(f"{copy_of(copied)}.wal")
    log.write_bytes(b"left by a program that was killed")

    copied.land(sightings(2), day=1)

    assert not log.exists()
    assert len(birds(copy_of(copied))) == 2


def test_the_warehouse_stays_locked_while_it_is_copied(copied):
    copied.land(sightings(1))
    copy_of(copied).unlink()

    from ducklift.warehouse.read_copy import refresh_read_copy

    with open_warehouse(copied.settings) as warehouse:
        refresh_read_copy(warehouse, copied.settings)
        code = "import sys, duckdb; duckdb.connect(sys.argv[1])"
        other = subprocess.run([sys.executable, "-c", code, warehouse.database], capture_output=True, text=True, check=False)

    assert "Conflicting lock is held" in other.stderr
    assert copy_of(copied).exists()


@pytest.mark.parametrize(
    ("warehouse", "copy", "named"),
    [
        ("duckdb:///:memory:", "copy.duckdb", "only a DuckDB file can be copied"),
        ("md:analytics", "copy.duckdb", "'md:analytics'"),
        ("duckdb:.ducklift/warehouse.duckdb", ".ducklift/warehouse.duckdb", "the warehouse itself"),
    ],
)
def test_a_copy_that_cannot_be_is_refused_before_anything_is_loaded(tmp_path, warehouse, copy, named):
    installation = Installation(tmp_path, environment={"DUCKLIFT_WAREHOUSE_URL": warehouse, "DUCKLIFT_READ_COPY": copy})

    with pytest.raises(ConfigurationError, match=named):
        installation.land([sighting(1)])
    assert installation.rows() == []


def test_a_reset_and_a_rebuild_are_in_the_copy_when_they_end(copied):
    incremental = {"incremental": {"cursor": "seen"}}
    copied.land(sightings(1), **incremental)
    reset_pipeline(copied.pipeline(**incremental), copied.settings)
    with duckdb.connect(str(copy_of(copied)), read_only=True) as connection:
        moves = connection.execute("SELECT value FROM _ducklift.watermark_moves ORDER BY sequence").fetchall()

    with duckdb.connect(str(copy_of(copied))) as connection:
        connection.execute("DELETE FROM nature.sightings")
    rebuild(copied.lake, copied.settings, replacing=True)

    assert [value is None for (value,) in moves] == [False, True]
    assert birds(copy_of(copied)) == [("s0001",)]
