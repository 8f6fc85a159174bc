"""Types from the data itself, all of it: what a field's values are in JSON, and what its texts can be read as without loss."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace

from ducklift.warehouse.columns import EXACT_IN_DOUBLE
from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_identifier

_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
_ZONE = r"(Z|[+-]\d{2}(:?\d{2})?)"
_WORDS = "'NaN', 'Infinity', '-Infinity', 'nan', 'inf', '-inf'"  # the last three as Arrow writes them into CSV
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_INTEGER_RANK = {
    "TINYINT": 1,
    "UTINYINT": 1,
    "SMALLINT": 2,
    "USMALLINT": 2,
    "INTEGER": 3,
    "UINTEGER": 3,
    "BIGINT": 4,
    "UBIGINT": 4,
    "HUGEINT": 5,
}


FIELDS_PER_PASS = 20


@dataclass(frozen=True)
class Seen:
    """What is known of one field's values: how many there are of each kind. Every value is of one kind only."""

    booleans: int
    exact_integers: int
    long_integers: int
    great_integers: int
    decimals: int
    other_numbers: int
    nested: int
    dates: int
    timestamps: int
    zoned: int
    words: int
    texts: int

    def type(self, among_numbers: bool = False) -> str | None:
        """Return the narrowest type that holds every value as it is; None when there is no value.

        NaN and the infinities are texts in JSON: they are numbers where all other values are, or where the caller says so.
        """
        values = sum(astuple(self))
        if not values:
            return None
        integers, doubles = self.exact_integers + self.long_integers, self.exact_integers + self.decimals
        candidates = (
            (self.booleans, "BOOLEAN"),
            (integers, "BIGINT"),
            # Not HUGEINT, which a DuckLake stores inexactly.
            (integers + self.great_integers, "DECIMAL(38,0)"),
            (doubles + self.words if doubles or among_numbers else 0, "DOUBLE"),
            (self.dates, "DATE"),
            (self.dates + self.timestamps, "TIMESTAMP"),
            (self.zoned, "TIMESTAMP WITH TIME ZONE"),
        )
        for count, type_ in candidates:
            if count == values:
                return type_
        return "JSON" if self.nested else "VARCHAR"

    def type_of_those(self, admitted: Callable[[str], bool], among_numbers: bool) -> str | None:
        """Return the type of the values whose kind has an admitted type by itself; None when there are none."""
        kinds = {kind: replace(_NOTHING, **{kind: count}) for kind, count in asdict(self).items() if count}
        chosen = {kind: 1 for kind, alone in kinds.items() if admitted(alone.type(among_numbers) or "")}
        return replace(_NOTHING, **chosen).type(among_numbers)


_NOTHING = Seen(*[0] * len(fields(Seen)))
_CODES = {entry.name: code for code, entry in enumerate(fields(Seen), start=1)}


def offered_type(
    warehouse: Warehouse, relation: str, strings_only: bool, among_numbers: bool, admitted: Callable[[str], bool]
) -> str | None:
    """Return the type of the values in the column `value` of `relation`, see `infer`.

    Where no admitted type holds all of them, it is that of the kinds that have one, so that a bad value does not take others with it.
    """
    seen = _seen_at_once(warehouse, relation, ["value"], strings_only)["value"]
    whole = seen.type(among_numbers)
    part = seen.type_of_those(admitted, among_numbers)
    return whole if whole is None or admitted(whole) or part is None or not admitted(part) else part


def infer(
    warehouse: Warehouse, relation: str, names: Sequence[str], strings_only: bool = False, among_numbers: bool = False
) -> dict[str, str]:
    """Return a type for each field that has a value, looking at every row of `relation` (SQL whose columns are the fields, as JSON).

    With `strings_only` the columns are plain texts (CSV), and whatever reads back as the same text is taken for a number or a boolean.
    `among_numbers` says that the values stand in a column of numbers, where the word NaN is one.
    """
    found: dict[str, str] = {}
    # DuckDB's planner takes longer than the data where one query has thousands of aggregates.
    for start in range(0, len(names), FIELDS_PER_PASS):
        seen = _seen_at_once(warehouse, relation, names[start : start + FIELDS_PER_PASS], strings_only)
        found |= {name: type_ for name, known in seen.items() if (type_ := known.type(among_numbers))}
    return found


def _seen_at_once(warehouse: Warehouse, relation: str, names: Sequence[str], strings_only: bool) -> dict[str, Seen]:
    kinds = ", ".join(f"{_kind_of_text(name) if strings_only else _kind_of_json(name)} AS {name}" for name in map(quote_identifier, names))
    counts = [f"count(*) FILTER (WHERE {quote_identifier(name)} = {code})" for name in names for code in _CODES.values()]
    found = warehouse.rows(f"SELECT {', '.join(counts)} FROM (SELECT {kinds} FROM ({relation}))")[0]
    width = len(_CODES)
    return {name: Seen(*found[index * width : (index + 1) * width]) for index, name in enumerate(names)}


def _kind_of_json(column: str) -> str:
    """Return the SQL of a JSON value's kind, NULL where there is none; only what its first character leaves open is looked into."""
    text = f"{column}::VARCHAR"
    string = _kind_of_string(f"({column} ->> '$')")
    return f"""CASE WHEN {column} IS NULL OR {text} = 'null' THEN NULL WHEN ({text})[1] = '"' THEN {string}
        WHEN {text} IN ('true', 'false') THEN {_CODES["booleans"]} WHEN ({text})[1] IN ('{{', '[') THEN {_CODES["nested"]}
        ELSE {_kind_of_number(text)} END"""


def _kind_of_text(column: str) -> str:
    """Return the SQL of the kind of a text without quotes (CSV): what reads back as the same is a number or a boolean."""
    number = f"TRY_CAST({column} AS DOUBLE) IS NOT NULL AND NOT regexp_matches({column}, '^[+-]?0\\d|^\\s|\\s$|[a-df-zA-DF-Z]')"
    return f"""CASE WHEN {column} IS NULL THEN NULL WHEN {column} IN ('true', 'false') THEN {_CODES["booleans"]}
        WHEN {number} THEN {_kind_of_number(column)} ELSE {_kind_of_string(column)} END"""


def _kind_of_number(text: str) -> str:
    def same_as(type_: str) -> str:
        return f"CAST(TRY_CAST({text} AS {type_}) AS VARCHAR) = {text}"

    exact = f"TRY_CAST({text} AS BIGINT) BETWEEN {1 - EXACT_IN_DOUBLE} AND {EXACT_IN_DOUBLE - 1}"
    return f"""CASE WHEN regexp_matches({text}, '[.eE]') THEN {_CODES["decimals"]}
        WHEN {same_as("BIGINT")} THEN CASE WHEN {exact} THEN {_CODES["exact_integers"]} ELSE {_CODES["long_integers"]} END
        WHEN {same_as("DECIMAL(38,0)")} THEN {_CODES["great_integers"]}
        WHEN abs(TRY_CAST({text} AS DOUBLE)) < {EXACT_IN_DOUBLE} THEN {_CODES["decimals"]} ELSE {_CODES["other_numbers"]} END"""


def _kind_of_string(text: str) -> str:
    def matching(pattern: str, type_: str) -> str:
        return f"regexp_full_match({text}, '{pattern}') AND TRY_CAST({text} AS {type_}) IS NOT NULL"

    return f"""CASE WHEN {text}[5] = '-' AND {text}[8] = '-' THEN
        CASE WHEN {matching(_DATE, "DATE")} THEN {_CODES["dates"]}
            WHEN {matching(_DATE + _TIME, "TIMESTAMP")} THEN {_CODES["timestamps"]}
            WHEN {matching(_DATE + _TIME + _ZONE, "TIMESTAMPTZ")} THEN {_CODES["zoned"]} ELSE {_CODES["texts"]} END
        WHEN {text} IN ({_WORDS}) THEN {_CODES["words"]} ELSE {_CODES["texts"]} END"""


def widened(known: str, offered: str) -> str | None:
    """Return the type that holds all values of both types as they are, or None when there is none but text.

    `known` BIGINT and `offered` DOUBLE give DOUBLE: the caller has to see that no integer in the table is beyond 2^53.
    """
    if known == offered or known in ("VARCHAR", "JSON"):
        return known
    for pair, wider in _WIDER.items():
        if pair == {known, offered}:
            return wider
    ranks = _INTEGER_RANK.get(known), _INTEGER_RANK.get(offered)
    if ranks[0] and ranks[1]:
        return _wider_integer(known, offered)
    if _DECIMAL.match(known) or _DECIMAL.match(offered):
        return _wider_decimal(known, offered)
    if (ranks[0] or known == "FLOAT") and offered in ("DOUBLE", "FLOAT"):
        return "DOUBLE"
    if known in ("DOUBLE", "FLOAT") and ranks[1]:
        return "DOUBLE"
    return None


_WIDER: dict[frozenset[str], str] = {
    frozenset({"DATE", "TIMESTAMP"}): "TIMESTAMP",
    frozenset({"DATE", "TIMESTAMP WITH TIME ZONE"}): "TIMESTAMP WITH TIME ZONE",
    frozenset({"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}): "TIMESTAMP WITH TIME ZONE",
    frozenset({"TIMESTAMP_NS", "TIMESTAMP"}): "TIMESTAMP_NS",
}


def _wider_integer(known: str, offered: str) -> str | None:
    mixed_signs = known.startswith("U") != offered.startswith("U")
    rank = max(_INTEGER_RANK[known], _INTEGER_RANK[offered])
    if not mixed_signs:
        return max(known, offered, key=_INTEGER_RANK.__getitem__)
    unsigned = known if known.startswith("U") else offered
    rank = max(rank, _INTEGER_RANK[unsigned] + 1)
    if "HUGEINT" in (known, offered):
        return "HUGEINT"
    return {2: "SMALLINT", 3: "INTEGER", 4: "BIGINT"}.get(rank, "DECIMAL(38,0)")


def _wider_decimal(known: str, offered: str) -> str | None:
    digits = [_digits(known), _digits(offered)]
    if digits[0] is None or digits[1] is None:
        return "DOUBLE" if "DOUBLE" in (known, offered) else None
    scale = max(digits[0][1], digits[1][1])
    whole = max(digits[0][0], digits[1][0])
    return f"DECIMAL({whole + scale},{scale})" if whole + scale <= 38 else None


def _digits(type_: str) -> tuple[int, int] | None:
    """Return how many digits a type has before and behind the point."""
    if match := _DECIMAL.match(type_):
        return int(match[1]) - int(match[2]), int(match[2])
    whole = {1: 3, 2: 5, 3: 10, 4: 20, 5: 38}.get(_INTEGER_RANK.get(type_, 0))
    return (whole, 0) if whole else None
