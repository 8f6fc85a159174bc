from __future__ import annotations

import socket
import socketserver
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from ducklift.errors import ConfigurationError, ExtractionIncomplete, SourceThrottled, SourceUnavailable, StreamRefused
from ducklift.sandbox import Fault
from ducklift.sources.reddit_answers import quota_of, wait_asked_for_s
from ducklift.sources.reddit_client import Patience, parse_listing


@pytest.fixture
def everything(read):
    return [record["name"] for record in read("python/new")]


def names(records):
    return [record["name"] for record in records]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429),
        Fault("status", status=429, retry_after="3"),
        Fault("status", status=429, retry_after="1.5"),
        Fault("status", status=429, retry_after="-4"),
        Fault("status", status=429, retry_after="soon"),
        Fault("status", status=429, retry_after="nan"),
        Fault("status", status=429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        Fault("status", status=429, retry_after="Wed, 99 Foo 2015"),
        Fault("status", status=500),
        Fault("status", status=502, times=3),
        Fault("status", status=503, retry_after="2"),
        Fault("status", status=520),
        Fault("status", status=408),
        Fault("reset_before_body"),
        Fault("reset_in_body"),
        Fault("reset_in_body", after=1, times=3),
        Fault("malformed_json"),
        Fault("malformed_json", after=1, times=4),
        Fault("empty_body"),
        Fault("token_expired", after=1),
        Fault("status", status=401, after=1),
        Fault("status", status=429, endpoint="token", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        Fault("status", status=503, endpoint="token"),
        Fault("status", status=401, endpoint="token"),
        Fault("token_error", endpoint="token"),
        Fault("malformed_json", endpoint="token"),
        Fault("empty_body", endpoint="token"),
        Fault("reset_before_body", endpoint="token"),
        Fault("reset_in_body", endpoint="token"),
    ],
    ids=lambda fault: f"{fault.endpoint} {fault.kind} {fault.status} {fault.retry_after} {fault.times}x",
)
def test_a_passing_fault_is_outlasted_and_no_post_is_lost_or_read_twice(everything, read, fault):
    read.waits_s.clear()
    read.script(fault)

    records = read("python/new")

    assert names(records) == everything
    assert read.report.ordered_and_complete
    assert read.report.retries == len(read.waits_s) == fault.times


@pytest.mark.parametrize("patience", [Patience(timeout_s=2)])
def test_an_answer_that_hangs_is_asked_for_again_and_no_post_is_lost_or_read_twice(everything, read):
    read.waits_s.clear()
    read.script(Fault("hang", seconds=60))

    assert names(read("python/new")) == everything
    assert len(read.waits_s) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-used": "3.5"},
        {"x-ratelimit-used": "many"},
        {"x-ratelimit-reset": "1.5"},
        {"x-ratelimit-reset": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"x-ratelimit-remaining": "inf"},
        {"x-ratelimit-used": None},
        {"x-ratelimit-used": "-1", "x-ratelimit-remaining": "-1", "x-ratelimit-reset": "0"},
        {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"},
    ],
    ids=str,
)
def test_odd_headers_of_a_good_answer_cost_nothing(everything, read, headers):
    read.script(Fault("headers", headers=headers))

    assert names(read("python/new")) == everything
    assert read.report.retries == 0


def test_the_wait_that_the_server_asks_for_is_kept(read):
    read.script(Fault("status", status=429, retry_after="17"))

    read("python/new")

    assert len(read.waits_s) == 1
    assert 17 <= read.waits_s[0] <= 18


def test_waits_without_advice_grow_and_differ(read):
    read.script(Fault("status", status=503, times=4))

    read("python/new")

    assert all(2**n <= wait <= 2**n + 1 for n, wait in enumerate(read.waits_s))
    assert len({wait % 1 for wait in read.waits_s}) > 1


def test_a_wait_longer_than_the_patience_is_left_to_the_next_run(read):
    read.script(Fault("status", status=429, retry_after="200", times=None))

    with pytest.raises(SourceThrottled, match="wait for 200 s") as caught:
        read("python/new")

    assert caught.value.retry_after_s == 200
    assert read.waits_s == []


def test_a_throttle_that_does_not_end_is_named_with_its_wait(read):
    read.script(Fault("status", status=429, retry_after="2", times=None))

    with pytest.raises(SourceThrottled, match="python/new: Reddit throttles") as caught:
        read("python/new")

    assert caught.value.retry_after_s == 2
    assert len(read.waits_s) == read.patience.attempts - 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("status", status=503, times=None), "HTTP 503"),
        (Fault("reset_before_body", times=None), "the connection failed"),
        (Fault("reset_in_body", times=None), "the connection failed"),
        (Fault("status", status=401, times=None), "HTTP 401"),
        (Fault("reset_before_body", endpoint="token", times=None), "the connection failed"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_a_source_that_stays_away_is_asked_a_bounded_number_of_times(read, fault, says):
    read.script(fault)
    asked = []

    def fail():
        with pytest.raises(SourceUnavailable, match=says):
            read("python/new")

    asked = [request for request in read.asked(fail) if (request.method == "POST") == (fault.endpoint == "token")]

    # prawcore repeats requests of its own accord; multiplied, they would be 15.
    assert len(asked) == read.patience.attempts


@pytest.mark.parametrize("fault", [Fault("malformed_json", after=1, times=None), Fault("empty_body", times=None)], ids=lambda f: f.kind)
def test_a_page_that_stays_malformed_fails_the_run_as_incomplete(read, fault):
    read.script(fault)

    with pytest.raises(ExtractionIncomplete, match="python/new"):
        read("python/new")

    assert len(read.waits_s) == read.patience.attempts - 1
    assert not read.report.ordered_and_complete


@pytest.mark.parametrize("patience", [Patience(budget_s=5)])
def test_all_waits_of_a_reading_have_one_budget(read):
    read.script(Fault("status", status=503, times=3), Fault("status", status=503, after=1, times=None))

    with pytest.raises(SourceUnavailable):
        read("python/new")

    assert sum(read.waits_s) <= 5


@pytest.mark.parametrize("patience", [Patience(attempts=2, timeout_s=0.2)])
def test_a_server_that_says_nothing_is_given_up_by_time_out(read):
    read.script(Fault("hang", seconds=30, times=None))

    with pytest.raises(SourceUnavailable, match="no answer in time"):
        read("python/new")


def test_a_server_that_is_not_there_is_unavailable(read):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        read.environment = {"praw_reddit_url": url, "praw_oauth_url": url}

        with pytest.raises(SourceUnavailable, match="ConnectionError"):
            read("python/new")


@pytest.mark.parametrize(("reset", "at_most_s"), [("0", 1), ("7.5", 7), ("1e12", 600)])
def test_an_exhausted_quota_makes_the_next_request_wait_for_one_window_at_most(everything, read, monkeypatch, reset, at_most_s):
    waits_s = []
    now = time.monotonic_ns()
    clock = SimpleNamespace(sleep=waits_s.append, monotonic_ns=lambda: now)
    monkeypatch.setattr("prawcore.rate_limit.time", clock)
    read.script(Fault("headers", headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}))

    assert names(read("python/new")) == everything
    assert at_most_s - 1 < max(waits_s) <= at_most_s


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("status", endpoint="token", status=401, times=None), "does not accept the credentials.*REDDIT_CLIENT_SECRET"),
        (Fault("status", endpoint="token", status=400, times=None), "does not accept the credentials"),
        (Fault("token_error", endpoint="token", times=None), "does not accept the credentials"),
        (Fault("status", endpoint="token", status=403, times=None), "blocks this user agent or this network"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_keys_that_reddit_refuses_are_a_configuration_error_after_one_more_try(read, fault, says):
    read.script(fault)

    with pytest.raises(ConfigurationError, match=says):
        read("python/new")

    assert len(read.waits_s) <= 1


def test_wrong_keys_are_named_without_being_shown(read):
    read.environment = {"REDDIT_CLIENT_ID": "not-the-id", "REDDIT_CLIENT_SECRET": "hush-hush"}

    with pytest.raises(ConfigurationError, match="REDDIT_CLIENT_SECRET") as caught:
        read("python/new")

    assert "hush-hush" not in repr(caught.value)


@pytest.mark.parametrize("kind", ["reset_in_body", "status", "malformed_json"])
def test_an_error_chain_shows_no_request_and_no_key(read, kind):
    read.script(Fault(kind, endpoint="token", times=None))

    with pytest.raises((SourceUnavailable, ExtractionIncomplete)) as caught:
        read("python/new")

    import traceback

    text = "".join(traceback.format_exception(caught.value))
    assert read.settings.environment["REDDIT_CLIENT_SECRET"] not in text
    assert "prawcore" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("private_example", "private_example/new: the subreddit is private"),
        ("banned_example", "banned_example/new: Reddit has banned"),
        ("quarantined_example", "quarantined_example/new: the subreddit is quarantined"),
        ("no_such_place", "no_such_place/new: there is no such subreddit"),
        ("not a name!", "not a name!/new: 'not a name!' is a malformed name"),
        ("x?limit=1", "is a malformed name"),
        ("%2e%2e", "is a malformed name"),
    ],
)
def test_a_subreddit_that_reddit_will_not_give_is_refused_by_name_and_at_once(read, name, says):
    with pytest.raises(StreamRefused, match=says.replace("?", r"\?")) as caught:
        read(f"{name}/new")

    assert caught.value.stream == f"{name}/new"
    assert read.waits_s == []


def test_a_malformed_name_never_reaches_the_server(read):
    def refuse():
        with pytest.raises(StreamRefused):
            read("python#new/new")

    assert read.asked(refuse) == []


@pytest.mark.parametrize(("status", "says"), [(403, "HTTP 403"), (404, "no such"), (451, "legal"), (400, "malformed"), (302, "no such")])
def test_a_refusal_without_a_reason_is_named_by_its_status(read, status, says):
    read.script(Fault("status", status=status, times=None))

    with pytest.raises(StreamRefused, match=says):
        read("python/new")


@pytest.mark.parametrize(
    "document",
    [
        None,
        "",
        [],
        {"error": 403},
        {"kind": "t3", "data": {"children": [], "after": None}},
        {"kind": "Listing"},
        {"kind": "Listing", "data": None},
        {"kind": "Listing", "data": {"children": []}},
        {"kind": "Listing", "data": {"children": None, "after": None}},
        {"kind": "Listing", "data": {"children": [], "after": ""}},
        {"kind": "Listing", "data": {"children": [], "after": 7}},
        {"kind": "Listing", "data": {"children": [{"kind": "t3"}], "after": None}},
        {"kind": "Listing", "data": {"children": [None], "after": None}},
    ],
    ids=str,
)
def test_what_is_no_whole_listing_is_not_taken_for_one(document):
    from ducklift.sources.reddit_answers import Fault as OneFault

    with pytest.raises(OneFault) as caught:
        parse_listing(document)

    assert caught.value.kind == "malformed"


class OneAnswer:
    """A server that gives one and the same answer to every connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self._answer)

    def close(self) -> None:
        self._listener.close()


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers])
    return f"{head}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http("200 OK", b"[]"), ExtractionIncomplete),
        (http("200 OK", b"[" * 100_000), ExtractionIncomplete),
        (http("200 OK", b'{"access_token": "x"}'), ExtractionIncomplete),
        (http("200 OK", b'{"access_token": "x", "expires_in": "soon", "scope": "*"}'), ExtractionIncomplete),
        (http("204 No Content", b""), ExtractionIncomplete),
        (http("302 Found", b""), ExtractionIncomplete),
        (http("401 Unauthorized", b"", "www-authenticate: nonsense"), ConfigurationError),
        (http("415 Unsupported Media Type", b"no json"), ConfigurationError),
        (b"SMTP ready\r\n\r\n", SourceUnavailable),
        (b"", SourceUnavailable),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", SourceUnavailable),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain", SourceUnavailable),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_server_that_is_not_reddit_ends_in_a_named_error(read, answer, error):
    server = OneAnswer(answer)
    read.environment = {"praw_reddit_url": server.url, "praw_oauth_url": server.url}

    with pytest.raises(error):
        read("python/new")

    server.close()


class OneRequestPerConnection(socketserver.ThreadingTCPServer):
    """Grants tokens and an empty listing; silently closes each connection when a second request comes down it."""

    daemon_threads = True

    class RequestHandlerClass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked = self.request.recv(65536)
            token = b'{"access_token": "x", "expires_in": 3600, "scope": "*"}'
            page = b'{"kind": "Listing", "data": {"children": [], "after": null}}'
            body = token if asked.startswith(b"POST") else page
            self.request.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            self.request.recv(65536)


def test_the_connection_that_fetched_the_token_is_not_used_again(read):
    with OneRequestPerConnection(("127.0.0.1", 0), OneRequestPerConnection.RequestHandlerClass) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        read.environment = {"praw_reddit_url": url, "praw_oauth_url": url}

        assert read("python/new") == []
        assert read.report.retries == 0
        assert read.report.ordered_and_complete
        server.shutdown()


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("7", 7),
        ("0", 0),
        ("1.5", 1.5),
        (" 3 ", 3),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("later", None),
        ("1e999", None),
    ],
)
def test_retry_after_counts_where_it_makes_sense(text, wait_s):
    assert wait_asked_for_s({"retry-after": text}) == wait_s


def test_retry_after_as_a_date_is_the_time_until_then():
    moment = datetime.now(UTC) + timedelta(seconds=90)

    assert 60 < wait_asked_for_s({"retry-after": format_datetime(moment, usegmt=True)}) <= 90


def test_a_date_that_has_passed_asks_for_no_wait():
    assert wait_asked_for_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


def test_an_exhausted_quota_says_how_long_to_wait_when_retry_after_does_not():
    headers = {"x-ratelimit-remaining": "0.0", "x-ratelimit-used": "1000", "x-ratelimit-reset": "42"}

    assert wait_asked_for_s(headers) == 42
    assert wait_asked_for_s(headers | {"x-ratelimit-remaining": "5"}) is None


def test_a_quota_never_makes_anyone_wait_longer_than_one_window():
    quota = quota_of({"x-ratelimit-remaining": "0", "x-ratelimit-used": "1", "x-ratelimit-reset": "1e12"})

    assert quota is not None
    assert quota.reset_s == 600
