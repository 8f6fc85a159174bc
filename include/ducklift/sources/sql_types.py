"""From what a driver hands over to Arrow: one type per column where the database tells it, and never a value rounded to fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_MIDNIGHT, _DAY = datetime(2000, 1, 1), timedelta(days=1)  # noqa: DTZ001 — a clock has no zone
MOST_DIGITS = 38


@dataclass(frozen=True)
class Target:
    """The Arrow type of a column (None: as the values are), and what makes a driver's value fit for it."""

    kind: Any = None
    convert: Callable[[Any], Any] | None = None


AS_IT_IS = Target()


def target_of(type_: Any, dialect: str) -> Target:
    """Return what SQLAlchemy's type of a column becomes."""
    if type_ is None:
        return AS_IT_IS
    return _of_number(type_, dialect) or _of_moment(type_, dialect) or _of_text(type_) or AS_IT_IS


def _of_number(type_: Any, dialect: str) -> Target | None:
    import pyarrow as pa
    from sqlalchemy import types

    if isinstance(type_, types.Boolean):
        return Target(pa.bool_(), _truth)
    if isinstance(type_, types.Integer):
        if dialect == "sqlite":
            return Target(pa.int64())
        name, unsigned = type(type_).__name__.upper(), bool(getattr(type_, "unsigned", False))
        bits = {"TINYINT": 8, "SMALLINT": 16, "SMALLINTEGER": 16, "BIGINT": 64, "BIGINTEGER": 64}.get(name, 32)
        return Target(getattr(pa, f"{'u' if unsigned else ''}int{bits}")())
    if isinstance(type_, types.Float):
        return Target(pa.float64(), _float)
    if isinstance(type_, types.Numeric):
        precision, scale = type_.precision, type_.scale or 0
        if precision is None or precision > MOST_DIGITS:
            return Target(pa.string(), str)
        return Target(pa.decimal128(precision, scale), _decimal)
    return None


def _of_moment(type_: Any, dialect: str) -> Target | None:
    import pyarrow as pa
    from sqlalchemy import types

    texts = dialect == "sqlite"
    if isinstance(type_, types.DateTime):
        # MySQL's TIMESTAMP is a moment, which it shows in the session's zone: UTC, as the reading sets it.
        zoned = bool(type_.timezone) or (dialect in ("mysql", "mariadb") and type(type_).__name__ == "TIMESTAMP")
        return Target(pa.timestamp("us", "UTC" if zoned else None), datetime.fromisoformat if texts else _moment)
    if isinstance(type_, types.Date):
        return Target(pa.date32(), date.fromisoformat if texts else None)
    if isinstance(type_, types.Time):
        return Target(pa.time64("us"), time.fromisoformat if texts else _clock)
    return None


def _of_text(type_: Any) -> Target | None:
    import pyarrow as pa
    from sqlalchemy import types

    if isinstance(type_, types.JSON):
        return Target(pa.json_())
    if isinstance(type_, types.Uuid):
        return Target(pa.string(), str)
    if isinstance(type_, types.LargeBinary | types.BINARY | types.VARBINARY):
        return Target(pa.binary())
    if isinstance(type_, types.String):
        return Target(pa.string(), _text)
    return None


def array_of(values: Sequence[Any], target: Target) -> pa.Array:
    """Return a column's values in the type that the database tells; else in the one that they have; else as texts, which are whole."""
    import pyarrow as pa

    for attempt in (_typed, _inferred):
        try:
            return attempt(values, target)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, TypeError, ValueError, ArithmeticError):
            continue
    return pa.array([None if value is None else _as_text(value) for value in values], pa.string())


def _typed(values: Sequence[Any], target: Target) -> pa.Array:
    import pyarrow as pa

    if target.kind is None:
        raise TypeError
    if convert := target.convert:
        values = [None if value is None else convert(value) for value in values]
    if isinstance(target.kind, pa.JsonType):
        return pa.ExtensionArray.from_storage(target.kind, pa.array(values, pa.string()))
    if pa.types.is_integer(target.kind) and any(type(value) not in (int, type(None)) for value in values):
        raise TypeError  # Arrow takes 1.0, and even True, for an integer
    return pa.array(values, target.kind)


def _inferred(values: Sequence[Any], _target: Target) -> pa.Array:
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {Decimal}:
        exponents = [value.as_tuple().exponent for value in values if value is not None]
        scale = max((-each for each in exponents if isinstance(each, int)), default=0)
        return pa.array(values, pa.decimal128(MOST_DIGITS, max(scale, 0)))
    if kinds == {timedelta}:
        return pa.array([None if value is None else _clock(value) for value in values], pa.time64("us"))
    if len(kinds) > 1:
        raise TypeError
    return pa.array(values)


def _truth(value: Any) -> bool:
    if value in (0, 1):
        return bool(value)
    raise ValueError


def _float(value: Any) -> float:
    if isinstance(value, int) and abs(value) > 2**53:
        raise ValueError
    if isinstance(value, str | bytes):
        raise TypeError
    return float(value)


def _decimal(value: Any) -> Decimal:
    # A float's shortest text is what was written into the database, its exact binary value is not.
    return value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else str(value))


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    raise TypeError


def _clock(value: time | timedelta) -> time:
    if isinstance(value, time):
        return value
    if timedelta(0) <= value < _DAY:
        return (_MIDNIGHT + value).time()
    raise ValueError


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError


_TEXTS: Mapping[type, Callable[[Any], str]] = {
    bytes: lambda value: value.decode("utf-8", "backslashreplace"),
    timedelta: lambda value: _hours(value),
    Decimal: lambda value: format(value, "f"),
    datetime: datetime.isoformat,
    date: date.isoformat,
}


def _as_text(value: Any) -> str:
    return _TEXTS.get(type(value), str)(value)


def _hours(value: timedelta) -> str:
    """Return MySQL's TIME, which counts up to 838 hours either way, as MySQL writes it."""
    micros = abs(value) // timedelta(microseconds=1)
    seconds, rest = divmod(micros, 1_000_000)
    sign = "-" if value < timedelta(0) else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" + (f".{rest:06d}" if rest else "")
