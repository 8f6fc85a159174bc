"""An answer's bytes as a JSON document, without a digit or a character lost."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

# orjson makes a float of an integer beyond 64 bits, which has 19 digits at least. Ten times as quick as a regular expression.
_DIGITS_ALIKE = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(" ") for byte in range(256))
_LONG_NUMBER = b"0" * 19


class NoJson(ValueError):
    """The bytes are no JSON document."""


def parsed(body: bytes, charset: str | None = None) -> Any:
    """Return the document; raises `NoJson`.

    Integers keep all their digits. A lone surrogate passes: the lake replaces it and counts it. NaN and infinity are not JSON, and are
    refused, for they would become NULL on the way.
    """
    if not body.strip():
        raise NoJson("an empty answer")
    if charset in (None, "utf-8", "utf8", "us-ascii") and _LONG_NUMBER not in body.translate(_DIGITS_ALIKE):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    try:
        text = body.decode(charset or "utf-8-sig").removeprefix("\ufeff")
        return json.loads(text, parse_constant=_refused, parse_float=_finite)
    except (ValueError, LookupError, RecursionError) as err:
        raise NoJson(f"an answer that is no JSON ({type(err).__name__})") from None


def _refused(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text)
