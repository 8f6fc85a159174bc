"""A table that is replaced whole, by several streams: one load brings them all, or nothing of it happens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from installations import TABLE, Installation, Record, sighting, sightings, slice_run
from listed_source import ListedSource
from runs import rebuild_anew, rebuilt_is_equal
from test_lake_alone import numbers

from ducklift.cli.summary import print_plans
from ducklift.dry_run import foretell
from ducklift.errors import ConfigurationError, ContractBroken, SourceUnavailable
from ducklift.load_streams import stream_under
from ducklift.pipeline import Pipeline, extract, load, resolved, run_pipeline
from ducklift.planning import Mode, Run
from ducklift.retrying import retry_quarantine
from ducklift.sources.base import TableDefaults
from ducklift.sources.registry import SOURCE_TYPES
from ducklift.summary import LoadSummary

REPLACED: dict[str, Any] = {"disposition": "replace", "primary_key": [], "incremental": None}
Streams = dict[str, list[list[Record]]]


def of(**streams: Sequence[Record]) -> Streams:
    return {name: [list(records)] if records else [] for name, records in streams.items()}


def replaced(installation: Installation, streams: Streams, day: int = 0, mode: Mode = "new", **spec: Any) -> LoadSummary:
    """Run the whole pipeline for one day, which is a single load."""
    pipeline = installation.pipeline(streams=streams, **{**REPLACED, **spec})
    run = Run(**{**vars(slice_run(day)), "mode": mode})
    [summary] = run_pipeline(pipeline, run, installation.settings).loads
    return summary


def ids(installation: Installation) -> list[str]:
    return [name for (name,) in installation.rows("id")]


def test_all_streams_of_the_table_are_one_load(installation: Installation) -> None:
    first = replaced(installation, of(birds=sightings(1, 2), owls=sightings(5)))
    assert (first.state, first.stream, first.rows_extracted, first.rows_inserted) == ("loaded", str(TABLE), 3, 3)
    assert ids(installation) == ["s0001", "s0002", "s0005"]

    second = replaced(installation, of(birds=sightings(3), owls=sightings(5, 6)), day=1)
    assert (second.rows_inserted, second.rows_deleted) == (3, 3)
    assert ids(installation) == ["s0003", "s0005", "s0006"]
    assert installation.query("SELECT count(*), count(DISTINCT stream) FROM _ducklift.loads") == [(2, 1)]
    rebuilt_is_equal(installation)


def test_the_manifest_tells_what_each_stream_was_asked(installation: Installation) -> None:
    replaced(installation, of(birds=sightings(1), owls=sightings(5)))

    told = installation.manifest(stream=str(TABLE))
    assert list(told["request"]) == ["birds", "owls"]
    assert [told["stream"], told["slice"]["stream"]] == [str(TABLE)] * 2


def test_when_one_stream_fails_the_old_table_stays_whole(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(installation, of(birds=sightings(1), owls=sightings(5)))
    read = ListedSource.read

    def failing(self, request, settings, report):
        yield from read(self, request, settings, report)
        if request.stream == "owls":
            raise SourceUnavailable("owls", "they sleep")

    monkeypatch.setattr(ListedSource, "read", failing)
    failed = replaced(installation, of(birds=sightings(2), owls=sightings(6)), day=1)
    assert (failed.state, ids(installation)) == ("failed", ["s0001", "s0005"])
    assert not installation.inconsistencies()

    monkeypatch.undo()
    monkeypatch.setitem(
        __import__("ducklift.sources.registry", fromlist=["SOURCE_TYPES"]).SOURCE_TYPES, "listed", "listed_source:ListedSource"
    )
    replaced(installation, of(birds=sightings(2), owls=sightings(6)), day=1)
    assert ids(installation) == ["s0002", "s0006"]


def test_a_stream_that_brings_nothing_counts_for_nothing_and_none_that_brings_something_is_refused(installation: Installation) -> None:
    replaced(installation, of(birds=sightings(1), owls=sightings(5)))

    replaced(installation, of(birds=[], owls=sightings(6)), day=1)
    assert ids(installation) == ["s0006"]
    pipeline = installation.pipeline(streams=of(birds=[], owls=[]), **REPLACED)
    empty = installation.put(pipeline, 2, str(TABLE))
    with pytest.raises(ContractBroken, match="allow_empty"):
        load(empty, installation.settings, pipeline)
    assert ids(installation) == ["s0006"]
    replaced(installation, of(birds=[], owls=[]), day=3, allow_empty=True)
    assert ids(installation) == []


def test_streams_of_two_replaced_tables_are_two_loads_and_a_table_of_its_own_keeps_its_stream(installation: Installation) -> None:
    streams = of(birds=sightings(1), cats=sightings(2), owls=sightings(3), dogs=sightings(4), bees=sightings(5))
    tables = [{"name": name, "table": "nature.pets"} for name in ("cats", "dogs")] + [{"name": "bees", "table": "nature.bees"}]
    pipeline = installation.pipeline(streams=streams, tables=tables, **REPLACED)

    assert pipeline.loads == {"nature.sightings": ("birds", "owls"), "nature.pets": ("cats", "dogs"), "bees": ("bees",)}
    summary = run_pipeline(pipeline, slice_run(), installation.settings)
    assert [(one.stream, one.table, one.rows_inserted) for one in summary.loads] == [
        ("nature.sightings", "nature.sightings", 2),
        ("nature.pets", "nature.pets", 2),
        ("bees", "nature.bees", 1),
    ]


def test_other_dispositions_keep_one_load_for_each_stream(installation: Installation) -> None:
    for disposition in ("append", "merge", "insert_only", "scd2"):
        pipeline = installation.pipeline(streams=of(birds=[], owls=[]), disposition=disposition)
        assert pipeline.loads == {"birds": ("birds",), "owls": ("owls",)}


def test_a_part_of_the_load_is_not_read_by_itself(installation: Installation) -> None:
    pipeline = installation.pipeline(streams=of(birds=sightings(1), owls=sightings(5)), **REPLACED)

    with pytest.raises(ConfigurationError, match=r"'owls' is not read by itself: name the stream 'nature\.sightings'"):
        extract(pipeline, "owls", slice_run(), installation.settings)
    assert installation.keys("raw/") == []


@pytest.mark.parametrize(
    ("owls", "named"),
    [
        ({"disposition": "append"}, "disposition"),
        ({"primary_key": ["id"]}, "primary_key"),
        ({"columns": [{"name": "id", "type": "bigint"}]}, "columns"),
    ],
)
def test_streams_that_do_not_agree_about_their_table_are_refused(installation: Installation, owls: dict[str, Any], named: str) -> None:
    tables = [{"name": "birds", "table": str(TABLE)}, {"name": "owls", "table": str(TABLE), **owls}]

    with pytest.raises(ValueError, match=rf"nature\.sightings is replaced whole.*'birds' and 'owls' differ in {named}: let them agree"):
        installation.pipeline(streams=of(birds=[], owls=[]), tables=tables, **REPLACED)


def test_a_load_never_has_the_name_of_another_tables_stream(installation: Installation) -> None:
    tables = [{"name": "nature.sightings", "table": "nature.other"}]

    with pytest.raises(ValueError, match="a stream of another table has it too: rename one"):
        installation.pipeline(streams={**of(birds=[], owls=[]), "nature.sightings": []}, tables=tables, **REPLACED)


def test_two_streams_that_a_pattern_names_alike_are_still_refused(installation: Installation) -> None:
    with pytest.raises(ValueError, match=r"makes nature\.owls of both 'a\.owls' and 'b\.owls'"):
        installation.pipeline(streams={"a.owls": [], "b.owls": []}, **{**REPLACED, "table": "nature.*"})


def test_a_key_that_the_source_tells_of_each_stream_makes_no_rows_of_two_streams_one(installation: Installation, monkeypatch) -> None:
    read = ListedSource.read

    def told(self, request, settings, report):
        report.primary_key = ("id",)
        yield from read(self, request, settings, report)

    monkeypatch.setattr(ListedSource, "read", told)
    monkeypatch.setattr(ListedSource, "finds_keys", True)
    summary = replaced(installation, of(birds=sightings(1, bird="wren"), owls=sightings(1, bird="owl")))

    assert (summary.rows_inserted, summary.rows_deduplicated) == (2, 0)


def test_a_key_of_the_pipeline_file_makes_them_one(installation: Installation) -> None:
    summary = replaced(installation, of(birds=sightings(1), owls=sightings(1)), primary_key=["id"])

    assert (summary.rows_inserted, summary.rows_deduplicated) == (1, 1)


def test_it_is_read_from_the_beginning_whatever_the_watermark_and_whatever_the_interval(installation: Installation) -> None:
    incremental = {"cursor": "seen"}
    replaced(installation, of(birds=sightings(1, 9), owls=sightings(5)), incremental=incremental)
    assert installation.query("SELECT stream, value FROM _ducklift.watermarks") == [(str(TABLE), str(sighting(9)["seen"]))]

    pipeline = installation.pipeline(streams=of(birds=sightings(1, 9), owls=sightings(5, 6)), **{**REPLACED, "incremental": incremental})
    backfill = Run(**{**vars(slice_run(1)), "window": True})
    [summary] = run_pipeline(pipeline, backfill, installation.settings).loads
    assert (summary.rows_extracted, len(ids(installation))) == (4, 4)
    asked = installation.manifest(1, str(TABLE))["request"]
    assert asked == {part: {"cursor_from": None, "watermark": None} for part in ("birds", "owls")}


def test_a_stream_that_knows_no_order_is_given_no_bounds_beside_one_that_does(installation: Installation, monkeypatch) -> None:
    monkeypatch.setattr(ListedSource, "stream_uses_watermark", lambda self, stream: stream == "birds")
    first = sighting(3)["seen"]
    replaced(installation, of(birds=sightings(4), owls=sightings(5)), incremental={"cursor": "seen", "initial": first})

    asked = installation.manifest(stream=str(TABLE))["request"]
    assert {part: told["cursor_from"] for part, told in asked.items()} == {"birds": first, "owls": None}


def test_a_slice_is_read_anew_in_the_place_of_its_load(installation: Installation) -> None:
    replaced(installation, of(birds=sightings(1), owls=sightings(5)))

    again = replaced(installation, of(birds=sightings(1), owls=sightings(5, 6)), mode="reextract")
    assert (again.load_id[-3:], ids(installation)) == ("-r2", ["s0001", "s0005", "s0006"])
    full = replaced(installation, of(birds=sightings(7), owls=sightings(8)), day=1, mode="full_refresh")
    assert (full.rows_inserted, ids(installation)) == (2, ["s0007", "s0008"])
    rebuilt_is_equal(installation)


def test_a_run_that_is_repeated_finds_its_load(installation: Installation) -> None:
    streams = of(birds=sightings(1), owls=sightings(5))

    assert [replaced(installation, streams).state for _ in range(2)] == ["loaded", "already_loaded"]


def test_its_quarantined_records_are_retried_after_a_fix(installation: Installation) -> None:
    streams = of(birds=sightings(1), owls=[sighting(5, count="many")])
    summary = replaced(installation, streams, contract="quarantine")
    assert (summary.rows_inserted, summary.rows_quarantined) == (1, 1)
    columns = [{"name": "id"}, {"name": "count", "type": "bigint", "null_if": ["many"]}]
    mended = installation.pipeline(streams=streams, **REPLACED, columns=columns)
    (installation.project / "include" / "pipelines").mkdir(parents=True, exist_ok=True)
    (installation.project / "include" / "pipelines" / "nature.yaml").write_text(mended.model_dump_json(by_alias=True, exclude_none=True))

    [retried] = retry_quarantine(installation.settings, TABLE)
    assert (retried.rows_inserted, ids(installation)) == (1, ["s0001", "s0005"])


def test_in_the_lake_alone_it_is_one_load_too(installation: Installation) -> None:
    replaced(installation, of(birds=sightings(1), owls=sightings(5)), target="lake")
    replaced(installation, of(birds=sightings(2), owls=sightings(6)), day=1, target="lake")

    assert numbers(installation) == [2, 6]


def test_a_fresh_machine_rebuilds_it(installation: Installation, tmp_path: Path) -> None:
    replaced(installation, of(birds=sightings(1), owls=sightings(5)))
    replaced(installation, of(birds=sightings(2), owls=sightings(6)), day=1)

    assert rebuild_anew(installation, tmp_path / "other").rows() == installation.rows()


def test_a_table_that_was_filled_by_streams_of_their_own_is_replaced_whole(installation: Installation) -> None:
    streams = of(birds=sightings(1), owls=sightings(5))
    appending = installation.pipeline(streams=streams, disposition="append", primary_key=[], incremental=None)
    run_pipeline(appending, slice_run(), installation.settings)

    replaced(installation, of(birds=sightings(2), owls=sightings(6)), day=1)
    assert ids(installation) == ["s0002", "s0006"]
    one = installation.pipeline(streams=of(birds=sightings(9)), **REPLACED)
    assert one.loads == {"birds": ("birds",)}
    run_pipeline(one, slice_run(2), installation.settings)
    assert ids(installation) == ["s0009"]
    rebuilt_is_equal(installation)


def test_a_package_of_one_stream_that_landed_before_adds_to_the_table_and_does_not_replace_it(installation: Installation) -> None:
    streams = of(birds=sightings(1), owls=sightings(5))
    merging = installation.pipeline(streams=streams, primary_key=["id"], incremental=None)
    landed = installation.put(merging, stream="birds")
    replaced(installation, of(birds=sightings(2), owls=sightings(6)), day=1)

    load(landed, installation.settings, installation.pipeline(streams=streams, **REPLACED))
    assert ids(installation) == ["s0001", "s0002", "s0006"]
    rebuilt_is_equal(installation)


def test_a_dry_run_tells_the_one_load(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = installation.pipeline(streams=of(birds=sightings(1), owls=sightings(5)), **REPLACED)

    [told] = foretell(installation.lake, pipeline, slice_run(), installation.settings)
    assert (told["stream"], told["reads"], told["disposition"]) == (str(TABLE), ["birds", "owls"], "replace")
    print_plans([told])
    assert "  of        birds, owls\n" in capsys.readouterr().out


class FormSource(ListedSource):
    """One whose form narrows its streams, or reads others in their places."""

    type: Literal["formed"] = "formed"  # type: ignore[assignment]
    chosen: tuple[str, ...] = ()
    listing: str = ""

    def streams(self) -> Sequence[str]:
        return [name + self.listing for name in super().streams() if not self.chosen or name in self.chosen]

    def effective_stream(self, stream: str) -> str | None:
        return next((name for name in self.streams() if name == stream + self.listing), None)

    def options_schema(self):
        return {"chosen": {"type": "array", "default": []}, "listing": {"type": "string", "default": ""}}

    def with_options(self, options):
        return self.model_copy(update=dict(options))


@pytest.fixture(autouse=True)
def formed_source_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCE_TYPES, "formed", f"{__name__}:FormSource")


def with_form(installation: Installation, disposition: str = "replace") -> Pipeline:
    listed = installation.pipeline(streams=of(birds=[], owls=[], bees=[]), **{**REPLACED, "disposition": disposition})
    form = {"form": ["table", "disposition"], "source": FormSource(file=listed.source.file)}
    return Pipeline.model_validate({**listed.model_dump(by_alias=True), **form})


def test_a_form_does_not_leave_out_a_part_of_the_table(installation: Installation) -> None:
    pipeline = with_form(installation)

    with pytest.raises(ConfigurationError, match=r"a run without 'owls', 'bees' would take the rows of that away\. Choose all of 'birds'"):
        pipeline.with_options({"chosen": ("birds",)})
    assert pipeline.with_options({"chosen": ("birds", "owls", "bees")}).streams() == [str(TABLE)]


def test_a_form_may_lead_all_parts_elsewhere_and_name_another_table(installation: Installation) -> None:
    pipeline = with_form(installation)

    chosen = pipeline.with_options({"listing": "/top", "table": "others"})
    assert chosen.loads == {"nature.others": ("birds/top", "owls/top", "bees/top")}
    assert stream_under(chosen, pipeline, str(TABLE)) == "nature.others"


def test_a_form_that_replaces_makes_one_load_of_several_streams(installation: Installation) -> None:
    pipeline = with_form(installation, "append")

    chosen = pipeline.with_options({"disposition": "replace"})
    # The first stream's task does it all, the others have nothing left to do.
    assert [stream_under(chosen, pipeline, stream) for stream in pipeline.streams()] == [str(TABLE), None, None]
    with pytest.raises(ConfigurationError, match="Choose all of"):
        pipeline.with_options({"disposition": "replace", "chosen": ("birds",)})


def test_a_form_does_not_take_the_one_load_apart(installation: Installation) -> None:
    pipeline = with_form(installation)

    with pytest.raises(ConfigurationError, match="Any other disposition has to be written there"):
        stream_under(pipeline.with_options({"disposition": "append"}), pipeline, str(TABLE))


def test_streams_that_come_to_light_when_the_run_starts_are_grouped_then(installation: Installation, monkeypatch) -> None:
    pipeline = installation.pipeline(streams=of(birds=sightings(1)), **REPLACED)
    more = installation.pipeline(streams=of(birds=sightings(1), owls=sightings(5)), **REPLACED).source
    monkeypatch.setattr(ListedSource, "resolved", lambda self, settings: more)

    assert pipeline.streams() == ["birds"]
    assert resolved(pipeline, installation.settings).loads == {str(TABLE): ("birds", "owls")}


def test_files_of_several_streams_cannot_be_in_one_load(installation: Installation, monkeypatch) -> None:
    monkeypatch.setattr(ListedSource, "gives_files", True)
    with pytest.raises(ValueError, match="files of 'birds', 'owls' cannot be in one: give each its table"):
        installation.pipeline(streams=of(birds=[], owls=[]), **REPLACED)


def test_a_source_that_gives_another_kind_of_record_a_table_of_its_own_keeps_them_apart(installation: Installation, monkeypatch) -> None:
    comments = TableDefaults(table="comments")
    monkeypatch.setattr(ListedSource, "defaults_of", lambda self, stream: comments if stream.startswith("comments") else TableDefaults())
    pipeline = installation.pipeline(streams=of(a=[], b=[], comments_a=[], comments_b=[]), **REPLACED)

    assert pipeline.loads == {"nature.sightings": ("a", "b"), "nature.comments": ("comments_a", "comments_b")}
