"""Every S3 fault on every operation of a run: recovered, or a clear error with the S3 code; the next run then ends as a clean one."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from installations import Installation, sightings
from s3_proxy import Fault, S3Proxy

from ducklift.errors import CorruptObject, DuckliftError, LakeRefused, LakeUnavailable
from ducklift.lake import s3
from ducklift.settings import Settings
from ducklift.sources.registry import SOURCE_TYPES

RECORDS = sightings(1, 2, 3)
MOST_REQUESTS = 80

OPERATIONS = {
    "head bucket": ("HEAD", r"^/[^/?]+$"),
    "create bucket": ("PUT", r"^/[^/?]+$"),
    "put probe": ("PUT", r"/raw/\.ducklift-probe"),
    "put marker": ("PUT", r"/_ducklift/lake\.json"),
    "put slice": ("PUT", "/slices/"),
    "put raw file": ("PUT", r"\.jsonl\.gz"),
    "check raw file": ("HEAD", r"\.jsonl\.gz"),
    "get raw file": ("GET", r"\.jsonl\.gz$"),
    "put manifest": ("PUT", "/_loads/"),
    "get manifest": ("GET", r"/_loads/[^?]*\.json$"),
    "put commit record": ("PUT", "/commits/"),
    "put snapshot": ("PUT", "/tables/"),
}
PASSING = {
    "SlowDown": {"action": "status", "status": 503, "code": "SlowDown"},
    "ServiceUnavailable": {"action": "status", "status": 503, "code": "ServiceUnavailable"},
    "InternalError": {"action": "status", "status": 500, "code": "InternalError"},
    "429": {"action": "status", "status": 429, "code": "SlowDown"},
    "RequestTimeout": {"action": "status", "status": 400, "code": "RequestTimeout"},
    "reset": {"action": "reset"},
    "reset halfway": {"action": "reset_halfway"},
    "lost reply": {"action": "lose_reply"},
    "hang": {"action": "hang"},
    "cut reply": {"action": "cut_reply"},
}
# botocore and s3fs do not know this word of some S3-compatible stores, so that the task's own retry is the first.
STAYING = {**PASSING, "TooManyRequests": {"action": "status", "status": 429, "code": "TooManyRequests"}}
# An answer to HEAD has no body: 400 alone tells nothing, and the client does not know 429 without its word.
BODY_ONLY = ("RequestTimeout", "429")
REFUSING = {
    "AccessDenied": 403,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
    "InvalidAccessKeyId": 403,
    "ExpiredToken": 400,
    "QuotaExceeded": 403,
}


@pytest.fixture(scope="module")
def proxy(moto_s3: Any) -> Iterator[S3Proxy]:
    with S3Proxy(moto_s3.url) as running:
        yield running


@pytest.fixture(scope="module")
def shared_options() -> dict[str, dict[str, Any]]:
    """The options of s3fs by endpoint: with a session of its own, each store would have a client of its own, half of a run's work."""
    return {}


@pytest.fixture(autouse=True)
def impatient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, shared_options: dict[str, dict[str, Any]]) -> None:
    """Retry less often and at once, and share one client; where an answer never comes, wait two seconds for it, not a minute."""
    import s3fs
    from botocore.retries.standard import ExponentialBackoff

    real = s3.s3_options
    hangs = "hang" in getattr(request.node, "callspec", SimpleNamespace(params={})).params.values()

    def options(settings: Settings) -> dict[str, Any]:
        place = f"{settings.environment['AWS_ENDPOINT_URL']} {hangs}"
        if place not in shared_options:
            found = real(settings)
            # Only there: a good answer of a slow machine may take long, and one given up would count as a second fault.
            found["config_kwargs"] |= {"read_timeout": 2} if hangs else {}
            shared_options[place] = {**found, "skip_instance_cache": False}
        return shared_options[place]

    monkeypatch.setattr(s3, "s3_options", options)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 2)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0.0)


@pytest.fixture
def bucket(tmp_path: Path, moto_s3: Any, proxy: S3Proxy) -> Installation:
    """An installation whose bucket, which does not exist yet, is reached through the proxy."""
    return in_bucket(tmp_path, moto_s3, proxy)


def in_bucket(folder: Path, moto_s3: Any, proxy: S3Proxy) -> Installation:
    environment = {**moto_s3.environment, "AWS_ENDPOINT_URL": proxy.url}
    return Installation(folder, f"s3://{uuid.uuid4().hex}/lake", environment)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    clean = Installation(tmp_path_factory.mktemp("clean"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCE_TYPES, "listed", "listed_source:ListedSource")
        clean.land(RECORDS)
    return clean.state()


def ends_well(installation: Installation, undisturbed: Mapping[str, Any]) -> None:
    assert installation.state() == undisturbed
    assert installation.inconsistencies() == []


def error_of(installation: Installation) -> DuckliftError | None:
    """Land the records and return the error that this ends with, if any."""
    try:
        installation.land(RECORDS)
    except DuckliftError as err:
        return err
    return None


def sampled(operations: tuple[str, ...], faults: tuple[str, ...], every: Mapping[str, Any]) -> list[Any]:
    """Return all pairs of operation and fault; those outside the sample are slow proofs."""
    return [
        pytest.param(operation, fault, marks=[] if operation in operations or fault in faults else pytest.mark.slow)
        for operation, (method, _) in OPERATIONS.items()
        for fault in every
        if not (method == "HEAD" and fault in BODY_ONLY)
    ]


@pytest.mark.parametrize(("operation", "fault"), sampled(("put manifest",), ("lost reply",), PASSING))
def test_a_fault_that_passes_is_recovered_from(
    operation: str, fault: str, bucket: Installation, proxy: S3Proxy, undisturbed: Mapping[str, Any]
) -> None:
    method, pattern = OPERATIONS[operation]
    scripted = Fault(method=method, pattern=pattern, times=1, **PASSING[fault])

    with proxy.script.spoiling(scripted):
        summary = bucket.land(RECORDS)

    assert scripted.met == 1
    assert summary.state == "loaded"
    ends_well(bucket, undisturbed)


@pytest.mark.parametrize(("operation", "fault"), sampled((), ("SlowDown",), STAYING))
def test_a_fault_that_stays_is_an_error_that_asks_to_try_again(
    operation: str, fault: str, bucket: Installation, proxy: S3Proxy, undisturbed: Mapping[str, Any]
) -> None:
    method, pattern = OPERATIONS[operation]
    scripted = Fault(method=method, pattern=pattern, **STAYING[fault])

    with proxy.script.spoiling(scripted):
        error = error_of(bucket)

    # What was carried out although its reply was lost may be found by looking: then there is nothing to complain of.
    assert isinstance(error, LakeUnavailable) or (error is None and fault in ("lost reply", "cut reply"))
    assert scripted.met
    bucket.land(RECORDS)
    ends_well(bucket, undisturbed)


@pytest.mark.parametrize(("operation", "code"), sampled(("put raw file",), ("AccessDenied",), REFUSING))
def test_a_refusal_is_an_error_that_names_the_code_and_what_to_do(
    operation: str, code: str, bucket: Installation, proxy: S3Proxy, undisturbed: Mapping[str, Any]
) -> None:
    method, pattern = OPERATIONS[operation]
    status = REFUSING[code]

    with proxy.script.spoiling(Fault("status", method, pattern, status=status, code=code)), pytest.raises(LakeRefused) as refused:
        bucket.land(RECORDS)

    # An answer to HEAD has no body, so that there is nothing but the status.
    assert refused.value.code == (str(status) if method == "HEAD" else code)
    assert refused.value.code in str(refused.value)
    bucket.land(RECORDS)
    ends_well(bucket, undisturbed)


PARTS = {
    "begin": ("POST", r"/raw/big\?uploads"),
    "put part": ("PUT", r"/raw/big\?.*partNumber=2"),
    "complete": ("POST", r"/raw/big\?uploadId="),
}


@pytest.fixture
def great_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of three parts, the least that S3 takes."""
    monkeypatch.setattr(s3, "WHOLE_BYTES", 5 * 2**20)
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 2**20)
    file = tmp_path / "great"
    file.write_bytes(random.Random(3).randbytes(11 * 2**20))
    return file


def put(installation: Installation, file: Path) -> None:
    installation.lake.put_file(file, "raw/big", file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        pytest.param(operation, fault, marks=[] if fault in ("lost reply", "reset halfway") else pytest.mark.slow)
        for operation in PARTS
        for fault in PASSING
    ],
)
def test_a_fault_while_a_great_file_is_put_in_parts_is_recovered_from(
    operation: str, fault: str, bucket: Installation, proxy: S3Proxy, great_file: Path
) -> None:
    bucket.lake.ensure_container()
    scripted = Fault(method=PARTS[operation][0], pattern=PARTS[operation][1], times=1, **PASSING[fault])

    with proxy.script.spoiling(scripted):
        put(bucket, great_file)

    assert scripted.met == 1
    assert bucket.lake.read("raw/big") == great_file.read_bytes()
    # An upload that was begun and of which nobody was told is left to gc.
    left = list(bucket.lake.unfinished())
    assert len(left) == (operation == "begin" and fault in ("lost reply", "cut reply"))


@pytest.mark.parametrize("operation", PARTS)
def test_a_great_file_that_cannot_be_put_leaves_nothing_and_is_put_by_the_next_try(
    operation: str, bucket: Installation, proxy: S3Proxy, great_file: Path
) -> None:
    bucket.lake.ensure_container()
    refusing = Fault("status", *PARTS[operation], status=403, code="AccessDenied")

    with proxy.script.spoiling(refusing), pytest.raises(LakeRefused, match="AccessDenied"):
        put(bucket, great_file)

    assert (bucket.lake.size("raw/big"), list(bucket.lake.unfinished())) == (None, [])
    put(bucket, great_file)
    assert bucket.lake.read("raw/big") == great_file.read_bytes()


@pytest.mark.parametrize("code", ["InternalError", ""])
@pytest.mark.parametrize("operation", ["put raw file", "put manifest", "put slice", "put marker", "put commit record"])
def test_a_success_that_was_none_is_noticed_by_looking(
    operation: str, code: str, bucket: Installation, proxy: S3Proxy, undisturbed: Mapping[str, Any]
) -> None:
    with proxy.script.spoiling(Fault("false_200", *OPERATIONS[operation], code=code)):
        error = error_of(bucket)

    assert isinstance(error, LakeUnavailable | CorruptObject)
    bucket.land(RECORDS)
    ends_well(bucket, undisturbed)


def test_a_snapshot_that_was_not_swapped_is_swapped_by_the_next_load(
    bucket: Installation, proxy: S3Proxy, undisturbed: Mapping[str, Any]
) -> None:
    with proxy.script.spoiling(Fault("false_200", *OPERATIONS["put snapshot"])):
        error_of(bucket)

    bucket.land(RECORDS)
    ends_well(bucket, undisturbed)


@pytest.mark.parametrize(("status", "code"), [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed")])
@pytest.mark.parametrize("operation", ["put manifest", "put slice", "put marker", "put commit record"])
def test_a_conflict_of_create_only_puts_is_settled_by_looking(
    operation: str, status: int, code: str, bucket: Installation, proxy: S3Proxy, undisturbed: Mapping[str, Any]
) -> None:
    with proxy.script.spoiling(Fault("status", *OPERATIONS[operation], times=4, status=status, code=code)):
        error = error_of(bucket)

    assert error is None or isinstance(error, LakeUnavailable)
    bucket.land(RECORDS)
    ends_well(bucket, undisturbed)


def test_a_manifest_whose_reply_was_lost_is_not_put_twice(bucket: Installation, proxy: S3Proxy, undisturbed: Mapping[str, Any]) -> None:
    with proxy.script.spoiling(Fault("lose_reply", *OPERATIONS["put manifest"], times=1)):
        summary = bucket.land(RECORDS)

    assert summary.state == "loaded"
    ends_well(bucket, undisturbed)


def test_a_raw_file_that_is_cut_on_its_way_down_is_read_again(bucket: Installation, proxy: S3Proxy, undisturbed: Mapping[str, Any]) -> None:
    with proxy.script.spoiling(Fault("cut_reply", *OPERATIONS["get raw file"], times=1)):
        bucket.land(RECORDS)

    ends_well(bucket, undisturbed)


# Every kind of fault strikes every kind of operation above. These four strike every single request of a run, for they are all that a
# fault can be between client and store: not carried out and told, carried out and not told, refused, and told but not carried out.
EVERY_REQUEST: Mapping[str, Mapping[str, Any]] = {
    "SlowDown": PASSING["SlowDown"],
    "lost reply": PASSING["lost reply"],
    "AccessDenied": {"action": "status", "status": 403, "code": "AccessDenied"},
    "false success": {"action": "false_200", "code": "", "method": "PUT"},
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", EVERY_REQUEST)
def test_a_fault_of_the_nth_request_is_survived_for_every_n(
    fault: str, tmp_path: Path, moto_s3: Any, proxy: S3Proxy, undisturbed: Mapping[str, Any]
) -> None:
    for nth in range(1, MOST_REQUESTS):
        folder = tmp_path / str(nth)
        folder.mkdir()
        installation = in_bucket(folder, moto_s3, proxy)
        scripted = Fault(nth=nth, times=1, **EVERY_REQUEST[fault])
        with proxy.script.spoiling(scripted):
            error = error_of(installation)
        assert error is None or isinstance(error, LakeRefused | LakeUnavailable | CorruptObject), f"request {nth}: {error}"
        if not scripted.met:
            assert nth > 5
            return
        installation.land(RECORDS)
        ends_well(installation, undisturbed)
    pytest.fail("the run had more requests than expected")
