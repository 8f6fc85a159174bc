"""S3 and everything that speaks it: credentials, creating the bucket, checked puts, and what each error code asks for."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

from ducklift.errors import DuckliftError, LakeRefused, LakeUnavailable
from ducklift.lake.credentials import CONNECT_TIMEOUT_S, CONNECTION, EXPECTED_OWNER, READ_TIMEOUT_S, is_anonymous
from ducklift.lake.store import Store, StoredObject, Unfinished, stored_object
from ducklift.settings import Settings

ADDRESSING_STYLE = "DUCKLIFT_S3_ADDRESSING_STYLE"

_KEYS = "Check the keys in the connection 'ducklift_lake' or in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
_POLICY = "Check the bucket's policy and the keys' permissions against iam-policy.json."
_OWNER = "The bucket may also belong to another account than the one that expected_bucket_owner names."
REFUSALS: dict[str, str] = {
    "AccessDenied": f"{_POLICY} {_KEYS}",
    "403": f"{_POLICY} {_KEYS} The bucket may also belong to somebody else.",
    "AllAccessDisabled": _POLICY,
    "AccountProblem": "There is a problem with the account: see its billing page.",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidSecurity": _KEYS,
    "AuthorizationHeaderMalformed": "The region is wrong for this bucket: set it in the connection 'ducklift_lake' or in AWS_REGION.",
    "PermanentRedirect": "The bucket lies in another region: set it in the connection 'ducklift_lake' or in AWS_REGION.",
    "IllegalLocationConstraintException": "The bucket cannot be made in this region: set the region in 'ducklift_lake' or AWS_REGION.",
    "ExpiredToken": "The session token has expired: get a new one.",
    "InvalidToken": "The session token is not valid: get a new one.",
    "TokenRefreshRequired": "The session token must be refreshed.",
    "RequestTimeTooSkewed": "This machine's clock is wrong: synchronise it (timedatectl set-ntp true).",
    "RequestExpired": "This machine's clock is wrong: synchronise it (timedatectl set-ntp true).",
    "BucketAlreadyExists": "The bucket's name is taken by another account: choose another name in DUCKLIFT_LAKE_URL.",
    "InvalidBucketName": "The bucket's name is not valid: 3 to 63 lower-case letters, digits, dots and hyphens.",
    "TooManyBuckets": "The account has as many buckets as it may have: delete one or ask for more.",
    "NoSuchBucket": "The bucket is gone. It is created at the next upload; what was in it is not.",
    "InvalidObjectState": "The object lies in an archive: restore it first.",
    "QuotaExceeded": "The store's quota is used up.",
    "EntityTooLarge": "The store takes no object of this size in one put.",
    "ProfileNotFound": "The profile stands in no AWS configuration file: check profile_name in 'ducklift_lake', or AWS_PROFILE.",
    "UnauthorizedSSOTokenError": "The single sign-on session has ended: run 'aws sso login'.",
    "SSOTokenLoadError": "There is no single sign-on session: run 'aws sso login'.",
    "InvalidEndpointURL": "The endpoint is no URL: check endpoint_url in 'ducklift_lake', or AWS_ENDPOINT_URL.",
    "SSLError": "The store's certificate is not trusted: name your CA bundle in AWS_CA_BUNDLE.",
    "NoCredentials": "No keys were found: not in the connection 'ducklift_lake', not in AWS_*, not in the default chain. "
    "To try Ducklift without any account, run 'make run'.",
}
TRANSIENT = frozenset({
    "InternalError", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout",
    "BandwidthLimitExceeded", "TooManyRequests", "OperationAborted", "500", "502", "503", "504", "429", "408", "409",
    "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "ResponseStreamingError",
    "IncompleteReadError", "HTTPClientError", "NoSuchUpload", "ConnectionClosedError", "CredentialRetrievalError",
})  # fmt: skip
WHOLE_BYTES = 64 * 2**20  # of a file that is put by one request, which holds it in memory twice; files that Ducklift writes are smaller
PART_BYTES, MOST_PARTS = 16 * 2**20, 10_000  # of a greater one; S3 takes no more parts
_CONTENT = "application/octet-stream"
LOST_RACES = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
# What servers answer that know no multipart uploads, or of none at the moment (rclone).
NOTHING_TO_LIST = {"NotImplemented", "XNotImplemented", "MethodNotAllowed", "501", "405", "NoSuchBucket", "NoSuchUpload"}
# How servers that know no checksum but Content-MD5 refuse one; the message then names the header.
CHECKSUM_REFUSALS = {"NotImplemented", "XNotImplemented", "InvalidRequest", "InvalidArgument", "400", "501"}


def s3_options(settings: Settings) -> dict[str, Any]:
    """Return the options of s3fs: from the connection when there is one, else from `AWS_*`, else the default chain."""
    connection = settings.connections(CONNECTION)
    env = settings.environment
    extra = dict(connection.extra) if connection else {}
    anonymous = is_anonymous(settings)
    keys = {
        "key": connection.login if connection else env.get("AWS_ACCESS_KEY_ID"),
        "secret": connection.password if connection else env.get("AWS_SECRET_ACCESS_KEY"),
        "token": extra.get("aws_session_token") if connection else env.get("AWS_SESSION_TOKEN"),
    }
    session_files = {"config_file": env.get("AWS_CONFIG_FILE"), "credentials_file": env.get("AWS_SHARED_CREDENTIALS_FILE")}
    profile = extra.get("profile_name") if connection else env.get("AWS_PROFILE")
    endpoint = (
        _service(extra).get("endpoint_url") or extra.get("endpoint_url") or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    )
    owner = extra.get("expected_bucket_owner") or env.get(EXPECTED_OWNER)
    return {
        **({"anon": True} if anonymous else {name: value for name, value in keys.items() if value}),
        **({"endpoint_url": endpoint} if endpoint else {}),
        "session": _session(None if anonymous else profile, session_files),
        "client_kwargs": _client_options(extra, env),
        "config_kwargs": _config(extra, env, bool(endpoint)),
        "s3_additional_kwargs": {"ExpectedBucketOwner": str(owner)} if owner else {},
        "use_listings_cache": False,
        "skip_instance_cache": True,
    }


def _client_options(extra: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    region = extra.get("region_name") or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    verify = extra.get("verify", env.get("AWS_CA_BUNDLE"))
    return {**({"region_name": region} if region else {}), **({"verify": verify} if verify not in (None, "") else {})}


def _config(extra: Mapping[str, Any], env: Mapping[str, str], own_endpoint: bool) -> dict[str, Any]:
    style = dict(extra.get("config_kwargs", {}).get("s3", {})).get("addressing_style") or extra.get("addressing_style")
    # botocore's own trailing checksums are unknown to many servers; the puts that matter carry a SHA-256 of ours.
    checksums = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    return {
        "s3": {"addressing_style": style or env.get(ADDRESSING_STYLE) or "auto"},
        # s3fs retries as well; the product of the two is what counts.
        "retries": {"mode": "standard", "total_max_attempts": 2},
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        **(checksums if own_endpoint else {}),
    }


def _service(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = dict(extra.get("service_config") or {}).get("s3") or {}
    return found


def _session(profile: str | None, files: Mapping[str, str | None]) -> Any:
    """Return a session that reads the named files, which botocore itself would look up in the process's environment alone."""
    from aiobotocore.session import AioSession

    session = AioSession(profile=profile)
    session.register_component("data_loader", _service_descriptions())
    for variable, path in files.items():
        if path:
            session.set_config_variable(variable, path)
    return session


@cache
def _service_descriptions() -> Any:
    """Return botocore's loader, one for all sessions: each step opens the lake anew, and parsing them takes 0.1 s of CPU."""
    from botocore.loaders import create_loader

    return create_loader()


class S3Store(Store):
    """A bucket (and a prefix in it) behind s3fs."""

    refusals: ClassVar[Mapping[str, str]] = REFUSALS
    transient: ClassVar[frozenset[str]] = TRANSIENT
    getting: ClassVar[Mapping[str, Any]] = {"max_concurrency": 1}  # s3fs would hold ten parts of 50 MB in memory

    @property
    def bucket(self) -> str:
        """Return the bucket's name."""
        return self.root.partition("/")[0]

    def ensure_container(self) -> None:
        """Create the bucket in the client's region when it is missing; only ever the caller's own."""
        if self._bucket_exists():
            return
        region = (self.filesystem.client_kwargs or {}).get("region_name") or "us-east-1"
        # us-east-1 has no name as a location: AWS refuses the request when one is given.
        location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            with self.translated(""):
                self.filesystem.call_s3("create_bucket", Bucket=self.bucket, **location)
        except LakeRefused as err:
            # Another task was first. Some stores tell that as if somebody else had the name: then it is asked for once more, as at first.
            if err.code != "BucketAlreadyOwnedByYou" and not (err.code == "BucketAlreadyExists" and self._is_there_by_now()):
                raise
        except LakeUnavailable:
            if not self._bucket_exists():
                raise

    def named(self, key: str, err: Exception, reading: bool = False) -> DuckliftError | None:
        """Return the error for s3fs's or botocore's, with the S3 code and what to do about it."""
        from aiohttp import ClientError

        if isinstance(err, ClientError):
            # A reply that breaks off again and again; s3fs gives it up in the words of the layer below botocore.
            return LakeUnavailable(self.url_of(key), type(err).__name__)
        code = error_code(err)
        if isinstance(err, FileNotFoundError):
            return self.answered(key, code, err) if code == "NoSuchBucket" and key else None
        return self.answered(key, code, err) if code else super().named(key, err, reading)

    def answered(self, key: str, code: str, err: BaseException) -> LakeRefused | LakeUnavailable:
        """Return the error for an S3 code; botocore's own network errors are told from their names."""
        if code not in self.refusals and code.endswith(("ConnectionError", "TimeoutError", "Timeout")):
            return LakeUnavailable(self.url_of(key), code)
        if code in {"AccessDenied", "403"} and self.filesystem.s3_additional_kwargs.get("ExpectedBucketOwner"):
            return LakeRefused(self.url_of(key), code, f"{_POLICY} {_OWNER}")
        return super().answered(key, code, err)

    def _bucket_exists(self) -> bool:
        with self.translated(""):
            try:
                self.filesystem.call_s3("head_bucket", Bucket=self.bucket)
            except FileNotFoundError:
                return False
        return True

    def _is_there_by_now(self) -> bool:
        try:
            return self._bucket_exists()
        except LakeRefused:
            return False

    def _get(self, key: str) -> bytes:
        # One request; s3fs would ask for the size first, and list where there is none.
        data: bytes = self.filesystem.cat_file(self.path(key), max_concurrency=1)
        return data

    def beginning(self, start: str) -> Iterator[StoredObject]:
        """Yield the objects whose keys begin with a text, sorted by key; the store lists no others."""
        return self._listed(start)

    def walk(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects under a prefix, one answer of the store after the other."""
        return self._listed(prefix)

    def _listed(self, start: str) -> Iterator[StoredObject]:
        root, wanted = self.path("").partition("/")[2], self.path(start).partition("/")[2]
        marker: dict[str, str] = {}
        while True:
            with self.translated(start):
                try:
                    answer = self.filesystem.call_s3("list_objects_v2", Bucket=self.bucket, Prefix=wanted, **marker)
                except FileNotFoundError as err:
                    if gone := self.named(start, err):
                        raise gone from err
                    return
            for found in answer.get("Contents") or ():
                yield stored_object(found["Key"].removeprefix(root), {**found, "size": found["Size"]})
            if not answer.get("IsTruncated"):
                return
            marker = {"ContinuationToken": answer["NextContinuationToken"]}

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the multipart uploads that were begun and neither completed nor aborted: their parts are paid for."""
        prefix = self.path("").partition("/")[2]
        marker: dict[str, str] = {}
        while True:
            with self.translated(""):
                try:
                    answer = self.filesystem.call_s3("list_multipart_uploads", Bucket=self.bucket, Prefix=prefix, **marker)
                except Exception as err:
                    if error_code(err) in NOTHING_TO_LIST:
                        return
                    raise
            for upload in answer.get("Uploads") or ():
                yield Unfinished(upload["Key"].removeprefix(prefix), upload["UploadId"], upload["Initiated"])
            if not answer.get("IsTruncated"):
                return
            marker = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def discard(self, unfinished: Unfinished) -> None:
        """Abort a multipart upload; one that was completed in between is left as it is."""
        bucket, _, name = self.path(unfinished.key).partition("/")
        with self.translated(unfinished.key):
            try:
                self.filesystem.call_s3("abort_multipart_upload", Bucket=bucket, Key=name, UploadId=unfinished.handle)
            except Exception as err:
                if error_code(err) != "NoSuchUpload":
                    raise

    def erase_older(self, key: str) -> None:
        """Delete the versions of an object that a newer one, or its deletion, took the place of; none where the bucket keeps none."""
        self._erase_old(key, lambda name: name == key)

    def erase_older_below(self, prefix: str) -> None:
        """Do so for every object under a prefix, and for those that were deleted there, which no listing shows any more."""
        self._erase_old(prefix, lambda name: True)

    def _erase_old(self, prefix: str, chosen: Callable[[str], bool]) -> None:
        root = len(self.path("").partition("/")[2])
        with self.translated(prefix):
            found = [each for each in self._all_versions(prefix) if chosen(each["Key"][root:])]
            gone = {each["Key"] for each in found if each["IsLatest"] and each["marker"]}
            old = [each for each in found if not each["IsLatest"] or each["Key"] in gone]
            # What tells that an object is deleted goes last: without it the newest of the old versions would be there again.
            for each in sorted(old, key=lambda each: (each["Key"], each["marker"])):
                self.filesystem.call_s3("delete_object", Bucket=self.bucket, Key=each["Key"], VersionId=each["VersionId"])

    def _all_versions(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield every version and every marker of a deletion under a prefix, a page of 1,000 at a time."""
        asked: dict[str, str] = {"Prefix": self.path(prefix).partition("/")[2]}
        while True:
            try:
                answer = self.filesystem.call_s3("list_object_versions", Bucket=self.bucket, **asked)
            except Exception as err:
                if error_code(err) in NOTHING_TO_LIST:
                    return
                raise
            for name, marker in (("Versions", False), ("DeleteMarkers", True)):
                yield from ({**each, "marker": marker} for each in answer.get(name) or ())
            if not answer.get("IsTruncated"):
                return
            version = answer.get("NextVersionIdMarker")
            asked = {"Prefix": asked["Prefix"], "KeyMarker": answer["NextKeyMarker"], **({"VersionIdMarker": version} if version else {})}

    def _stat(self, key: str) -> StoredObject:
        bucket, _, name = self.path(key).partition("/")
        found = self.filesystem.call_s3("head_object", Bucket=bucket, Key=name)
        return stored_object(key, {**found, "size": found["ContentLength"]})

    def _put_new(self, key: str, data: bytes) -> None:
        try:
            super()._put_new(key, data)
        except OSError as err:
            if error_code(err) not in LOST_RACES:
                raise

    def _put_file(self, local: Path, key: str, sha256: str) -> None:
        def put(**checksum: str) -> None:
            self.filesystem.put_file(str(local), self.path(key), chunksize=WHOLE_BYTES, ContentType=_CONTENT, **checksum)

        if local.stat().st_size > WHOLE_BYTES:
            self._put_in_parts(local, key)
        else:
            put_checked(put, local, sha256)

    def _put_in_parts(self, local: Path, key: str) -> None:
        """Put a file that a source gave whole, part by part: one request would hold all of it in memory, and S3 takes no more than 5 GB."""
        bucket, _, name = self.path(key).partition("/")
        upload = {"Bucket": bucket, "Key": name}
        upload["UploadId"] = self.filesystem.call_s3("create_multipart_upload", ContentType=_CONTENT, **upload)["UploadId"]
        part_bytes = max(PART_BYTES, -(-local.stat().st_size // MOST_PARTS))
        try:
            with local.open("rb") as source:
                chunks = enumerate(iter(partial(source.read, part_bytes), b""), start=1)
                parts = [{"PartNumber": number, "ETag": self._put_part(chunk, number, upload)} for number, chunk in chunks]
            self.filesystem.call_s3("complete_multipart_upload", MultipartUpload={"Parts": parts}, **upload)
        except Exception as err:
            if error_code(err) == "NoSuchUpload" and self.size(key) is not None:
                return  # completed, and the reply was lost; the size is compared by the caller
            try:
                self.discard(Unfinished(key, upload["UploadId"], None))
            except DuckliftError as second:
                err.add_note(f"The parts that were put stay until `ducklift gc` takes them away: {second}")
            raise

    def _put_part(self, chunk: bytes, number: int, upload: Mapping[str, str]) -> str:
        md5 = base64.b64encode(hashlib.md5(chunk, usedforsecurity=False).digest()).decode()
        etag: str = self.filesystem.call_s3("upload_part", PartNumber=number, Body=chunk, ContentMD5=md5, **upload)["ETag"]
        return etag


def put_checked(put: Callable[..., None], local: Path, sha256: str) -> None:
    """Put a file with its SHA-256 for the server to compare, or with its MD5 where the server refuses the former by name."""
    try:
        put(ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode())
    except Exception as err:
        if error_code(err) not in CHECKSUM_REFUSALS or "checksum" not in _told(err):
            raise
        with local.open("rb") as source:
            md5 = hashlib.file_digest(source, lambda: hashlib.md5(usedforsecurity=False)).digest()
        put(ContentMD5=base64.b64encode(md5).decode())


def _told(err: BaseException) -> str:
    """Return all that the chain of causes says, in lower case."""
    found = str(err)
    while (cause := err.__cause__ or err.__context__) is not None:
        found, err = f"{found} {cause}", cause
    return found.lower()


def error_code(err: BaseException) -> str | None:
    """Return the S3 error code somewhere in the chain of causes (s3fs hides it there), or None."""
    seen: BaseException | None = err
    while seen is not None:
        code = _botocore_code(seen)
        if code:
            return code
        seen = seen.__cause__ or seen.__context__
    return None


def _botocore_code(err: BaseException) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    if isinstance(err, ClientError):
        return str(err.response.get("Error", {}).get("Code") or "unknown")
    if isinstance(err, NoCredentialsError | PartialCredentialsError):
        return "NoCredentials"
    if isinstance(err, BotoCoreError):
        return type(err).__name__
    return None
