"""Readers that wait for what they read, so that a test sees the lake as it is."""

from __future__ import annotations

from typing import Any

from ducklift.settings import Settings
from ducklift.web.published_lake import Patience, PublishedLake
from ducklift.web.schedules import no_schedules
from ducklift.web.views.overview import TableRow
from ducklift.web.views.queries import OverviewQuery
from ducklift.web.views.tables import TableView

PATIENT = Patience(
    moment_s=0,
    newer_s=60,
    state_kept_s=0,
    state_s=60,
    schedules_kept_s=0,
    schedules_s=60,
    objects_s=60,
    survey_kept_s=0,
    survey_s=60,
    values_kept_s=0,
    values_s=60,
)


def reader(settings: Settings, schedules: Any = no_schedules) -> PublishedLake:
    """Return a reader that keeps nothing longer than it takes to answer."""
    return PublishedLake(settings, schedules, PATIENT)


def row(lake: PublishedLake, name: str) -> TableRow:
    """Return a table's row in the overview."""
    return next(row for row in lake.overview(OverviewQuery(search=name)).tables if row.name == name)


def table(lake: PublishedLake, name: str, **query: Any) -> TableView:
    """Return a table's page."""
    from ducklift.web.views.queries import TableQuery

    found = lake.table(name, TableQuery(**query))
    assert found is not None, f"there is no table {name}"
    return found
