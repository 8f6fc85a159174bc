"""The local Reddit API: what it answers to a request. Knows nothing of sockets."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from ducklift.sandbox.clock import SandboxClock
from ducklift.sandbox.comments import post_id_of, render_comment
from ducklift.sandbox.communities import COMMUNITIES, Community
from ducklift.sandbox.discussions import Discussion, comment_limit
from ducklift.sandbox.faults import Endpoint, Fault, FaultScript
from ducklift.sandbox.finding import SEARCH_CAP, found_posts, order_found, submitted
from ducklift.sandbox.firehose import FIREHOSE, Firehose
from ducklift.sandbox.keys import SandboxKeys
from ducklift.sandbox.listings import LISTINGS, PageRequest, cut_page, items_too_early, listing_document, order
from ducklift.sandbox.posts import Archive, Post
from ducklift.sandbox.quota import Quota
from ducklift.sandbox.spoiling import spoil
from ducklift.sandbox.submissions import escape_strings, render, utc_text

TOKEN_LIFETIME_S = 86_400
REQUESTS_REMEMBERED = 100_000
INFO_IDS_CAP = 100
REFUSED: Mapping[str, tuple[int, str]] = {
    "private_example": (403, "private"),
    "banned_example": (404, "banned"),
    "quarantined_example": (403, "quarantined"),
}
SUSPENDED_USER = "suspended_example"
SUBREDDIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{1,20}")
LISTING_PATH = re.compile(rf"/r/([^/]+)/({'|'.join(LISTINGS)})(?:\.json)?")
USER_PATH = re.compile(r"/user/([^/]+)/submitted(?:\.json)?")
SEARCH_PATH = re.compile(r"(?:/r/([^/]+))?/search(?:\.json)?")
COMMENTS_PATH = re.compile(r"(?:/r/([^/]+))?/comments/([a-z0-9]+)(?:/[^/]*)?/?(?:\.json)?")
ABOUT_PATH = re.compile(r"/r/([^/]+)/about(?:\.json)?")
_ROUTES: Mapping[Endpoint, re.Pattern[str]] = {
    "listing": LISTING_PATH, "user": USER_PATH, "search": SEARCH_PATH, "comments": COMMENTS_PATH, "about": ABOUT_PATH,
}  # fmt: skip


@dataclass(frozen=True)
class RedditOptions:
    """How the local Reddit API behaves.

    `requests_per_minute` is counted over ten minutes, None lifts it; `synthetic_posts` adds the subreddit `firehose` with
    exactly that many posts in `/new`, without the listing cap.
    """

    seed: int = 2026
    listing_cap: int = 1000
    page_size_cap: int = 100
    requests_per_minute: int | None = 100
    synthetic_posts: int | None = None


class RecordedRequest(NamedTuple):
    """One request that was served."""

    method: str
    path: str
    query: dict[str, str]


@dataclass(frozen=True)
class Request:
    """What a client asks. Header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What goes back, and how the connection is ill-treated on the way."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=UTF-8"
    delay_s: float = 0.0
    reset_after_bytes: int | None = None


class _Refusal(Exception):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.status)


class RedditApi:
    """Answers as Reddit's API does to an application-only client. Thread-safe."""

    def __init__(self, clock: SandboxClock, keys: SandboxKeys, options: RedditOptions) -> None:
        self._clock, self._keys, self._options = clock, keys, options
        self._archive = Archive(options.seed, clock.origin)
        self._firehose = None if options.synthetic_posts is None else Firehose(options.synthetic_posts, options.seed, clock.origin)
        self._quota, self._script = Quota(options.requests_per_minute), FaultScript()
        self._lock = threading.Lock()
        self._tokens: set[str] = set()
        self._requests: deque[RecordedRequest] = deque(maxlen=REQUESTS_REMEMBERED)

    @property
    def requests(self) -> list[RecordedRequest]:
        """Return the requests served so far, the oldest first (the last 100,000)."""
        with self._lock:
            return list(self._requests)

    def script(self, faults: Sequence[Fault]) -> None:
        """Put these faults in force instead of those before; `[]` ends all faults."""
        self._script.replace(faults)

    def advance(self, by: timedelta) -> datetime:
        """Move the virtual time on by that much, up to the real time; return it."""
        return self._clock.advance(by)

    def respond(self, request: Request) -> Answer:
        """Return the answer to a request, the scripted faults considered."""
        with self._lock:
            self._requests.append(RecordedRequest(request.method, request.path, dict(request.query)))
        endpoint, subreddit = _route(request.path)
        fault = self._script.take(endpoint, subreddit, bool(request.query.get("after"))) if endpoint else None
        try:
            answer = _fault_instead(fault) or self._answer(request, endpoint, subreddit, fault)
        except _Refusal as refusal:
            answer = refusal.answer
        return _fault_on_top(fault, answer)

    def _answer(self, request: Request, endpoint: Endpoint | None, subreddit: str | None, fault: Fault | None) -> Answer:
        if endpoint == "token":
            return self._token(request)
        if request.path == "/sandbox/advance":
            return self._advance(request)
        if request.path == "/":
            return Answer(200, self._front_page(), content_type="text/html; charset=UTF-8")
        if fault is not None and fault.kind == "token_expired":
            with self._lock:
                self._tokens.clear()
        self._check_token(request)
        within_quota, headers = self._quota.spend()
        if not within_quota:
            return _error(429, headers={**headers, "retry-after": headers["x-ratelimit-reset"]})
        try:
            answer = self._read(request, endpoint, subreddit, fault)
        except _Refusal as refusal:
            answer = refusal.answer
        return replace(answer, headers={**headers, **answer.headers})

    def _read(self, request: Request, endpoint: Endpoint | None, subreddit: str | None, fault: Fault | None) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return _error(405)
        if endpoint == "info":
            return self._info(request, fault)
        if endpoint == "listing" and subreddit:
            return self._listing(request, subreddit, fault)
        if endpoint == "about" and subreddit:
            return self._about(request, subreddit)
        if endpoint in ("user", "search"):
            return self._found(request, endpoint, subreddit, fault)
        if endpoint == "comments":
            return self._comments(request)
        if endpoint == "morechildren":
            return self._more(request)
        return _error(404)

    def _found(self, request: Request, endpoint: Endpoint, subject: str | None, fault: Fault | None) -> Answer:
        """Answer with a user's posts, or with those that a search finds."""
        now, wanted = self._clock.now().timestamp(), PageRequest.from_query(request.query, self._options.page_size_cap)
        everything = self._archive.posts(now)
        if endpoint == "user":
            if (subject or "").lower() == SUSPENDED_USER:
                return _error(403)
            posts, cap = submitted(subject or "", everything), self._options.listing_cap
            if not posts:
                return _error(404)
        else:
            inside = self._community(subject, "search").name if subject else None
            posts, cap = found_posts(request.query.get("q", ""), everything, inside), SEARCH_CAP
        ordered, rank = order_found(request.query.get("sort", "new"), request.query.get("t", "all"), posts, now)
        anchor = self._archive.find(wanted.after, now) if wanted.after else None
        page = cut_page(ordered[:cap], rank, anchor, wanted, items_too_early(fault, wanted))
        document = listing_document([render(post, self._archive, now) for post in page.posts], page.after, page.before)
        spoil(fault, wanted, document["data"])
        return _json(200, document, request)

    def _comments(self, request: Request) -> Answer:
        now, match = self._clock.now().timestamp(), COMMENTS_PATH.fullmatch(request.path)
        if match and match[1]:
            self._community(match[1], "comments")
        post = self._archive.find(f"t3_{match[2]}", now) if match else None
        if post is None or not _in_info(post, now):
            return _error(404)
        discussion = Discussion(post, now, request.query.get("sort", "confidence"))
        page = discussion.page(self._archive, comment_limit(request.query), request.query.get("comment"))
        return _error(404) if page is None else _json(200, page, request)

    def _more(self, request: Request) -> Answer:
        now, query = self._clock.now().timestamp(), request.query
        post = self._archive.find(query.get("link_id", ""), now)
        ids = [each for each in query.get("children", "").split(",") if each]
        if query.get("api_type") != "json" or post is None or not ids or len(ids) > INFO_IDS_CAP:
            return _json(200, {"json": {"errors": [["BAD_REQUEST", "that is no request for more comments", "children"]]}}, request)
        things = Discussion(post, now, query.get("sort", "confidence")).more(ids)
        return _json(200, {"json": {"errors": [], "data": {"things": things}}}, request)

    def _token(self, request: Request) -> Answer:
        if request.method != "POST":
            return _error(405)
        if not self._client_known(request.headers.get("authorization", "")):
            return _error(401)
        form = dict(parse_qsl(request.body.decode(errors="replace")))
        if form.get("grant_type") != "client_credentials":
            return _json(200, {"error": "unsupported_grant_type"})
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens.add(token)
        return _json(200, {"access_token": token, "token_type": "bearer", "expires_in": TOKEN_LIFETIME_S, "scope": "*"})

    def _client_known(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            pair = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        known = f"{self._keys.reddit_client_id}:{self._keys.reddit_client_secret}".encode()
        return scheme.lower() == "basic" and hmac.compare_digest(pair, known)

    def _check_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            known = token in self._tokens
        if scheme.lower() != "bearer" or not known:
            raise _Refusal(_error(401, headers={"www-authenticate": 'Bearer realm="reddit", error="invalid_token"'}))

    def _listing(self, request: Request, subreddit: str, fault: Fault | None) -> Answer:
        listing = request.path.rsplit("/", 1)[1].removesuffix(".json")
        wanted = PageRequest.from_query(request.query, self._options.page_size_cap)
        if subreddit.lower() == FIREHOSE and self._firehose is not None and fault is None:
            return Answer(200, self._firehose.page(wanted))
        document = self._listing_document(subreddit, listing, request.query.get("t", "day"), wanted, fault)
        spoil(fault, wanted, document["data"])
        return _json(200, document, request)

    def _listing_document(self, subreddit: str, listing: str, time_filter: str, wanted: PageRequest, fault: Fault | None) -> dict[str, Any]:
        if subreddit.lower() == FIREHOSE and self._firehose is not None:
            return dict(orjson.loads(self._firehose.page(wanted, items_too_early(fault, wanted))))
        names = {self._community(name, "listing").name for name in subreddit.split("+")}
        now = self._clock.now().timestamp()
        anchor_name = wanted.after or wanted.before
        anchor = self._archive.find(anchor_name, now) if anchor_name else None
        if anchor_name and anchor is None:
            return listing_document([], None, None)
        ordered, rank = order(listing, time_filter, (post for post in self._archive.posts(now) if post.community.name in names), now)
        page = cut_page(ordered[: self._options.listing_cap], rank, anchor, wanted, items_too_early(fault, wanted))
        return listing_document([render(post, self._archive, now) for post in page.posts], page.after, page.before)

    def _info(self, request: Request, fault: Fault | None) -> Answer:
        now = self._clock.now().timestamp()
        names = [name.strip() for name in request.query.get("id", "").split(",")][:INFO_IDS_CAP]
        found = [post for name in names if (post := self._archive.find(name, now)) and _in_info(post, now)]
        document = listing_document([render(post, self._archive, now) for post in found], None, None)
        document["data"]["children"] += self._known_comments(names, now)
        if self._firehose is not None:
            document["data"]["children"] += [orjson.loads(thing) for thing in self._firehose.things(names)]
        document["data"]["dist"] = len(document["data"]["children"])
        if fault is not None and fault.kind == "others_found":
            document["data"]["children"] = [{"kind": "t3", "data": render(self._archive.posts(now)[0], self._archive, now)}]
        spoil(fault, PageRequest(INFO_IDS_CAP, None, None), document["data"])
        return _json(200, document, request)

    def _known_comments(self, names: Sequence[str], now: float) -> list[dict[str, Any]]:
        found = []
        for name in (name.removeprefix("t1_") for name in names if name.startswith("t1_")):
            post = self._archive.find(f"t3_{post_id_of(name)}", now)
            comments = Discussion(post, now).comments if post else []
            found += [{"kind": "t1", "data": render_comment(each, now)} for each in comments if each.id == name]
        return found

    def _about(self, request: Request, subreddit: str) -> Answer:
        community = self._community(subreddit, "about")
        data = {
            "id": community.subreddit_id.removeprefix("t5_"), "name": community.subreddit_id, "display_name": community.name,
            "display_name_prefixed": f"r/{community.name}", "title": community.name, "public_description": community.description,
            "description": "A subreddit of the Ducklift sandbox; everything in it is invented.", "subscribers": community.subscribers,
            "url": f"/r/{community.name}/", "subreddit_type": "public", "over18": False, "quarantine": False, "lang": "en",
            "created_utc": 1_262_304_000.0, "created": 1_262_332_800.0,
        }  # fmt: skip
        return _json(200, {"kind": "t5", "data": data}, request)

    def _community(self, name: str, page: str) -> Community:
        for community in COMMUNITIES:
            if community.name == name.lower():
                return community
        if refused := REFUSED.get(name.lower()):
            status, reason = refused
            raise _Refusal(_error(status, reason=reason))
        if not SUBREDDIT_NAME.fullmatch(name):
            raise _Refusal(_error(404))
        # Reddit sends clients on to its search for subreddits when there is none of that name.
        raise _Refusal(Answer(302, b"", {"location": f"/subreddits/search.json?q={name}&page={page}"}))

    def _advance(self, request: Request) -> Answer:
        if request.method != "POST":
            return _error(405)
        # A page in a browser cannot send JSON to another origin unasked, so only programs move the clock.
        if not request.headers.get("content-type", "").startswith("application/json"):
            return _json(415, {"message": 'Send JSON, for instance {"hours": 24}', "error": 415})
        try:
            amounts = orjson.loads(request.body)
            now = self.advance(timedelta(**amounts))
        except (ValueError, TypeError, OverflowError) as err:
            return _json(400, {"message": f'{err}. Send for instance {{"hours": 24}} (days, hours, minutes, seconds)', "error": 400})
        return _json(200, {"now": now.isoformat()})

    def _front_page(self) -> bytes:
        names = "".join(f"<li>r/{community.name}</li>" for community in COMMUNITIES)
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Ducklift sandbox</title>"
            "<h1>This is a sandbox, not Reddit</h1><p>A local stand-in for Reddit's API, part of Ducklift. Every post, author and number "
            f"is invented. Its clock says {utc_text(self._clock.now().timestamp())}.</p><ul>{names}</ul></html>"
        ).encode()


def _route(path: str) -> tuple[Endpoint | None, str | None]:
    if path == "/api/v1/access_token":
        return "token", None
    if path.removesuffix(".json") == "/api/info":
        return "info", None
    if path.removesuffix(".json") == "/api/morechildren":
        return "morechildren", None
    for endpoint, form in _ROUTES.items():
        if match := form.fullmatch(path):
            return endpoint, match[1]
    return None, None


def _in_info(post: Post, now: float) -> bool:
    return post.deleted(now) or post.listed(now)


def _fault_instead(fault: Fault | None) -> Answer | None:
    """Return the answer of a fault that takes the place of the normal one."""
    if fault is None:
        return None
    if fault.kind == "status":
        return _error(fault.status, headers={} if fault.retry_after is None else {"retry-after": fault.retry_after})
    if fault.kind == "token_error":
        return _json(200, {"error": "invalid_grant"})
    return None


def _fault_on_top(fault: Fault | None, answer: Answer) -> Answer:
    """Return the answer as a fault of the transport leaves it."""
    match fault.kind if fault else None:
        case "reset_before_body":
            return replace(answer, reset_after_bytes=0)
        case "reset_in_body":
            return replace(answer, reset_after_bytes=len(answer.body) // 2)
        case "malformed_json":
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        case "empty_body":
            return replace(answer, body=b"")
        case "lone_surrogate":
            return replace(answer, body=answer.body.replace(b'"title":"', b'"title":"\\ud83d ', 1))
    if fault is not None and fault.kind == "hang":
        return replace(answer, delay_s=fault.seconds)
    if fault is not None and fault.headers:
        laid_over = {**answer.headers, **{name.lower(): value for name, value in fault.headers.items()}}
        return replace(answer, headers={name: value for name, value in laid_over.items() if value is not None})
    return answer


def _json(status: int, document: Any, request: Request | None = None) -> Answer:
    if request is not None and request.query.get("raw_json") != "1":
        document = escape_strings(document)
    return Answer(status, orjson.dumps(document))


def _error(status: int, *, headers: Mapping[str, str] | None = None, reason: str | None = None) -> Answer:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
    document = {"message": phrase, "error": status} | ({"reason": reason} if reason else {})
    return Answer(status, orjson.dumps(document), headers or {})
