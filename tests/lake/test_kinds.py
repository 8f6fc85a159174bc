"""What kinds of values a field had: what is told must hold for every value, and nothing is told where that is not known."""

import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from ducklift.lake.kinds import FieldKinds
from ducklift.lake.records import LineEncoder

KINDS: list[tuple[list[Any], set[str]]] = [
    ([1, -1, None], {"integer"}),
    ([2**53 - 1], {"integer"}),
    ([2**53], {"long_integer"}),
    ([-(2**63), 2**63 - 1], {"long_integer"}),
    ([2**63], {"other"}),
    ([1, True], {"integer", "boolean"}),
    ([1.5, 1], {"float", "integer"}),
    (["a", "2024-01-01"], {"text"}),
    (["2024-01-01"], {"date"}),
    (["2024-01-01", "2024-01-01T12:00:00.123456"], {"date", "timestamp"}),
    (["2024-01-01 12:00Z", "2024-01-01T12:00:00.5+02:00"], {"zoned_timestamp"}),
    (["2024-01-01T12:00:00.1234567"], {"text"}),
    (["2023-02-29"], {"text"}),
    (["2024-01-01\n2024-01-02"], {"text"}),
    (["٢٠٢٤-01-01"], {"text"}),
    ([{"a": 1}, [1]], {"nested"}),
    ([Decimal(1)], {"other"}),
    ([datetime(2024, 1, 1, tzinfo=UTC)], {"other"}),
    ([np.float64(1.5)], {"other"}),
    ([None], set()),
]


@pytest.mark.parametrize(("values", "kinds"), KINDS, ids=[str(case[0])[:40] for case in KINDS])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_field_has_the_kinds_of_all_its_values(values: list[Any], kinds: set[str], at_once: bool) -> None:
    found = FieldKinds()

    for batch in [values] if at_once else [[value] for value in values]:
        found.note([{"x": value} if place % 2 else {"x": value, "y": 1} for place, value in enumerate(batch)])

    assert set(found.known["x"]) == kinds


@pytest.mark.parametrize("record", [{1: "a"}, {"\ud800": 1}])
def test_nothing_is_told_when_a_name_is_written_in_another_way(record: dict[Any, Any]) -> None:
    found = FieldKinds()

    found.note([{"x": 1}, record])

    assert found.known == {}


def test_nothing_is_told_of_lines_that_were_not_seen_as_values() -> None:
    found = FieldKinds()
    found.note([{"x": 1}])

    found.forget()

    assert found.known == {}


@pytest.mark.parametrize(
    "value", [float("nan"), [float("nan"), None], {"a": (float("nan"), {"b": 1})}, np.float32("nan"), np.array([1.0, float("nan")])]
)
def test_nan_is_never_written_as_null(value: Any) -> None:
    kinds, lines = FieldKinds(), LineEncoder()
    records = [{"x": None}, {"x": value}]

    written = lines.lines(records, kinds.note(records))

    assert written[0] == b'{"x":null}\n'
    assert b'"NaN"' in written[1]


def test_records_without_nan_are_not_gone_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds, lines = FieldKinds(), LineEncoder()
    records = [{"x": 1.5, "y": None, "z": "null"}, {"x": sys.float_info.max, "y": sys.float_info.max, "z": "a"}]
    monkeypatch.setattr("ducklift.lake.records.worded", lambda _: pytest.fail("it was gone through"))

    assert len(lines.lines(records, kinds.note(records))) == 2
