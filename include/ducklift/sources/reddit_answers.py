"""What Reddit's answers mean: which one is worth asking again for, which refuses the stream, which refuses the keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ducklift.errors import ConfigurationError, StreamRefused
from ducklift.sources.patience import Fault as Fault
from ducklift.sources.retry_after import number, retry_after_s

# 520 to 527 are the statuses with which Cloudflare says that it could not reach Reddit.
_TRANSIENT_STATUSES = frozenset({408, 425, 500, 502, 503, 504, *range(520, 528)})

KEYS_ADVICE = (
    "Check the client id and secret in the connection 'reddit_default' (login and password) or in REDDIT_CLIENT_ID and "
    "REDDIT_CLIENT_SECRET, that the app still exists at https://www.reddit.com/prefs/apps and that Reddit has approved it."
)
_TAKE_IT_OUT = "take it out of source.subreddits"
_REFUSALS: Mapping[str, tuple[str, str]] = {
    "private": ("the subreddit is private", f"Ask its moderators for access, or {_TAKE_IT_OUT}."),
    "banned": ("Reddit has banned the subreddit", f"It will not come back: {_TAKE_IT_OUT}."),
    "quarantined": (
        "the subreddit is quarantined",
        f"Only an account that has opted in on the site may read it: name one by praw_username and praw_password, or {_TAKE_IT_OUT}.",
    ),
    "missing": ("there is no such subreddit", f"Check the spelling, or {_TAKE_IT_OUT}."),
    "malformed": ("Reddit calls the request malformed", "Check the spelling of the subreddit."),
    "legal": ("the subreddit is not available for legal reasons", f"Nothing can be done here: {_TAKE_IT_OUT}."),
}
_USER_REFUSALS: Mapping[int, tuple[str, str]] = {
    403: ("the account is suspended or hides its posts", "Nothing can be done here: take it out of source.users."),
    404: ("there is no such user, or Reddit shows nobody what they write", "Check the spelling, or take it out of source.users."),
}
_REASON_OF_STATUS = {301: "missing", 302: "missing", 303: "missing", 307: "missing", 400: "malformed", 404: "missing", 451: "legal"}
_PLAIN_REASON = re.compile(r"[a-z_]{1,40}")


class ErrorAnswer(Exception):
    """Reddit answered with another status than 200. Carries nothing of the request, which held the keys."""

    def __init__(self, status: int, reason: str | None, wait_s: float | None, *, from_token_endpoint: bool) -> None:
        self.status, self.reason, self.wait_s, self.from_token_endpoint = status, reason, wait_s, from_token_endpoint
        super().__init__(f"HTTP {status}" + (f" ({reason})" if reason else ""))


@dataclass(frozen=True)
class Quota:
    """Reddit's rate-limit headers, made sound: whole numbers, none negative, the reset within one window."""

    remaining: int
    used: int
    reset_s: int


def error_of(answer: ErrorAnswer, stream: str) -> Fault | StreamRefused | ConfigurationError:
    """Return what an error answer means for this stream."""
    place = "the token endpoint" if answer.from_token_endpoint else "the listing"
    if answer.status == 429:
        return Fault("throttled", f"HTTP 429 from {place}", answer.wait_s)
    if answer.status in _TRANSIENT_STATUSES:
        return Fault("unavailable", f"{answer} from {place}", answer.wait_s)
    if answer.from_token_endpoint:
        return _refused_at_the_token_endpoint(answer)
    if answer.status == 401:
        return Fault("unavailable", "HTTP 401 from the listing: the token is not accepted (any more)")
    return _refused(answer, stream)


def _refused_at_the_token_endpoint(answer: ErrorAnswer) -> Fault | ConfigurationError:
    if answer.status == 403:
        return ConfigurationError(
            "Reddit's token endpoint answered HTTP 403: it blocks this user agent or this network. "
            f"Check REDDIT_USER_AGENT, and whether the machine's address is one that Reddit blocks. {KEYS_ADVICE}"
        )
    if 400 <= answer.status < 500:
        return Fault("token", f"{answer} from the token endpoint")
    return Fault("malformed", f"{answer} from the token endpoint")


def _refused(answer: ErrorAnswer, stream: str) -> Fault | StreamRefused:
    if stream.startswith("user:") and answer.status in _USER_REFUSALS:
        return StreamRefused(stream, *_USER_REFUSALS[answer.status])
    key = answer.reason if answer.reason in _REFUSALS else _REASON_OF_STATUS.get(answer.status)
    if key:
        return StreamRefused(stream, *_REFUSALS[key])
    if not 400 <= answer.status < 500:
        return Fault("malformed", f"{answer} in place of a listing")
    advice = f"Open the subreddit in a browser, check the app's permissions and this machine's network, or {_TAKE_IT_OUT}."
    return StreamRefused(stream, f"Reddit refuses it with {answer}", advice)


def plain_reason(document: object) -> str | None:
    """Return the `reason` (or `error`) word of Reddit's error document; None when there is none that is fit for a message."""
    if not isinstance(document, dict):
        return None
    for word in (document.get("reason"), document.get("error")):
        if isinstance(word, str) and _PLAIN_REASON.fullmatch(word):
            return word
    return None


def wait_asked_for_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After, or else an exhausted quota, asks to wait; None when neither makes sense.

    Retry-After is a number of seconds or an HTTP date (RFC 9110); Reddit and the proxies before it have sent fractions as well.
    """
    wait_s = retry_after_s(headers)
    if wait_s is None and (quota := quota_of(headers)) and quota.remaining == 0:
        wait_s = quota.reset_s
    return wait_s


def quota_of(headers: Mapping[str, str], window_s: int = 600) -> Quota | None:
    """Return the rate-limit headers as numbers; None when one is absent or makes no sense."""
    values = [number(headers.get(f"x-ratelimit-{name}", "")) for name in ("remaining", "used", "reset")]
    remaining, used, reset_s = (None if value is None else int(max(value, 0)) for value in values)
    if remaining is None or used is None or reset_s is None:
        return None
    return Quota(remaining, used, min(reset_s, window_s))
