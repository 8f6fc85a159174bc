"""What a server asks to wait, in any of the ways in which servers say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_EPOCH_S = 1e9  # a reset beyond this many seconds is a moment, not a span


def wait_asked_for_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` or else an exhausted quota's reset asks to wait; None where neither makes sense."""
    wait_s = retry_after_s(headers)
    if wait_s is None and number(headers.get("x-ratelimit-remaining", "")) == 0:
        reset = number(headers.get("x-ratelimit-reset", ""))
        if reset is not None and reset >= 0:
            return max(0.0, reset - datetime.now(UTC).timestamp()) if reset > _EPOCH_S else reset
    return wait_s


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`: a number, also a fraction, or an HTTP date (RFC 9110); None where it makes no sense."""
    text = headers.get("retry-after", "").strip()
    wait_s = number(text)
    if wait_s is None and text:
        wait_s = _until(text)
    return wait_s if wait_s is not None and wait_s >= 0 else None


def number(text: str) -> float | None:
    """Return a finite number from a header's text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _until(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
