"""Google Cloud Storage behind gcsfs: credentials, creating the bucket, and what each of its answers asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ducklift.errors import ConfigurationError, DuckliftError
from ducklift.lake.credentials import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, is_anonymous, lake_connection
from ducklift.lake.store import Store
from ducklift.settings import Settings

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
LOCATION = "DUCKLIFT_GCS_LOCATION"

_KEYS = "Check key_path or keyfile_dict in the connection 'ducklift_lake', or GOOGLE_APPLICATION_CREDENTIALS."
_ROLE = "Give the account the role Storage Object User on the bucket (and Storage Admin on the project where Ducklift is to create it)."
REFUSALS: dict[str, str] = {
    "400": "The request was not admitted: check the bucket's name, and the project in 'ducklift_lake' or GOOGLE_CLOUD_PROJECT.",
    "401": _KEYS,
    "403": f"{_ROLE} The bucket may also belong to somebody else.",
    "409": "The bucket's name is taken by another project: choose another name in DUCKLIFT_LAKE_URL.",
    "DefaultCredentialsError": f"No credentials were found. {_KEYS} On your own machine: gcloud auth application-default login.",
    "RefreshError": f"The credentials are not valid any more. {_KEYS} A clock that is wrong gives the same answer.",
    "MalformedError": f"The key file is damaged. {_KEYS}",
    "project": "No project is known, so the bucket cannot be created: set project in 'ducklift_lake', or GOOGLE_CLOUD_PROJECT.",
}
TRANSIENT = frozenset({"408", "429", "500", "502", "503", "504", "TransportError", "ChecksumError"})


def gcs_filesystem(settings: Settings) -> Any:
    """Return gcsfs with the connection's key, else `GOOGLE_APPLICATION_CREDENTIALS`, else Google's default chain."""
    from aiohttp import ClientTimeout
    from gcsfs.core import GCSFileSystem

    env, extra = settings.environment, _extra(settings)
    project = extra.get("project") or env.get("GOOGLE_CLOUD_PROJECT") or env.get("GCLOUD_PROJECT") or ""
    endpoint = extra.get("endpoint_url") or env.get("STORAGE_EMULATOR_HOST")
    if endpoint and "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    return GCSFileSystem(
        project=project,
        token="anon" if is_anonymous(settings) else _credentials(extra, env),
        access="read_write",
        endpoint_url=endpoint.rstrip("/") if endpoint else None,
        default_location=extra.get("location") or env.get(LOCATION),
        consistency="md5",
        requests_timeout=ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S),
        use_listings_cache=False,
        skip_instance_cache=True,
    )


def _extra(settings: Settings) -> dict[str, Any]:
    # Connections made by old versions of Airflow still carry the prefix.
    extra = lake_connection(settings).extra
    return {name.removeprefix("extra__google_cloud_platform__"): value for name, value in extra.items() if value}


def _credentials(extra: Mapping[str, Any], env: Mapping[str, str]) -> Any:
    from google import auth

    scopes = [SCOPE]
    if keyfile := extra.get("keyfile_dict"):
        try:
            values = json.loads(keyfile) if isinstance(keyfile, str) else keyfile
        except ValueError:
            # Not chained: the error's own text would show the key.
            raise ConfigurationError("keyfile_dict in the connection 'ducklift_lake' is not JSON.") from None
        return auth.load_credentials_from_dict(values, scopes=scopes)[0]  # type: ignore[no-untyped-call]
    path = extra.get("key_path") or extra.get("credential_config_file") or env.get("GOOGLE_APPLICATION_CREDENTIALS")
    if path:
        if not Path(path).expanduser().is_file():
            raise ConfigurationError(f"There is no key file at {path}. {_KEYS}")
        return auth.load_credentials_from_file(str(Path(path).expanduser()), scopes=scopes)[0]  # type: ignore[no-untyped-call]
    return auth.default(scopes=scopes)[0]


class GcsStore(Store):
    """A bucket (and a prefix in it) behind gcsfs; create-only puts bear `ifGenerationMatch=0`, every put is compared by its MD5."""

    refusals: ClassVar[Mapping[str, str]] = REFUSALS
    transient: ClassVar[frozenset[str]] = TRANSIENT

    @property
    def bucket(self) -> str:
        """Return the bucket's name."""
        return self.root.partition("/")[0]

    def ensure_container(self) -> None:
        """Create the bucket in the settings' project when it is missing; one that another project took first is refused."""
        with self.translated(""):
            if self._bucket_exists():
                return
            filesystem = self.filesystem
            if not filesystem.project:
                raise self.answered("", "project", FileNotFoundError(self.bucket))
            place = {"location": filesystem.default_location} if filesystem.default_location else {}
            try:
                filesystem.call("POST", "b", project=filesystem.project, json={"name": self.bucket, **place}, json_out=True)
            except Exception:
                # Another worker may have been first, or the reply was lost: what is there now decides.
                if not self._bucket_exists():
                    raise

    def named(self, key: str, err: Exception, reading: bool = False) -> DuckliftError | None:
        """Return the error for gcsfs's, Google's or the network's, with the answer's code and what to do about it."""
        from aiohttp import ClientError
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        code = answer_code(err)
        if code:
            return self.answered(key, code, err)
        if isinstance(err, GoogleAuthError):
            return self.answered(key, type(err).__name__, err)
        if isinstance(err, ClientError | RequestException):
            # requests' own errors derive from OSError, and gcsfs raises one for a 502.
            return super().named(key, ConnectionError(type(err).__name__), reading)
        return super().named(key, err, reading)

    def _bucket_exists(self) -> bool:
        try:
            self.filesystem.call("GET", "b/{}", self.bucket, json_out=True)
        except FileNotFoundError:
            return False
        return True


def answer_code(err: Exception) -> str | None:
    """Return the HTTP status that one of gcsfs's exceptions stands for, or None; most of them bear it in their text alone."""
    from gcsfs.retry import ChecksumError, HttpError

    if isinstance(err, HttpError):
        return str(err.code)
    if isinstance(err, ChecksumError):
        return "ChecksumError"
    if isinstance(err, OSError) and str(err).startswith("Forbidden:"):
        return "403"
    if isinstance(err, ValueError) and str(err).startswith("Bad Request:"):
        return "400"
    return None
