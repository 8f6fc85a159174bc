"""What of a table may be chosen when a run is triggered by hand: hostile text, read as what a pipeline file could say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from ducklift.errors import ConfigurationError
from ducklift.specs import ColumnSpec, Disposition, TableName

TableChoice = Literal["table", "disposition", "primary_key", "columns"]

_LONGEST = 20_000
_MOST_COLUMNS = 500
_MAY_BE_EMPTY = ("primary_key", "columns")
# Commas part columns, but not those within a type's parentheses.
_COLUMN = re.compile(
    r'\s*(?:"([^"\x00-\x1f]{1,255})"|([^\s",()]{1,255}))(?:\s+([A-Za-z][A-Za-z0-9_ ]*(?:\([0-9, ]*\))?(?:\[\])?))?\s*(?:,|$)'
)


def choice_fields(
    names: Iterable[TableChoice], table: str | None, disposition: str, primary_key: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of these choices; the defaults change nothing."""
    dataset = (table or "").partition(".")[0]
    text = {"type": "string", "maxLength": _LONGEST}
    # Airflow's form will not trigger a run while a text that may not be null is empty.
    may_be_empty = {**text, "type": ["string", "null"]}
    fields: dict[str, dict[str, Any]] = {
        "table": {
            **text,
            "title": "Table",
            "description": f"A table in the dataset {dataset}; it is made when it is not there.",
            "pattern": rf"^({dataset}\.)?[a-z_][a-z0-9_]*$",
            "default": table,
        },
        "disposition": {
            "type": "string",
            "title": "Disposition",
            "description": "What becomes of rows: added, in the place of the whole table, merged by key …",
            "enum": list(get_args(Disposition)),
            "default": disposition,
        },
        "primary_key": {
            **may_be_empty,
            "title": "Key",
            "description": "Columns, separated by commas; merge, insert_only and scd2 need them.",
            "default": ", ".join(primary_key) or None,
        },
        "columns": {
            **may_be_empty,
            "title": "Columns",
            "description": "Names and types, such as: date date, share_price double. Empty: as they are found.",
            "default": None,
        },
    }
    return {name: fields[name] for name in names}


def chosen_values(options: Mapping[str, Any], table: str | None) -> dict[str, Any]:
    """Return what was chosen as a pipeline file would say it; raises `ConfigurationError` on anything else than the form offers."""
    options = {name: "" if value is None and name in _MAY_BE_EMPTY else value for name, value in options.items()}
    for name, value in options.items():
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise ConfigurationError(f"{name}: {str(value)[:40]!r} is not a text of at most {_LONGEST} characters")
    found: dict[str, Any] = dict(options)
    if "table" in options:
        found["table"] = _own_table(options["table"], table)
    if "primary_key" in options:
        found["primary_key"] = tuple(part.strip() for part in options["primary_key"].split(",") if part.strip())
    if "columns" in options:
        found["columns"] = parsed_columns(options["columns"])
        if not found["columns"]:
            del found["columns"]
    return found


def parsed_columns(text: str) -> tuple[ColumnSpec, ...]:
    """Read `date date, "share price" double, n decimal(18,2), note`; raises `ConfigurationError` that shows where it ends to be one."""
    found: list[ColumnSpec] = []
    place, rest = 0, text.strip()
    while place < len(rest):
        match = _COLUMN.match(rest, place)
        if match is None or len(found) >= _MOST_COLUMNS:
            raise ConfigurationError(f"columns: cannot read {rest[place : place + 40]!r}; write for example: date date, share_price double")
        try:
            found.append(ColumnSpec(name=match[1] or match[2], type=match[3].strip() if match[3] else None))
        except ValueError as err:
            raise ConfigurationError(f"columns: {str(err).splitlines()[2].strip().partition(' [')[0]}") from None
        place = match.end()
    return tuple(found)


def _own_table(text: str, table: str | None) -> str:
    own = (table or "").partition(".")[0]
    try:
        name = TableName.parse(text if "." in text else f"{own}.{text}")
    except ValueError:
        raise ConfigurationError(f"table: {text[:80]!r} is no table's name; write for example {own}.prices") from None
    if name.dataset != own:
        raise ConfigurationError(f"table: {text[:80]!r} does not lie in this pipeline's dataset {own!r}")
    return str(name)
