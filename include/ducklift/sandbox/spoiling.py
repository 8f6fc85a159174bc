"""Scripted faults of a listing's content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ducklift.sandbox.faults import Fault, FaultKind
from ducklift.sandbox.listings import PageRequest

Data = dict[str, Any]


def spoil(fault: Fault | None, wanted: PageRequest, data: Data) -> None:
    """Apply a fault of a listing's content to its `data`, in place."""
    if fault is not None and fault.kind in _SPOILERS:
        _SPOILERS[fault.kind](wanted, data)


def _point_back(wanted: PageRequest, data: Data) -> None:
    data["after"] = wanted.after


def _empty_page(wanted: PageRequest, data: Data) -> None:
    children = data["children"]
    data.update(after=data["after"] or (children[-1]["data"]["name"] if children else wanted.after), children=[], dist=0)


def _nothing_found(_wanted: PageRequest, data: Data) -> None:
    data.update(after=None, children=[], dist=0)


def _all_gone(_wanted: PageRequest, data: Data) -> None:
    for child in data["children"]:
        child["data"] |= {"author": "[deleted]", "selftext": "[removed]", "removed_by_category": "reddit"}


def _null_author(_wanted: PageRequest, data: Data) -> None:
    for child in data["children"][::3]:
        child["data"]["author"] = None


def _missing_fields(_wanted: PageRequest, data: Data) -> None:
    for child in data["children"][::3]:
        child["data"] = {name: child["data"][name] for name in ("id", "name", "created_utc")}


_SPOILERS: Mapping[FaultKind, Callable[[PageRequest, Data], None]] = {
    "stuck_cursor": _point_back,
    "repeated_page": _point_back,
    "empty_page": _empty_page,
    "nothing_found": _nothing_found,
    "all_gone": _all_gone,
    "null_author": _null_author,
    "missing_fields": _missing_fields,
}
