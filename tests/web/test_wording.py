from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ducklift.web import wording

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        ("size", 0, "0 B"),
        ("size", 999, "999 B"),
        ("size", 999_950, "1 MB"),
        ("size", 59_000_000, "59 MB"),
        ("short_count", 9_999, "9,999"),
        ("short_count", 12_345, "12.3k"),
        ("short_count", 4_560_000, "4.56M"),
        ("signed", -5, "\N{MINUS SIGN}5"),
        ("signed", 0, "±0"),
        ("share", 0, "0 %"),
        ("share", 0.00001, "< 0.1 %"),
        ("share", 0.9999, "> 99.9 %"),
        ("span", 0.42, "0.4 s"),
        ("span", 3_601, "1 h"),
        ("span", 200, "3 min 20 s"),
        ("age", 5_400, "90 min"),
        ("age", 129_600, "36 h"),
        ("age", 86_400 * 12, "12 d"),
        ("age", 86_400 * -12, "\N{MINUS SIGN}12 d"),
        ("age", -2, "2 s"),
        ("count", None, "\N{EN DASH}"),
    ],
)
def test_figures_read_as_people_write_them(function, value, text):
    assert getattr(wording, function)(value) == text


def test_a_time_is_told_from_now_with_the_time_itself_for_machines():
    told = wording.when(NOW - timedelta(minutes=3), NOW)

    assert told == '<time datetime="2026-11-21T11:57:00+00:00" title="2026-11-21 11:57:00 UTC">3 min ago</time>'
    assert ">in 3 h<" in wording.when(NOW + timedelta(hours=3), NOW)
