from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from project_runs import Project, succeeded

from ducklift.errors import ConfigurationError, FunctionFailed, SourceUnavailable
from ducklift.pipeline import Run, load_pipeline
from ducklift.sources.base import ReadReport, SliceRequest
from ducklift.sources.python_function import PythonSource
from ducklift.sources.yielded import batches_of

DAY = datetime(2026, 1, 1, tzinfo=UTC)
PIPELINE = """
    source: {type: python, function: include/sources/birds.py:sightings}
    table: nature.sightings
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.pipeline("nature", PIPELINE)
    return made


def write(project: Project, text: str) -> None:
    project.write("include/sources/birds.py", text)


def read(project: Project, text: str = "", request: SliceRequest | None = None, **config: object) -> tuple[list[object], ReadReport]:
    if text:
        write(project, text)
    given = {} if "streams" in config or "function" in config else {"function": "include/sources/birds.py:sightings"}
    source, report = PythonSource.model_validate({"type": "python", **given, **config}), ReadReport()
    asked = request or SliceRequest(source.streams()[0], DAY, DAY + timedelta(days=1))
    return list(source.read(asked, project.settings, report)), report


def test_a_function_of_five_lines_is_a_source(project: Project):
    write(project, "def sightings():\n    yield {'id': 1, 'bird': 'wren'}\n    yield {'id': 2, 'bird': 'robin'}\n")

    succeeded(project.run("nature"))

    assert project.query("SELECT id, bird FROM nature.sightings ORDER BY id") == [(1, "wren"), (2, "robin")]
    assert [name.rpartition(".")[0].endswith("jsonl") for name in project.raw()] == [True]


def test_arrow_keeps_its_types_all_the_way(project: Project):
    write(
        project,
        """
        from datetime import UTC, date, datetime, time
        from decimal import Decimal
        import pyarrow as pa

        def sightings():
            moment = datetime(2026, 1, 1, 12, 30, 0, 123456)
            yield pa.table({
                "price": pa.array([Decimal("1.50"), None], pa.decimal128(12, 2)),
                "at": pa.array([moment.replace(tzinfo=UTC), None], pa.timestamp("us", "UTC")),
                "local": pa.array([moment, None], pa.timestamp("us")),
                "exact": pa.array([1767225600123456789, None], pa.timestamp("ns")),
                "day": pa.array([date(2026, 1, 1), None], pa.date32()),
                "clock": pa.array([time(12, 30, 0, 5), None], pa.time64("us")),
                "great": pa.array([2**64 - 1, None], pa.uint64()),
                "small": pa.array([7, None], pa.int16()),
                "body": pa.array([bytes(range(256)), None], pa.binary()),
                "yes": pa.array([True, None]),
                "numbers": pa.array([[1, None, 3], None], pa.list_(pa.int32())),
                "words": pa.array([["a,b", 'c"d', ""], None], pa.list_(pa.string())),
            })
        """,
    )

    succeeded(project.run("nature"))

    assert project.columns("nature.sightings") == {
        "price": "DECIMAL(12,2)", "at": "TIMESTAMP WITH TIME ZONE", "local": "TIMESTAMP", "exact": "TIMESTAMP_NS", "day": "DATE",
        "clock": "TIME", "great": "UBIGINT", "small": "SMALLINT", "body": "BLOB", "yes": "BOOLEAN", "numbers": "JSON", "words": "JSON",
    }  # fmt: skip
    price, exact, great, body, numbers, words = project.query(
        "SELECT price, epoch_ns(exact), great, body, numbers, words FROM nature.sightings WHERE price IS NOT NULL"
    )[0]
    assert (price, exact, great, body) == (Decimal("1.50"), 1767225600123456789, 2**64 - 1, bytes(range(256)))
    assert (numbers, words) == ("[1,null,3]", '["a,b","c\\"d",""]')
    assert project.raw()[0].endswith(".parquet")


def test_whatever_offers_itself_as_arrow_is_a_frame_and_is_taken_piece_by_piece(project: Project):
    batches, _ = read(
        project,
        """
        import duckdb

        def sightings():
            yield duckdb.sql("SELECT range AS id, 'wren' AS bird FROM range(250_000)")
            yield {"id": 250_000, "bird": "robin"}
        """,
    )

    assert sum(len(batch) for batch in batches) == 250_001
    assert max(len(batch) for batch in batches) <= 100_000


def test_the_state_is_handed_in_by_what_the_function_declares(project: Project):
    text = """
        def sightings(watermark, cursor_from, cursor_to, interval_start, interval_end, stream, state, country, connection):
            return [{"told": [watermark, cursor_from, cursor_to, str(interval_start), str(interval_end), stream, state.watermark, country,
                              connection("none")]}]
    """
    asked = SliceRequest("sightings", DAY, DAY + timedelta(days=1), 7, 5, 9)

    batches, report = read(project, text, asked, params={"country": "is"})

    told = [7, 5, 9, "2026-01-01 00:00:00+00:00", "2026-01-02 00:00:00+00:00", "sightings", 7, "is", None]
    assert batches == [[{"told": told}]]
    assert report.ordered_and_complete


def test_the_watermark_grows_with_what_was_loaded_and_comes_back(project: Project):
    project.pipeline("nature", PIPELINE + "\n    incremental: {cursor: seen}\n    disposition: merge\n    primary_key: id\n")
    write(
        project,
        "def sightings(watermark):\n    first = watermark or 0\n    return [{'id': n, 'seen': n} for n in range(first, first + 3)]\n",
    )

    totals = [succeeded(project.run("nature")).loads[0] for _ in range(3)]

    assert [load.rows_inserted for load in totals] == [3, 2, 2]
    assert [load.watermark for load in totals] == [2, 4, 6]


def test_a_function_that_does_not_give_everything_leaves_the_watermark(project: Project):
    source = PIPELINE.replace("sightings}", "sightings, moves_watermark: false}")
    project.pipeline("nature", source + "\n    incremental: {cursor: seen}\n")
    write(project, "def sightings(watermark):\n    return [{'seen': 3, 'told': watermark}]\n")

    assert [succeeded(project.run("nature")).loads[0].watermark for _ in range(2)] == [None, None]


def test_one_function_serves_several_streams_and_each_makes_its_table(project: Project):
    project.pipeline(
        "nature", "source: {type: python, function: include/sources/birds.py:sightings, streams: [wrens, robins]}\ntable: nature.*\n"
    )
    write(project, "def sightings(stream):\n    yield {'bird': stream}\n")

    succeeded(project.run("nature"))

    assert project.query("SELECT bird FROM nature.wrens UNION ALL SELECT bird FROM nature.robins") == [("wrens",), ("robins",)]


def test_each_stream_may_have_a_function_of_its_own(project: Project):
    write(project, "def wren():\n    return [{'id': 1}]\ndef robin():\n    return [{'id': 2}]\n")
    place = "include/sources/birds.py"

    batches, _ = read(project, request=SliceRequest("b", DAY, DAY), streams={"a": f"{place}:wren", "b": f"{place}:robin"})

    assert batches == [[{"id": 2}]]


def test_an_error_names_function_file_and_line_and_a_generator_that_dies_midway_lands_nothing(project: Project):
    write(
        project,
        """
        def parsed(text):
            return int(text)

        def sightings():
            for number in range(5_000):
                yield {"id": number}
            yield {"id": parsed("many")}
        """,
    )

    summary = project.run("nature")

    file = project.folder / "include" / "sources" / "birds.py"
    assert f"include/sources/birds.py:sightings failed at {file}:3: ValueError: invalid literal" in str(summary.loads[0].error)
    assert project.raw() == []
    assert project.manifests() == []
    with pytest.raises(FunctionFailed) as caught:
        read(project)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("pass", "a missing return"),
        ("yield 'wren'", "it gave a str"),
        ("yield [1, 2]", "it gave a int"),
        ("raise SystemExit(0)", "SystemExit"),
    ],
)
def test_what_holds_no_records_is_refused_and_never_taken_for_nothing(project: Project, body: str, said: str):
    with pytest.raises(FunctionFailed, match=said) as caught:
        read(project, f"def sightings():\n    {body}\n")

    assert caught.value.file.endswith("birds.py")


def test_an_asynchronous_function_is_told_what_to_do(project: Project):
    with pytest.raises(FunctionFailed, match=r"asyncio\.run"):
        read(project, "async def sightings():\n    yield {}\n")


def test_a_value_that_no_file_can_carry_is_named(project: Project):
    write(project, "def sightings():\n    yield {'id': 1, 'thing': object()}\n")

    assert "A record cannot be written: it holds a object" in str(project.run("nature").loads[0].error)


def test_nothing_is_a_success_and_so_is_an_empty_list(project: Project):
    write(project, "def sightings():\n    return []\n")

    assert succeeded(project.run("nature")).loads[0].state == "empty"


def test_a_function_may_ask_to_be_tried_again(project: Project):
    text = (
        "from ducklift.errors import SourceUnavailable\ndef sightings():\n    raise SourceUnavailable('the forest is closed')\n    yield\n"
    )
    with pytest.raises(SourceUnavailable, match="the forest is closed"):
        read(project, text)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"function": "include/sources/none.py:sightings"}, "there is no file"),
        ({"function": "include/sources/birds.py:robins"}, "'robins' is not there"),
        ({"function": "../birds.py:sightings"}, "has to lie in the project"),
        ({"function": "no_such_module_anywhere:sightings"}, "no module 'no_such_module_anywhere'"),
        ({"params": {"country": "is"}}, r"cannot be called with params \['country'\]"),
    ],
)
def test_a_function_that_cannot_be_found_or_called_is_a_matter_of_configuration(project: Project, config: dict[str, object], said: str):
    with pytest.raises(ConfigurationError, match=said):
        read(project, "def sightings(watermark=None):\n    yield {}\n", **config)


def test_a_module_that_fails_is_the_users_and_is_told_by_its_line(project: Project):
    with pytest.raises(FunctionFailed, match=r"birds.py:2: ModuleNotFoundError"):
        read(project, "'''Birds.'''\nimport no_such_module_anywhere\n")


@pytest.mark.parametrize(
    "source", ["{type: python}", "{type: python, function: birds}", "{type: python, function: 'a:b', params: {stream: 1}}"]
)
def test_a_source_block_without_sense_is_refused_with_its_line(project: Project, source: str):
    project.pipeline("nature", f"source: {source}\ntable: nature.sightings\n")

    with pytest.raises(ConfigurationError, match=r"nature.yaml:2: source"):
        load_pipeline("nature", project.settings)


def test_python_finds_no_more_than_before(project: Project):
    before = list(sys.path)
    project.write("include/sources/json.py", "def sightings():\n    import json\n    yield {'text': json.dumps([1])}\n")

    batches, _ = read(project, function="include/sources/json.py:sightings")

    assert batches == [[{"text": "[1]"}]]
    assert sys.path == before
    assert Path(str(sys.modules["json"].__file__)).parent.name == "json"


def test_an_installed_module_is_named_without_a_file():
    settings = Project(Path.cwd()).settings
    source = PythonSource(function="itertools:count", params={"start": 1, "step": 1})

    with pytest.raises(FunctionFailed, match="it gave a int"):
        list(source.read(SliceRequest("count", DAY, DAY), settings, ReadReport()))


def test_records_are_gathered_and_tables_keep_their_place_among_them():
    import pyarrow as pa

    batches = list(batches_of(iter([{"id": 1}, [{"id": 2}, {"id": 3}], pa.table({"id": [4]}), {"id": 5}])))

    assert [len(batch) for batch in batches] == [3, 1, 1]


def test_a_dict_that_is_filled_again_for_the_next_record_is_another_record():
    def filled_again():
        record = {}
        for record["id"] in range(3):
            yield record

    assert [list(batch) for batch in batches_of(filled_again())] == [[{"id": 0}, {"id": 1}, {"id": 2}]]


def test_one_day_is_read_again_without_doubling_it(project: Project):
    project.pipeline("nature", PIPELINE + "\n    disposition: append\n")
    write(project, "def sightings(interval_start):\n    yield {'day': f'{interval_start:%Y-%m-%d}'}\n")
    days = [Run.of_interval(DAY + timedelta(days=number), DAY + timedelta(days=number + 1)) for number in range(3)]

    for run in (*reversed(days), *days):
        succeeded(project.run("nature", run))

    assert project.query("SELECT CAST(day AS VARCHAR), count(*) FROM nature.sightings GROUP BY day ORDER BY day") == [
        ("2026-01-01", 1),
        ("2026-01-02", 1),
        ("2026-01-03", 1),
    ]
