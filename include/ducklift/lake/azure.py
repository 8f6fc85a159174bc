"""Azure Blob Storage behind adlfs: credentials, creating the container, and what each of its codes asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ducklift.errors import CredentialsMissing, DuckliftError
from ducklift.lake.credentials import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, environments_keys, is_anonymous, lake_connection
from ducklift.lake.store import Store
from ducklift.settings import Connection, Settings

_KEYS = "Check the account and its key in the connection 'ducklift_lake' or in AZURE_STORAGE_*; a wrong clock gives the same answer."
_ROLE = "Give the identity the role Storage Blob Data Contributor on the account or the container."
_NAME = "Check the container's name in DUCKLIFT_LAKE_URL: 3 to 63 lower-case letters, digits and hyphens."
REFUSALS: dict[str, str] = {
    "AuthenticationFailed": _KEYS,
    "InvalidAuthenticationInfo": _KEYS,
    "NoAuthenticationInformation": f"No keys were sent. {_KEYS}",
    "AuthorizationFailure": f"{_ROLE} {_KEYS} The account's firewall may also keep this machine out.",
    "AuthorizationPermissionMismatch": _ROLE,
    "InsufficientAccountPermissions": _ROLE,
    "AuthorizationProtocolMismatch": "The shared access signature does not admit this protocol: use https.",
    "AuthorizationResourceTypeMismatch": "The shared access signature must admit containers and objects (srt=co).",
    "AuthorizationServiceMismatch": "The shared access signature must admit the blob service (ss=b).",
    "AuthorizationSourceIPMismatch": "The shared access signature does not admit this machine's address.",
    "KeyBasedAuthenticationNotPermitted": "The account admits no keys: sign in by an identity (AZURE_CLIENT_ID … or a managed identity).",
    "PublicAccessNotPermitted": "The account admits no anonymous access: set a key or an identity.",
    "ClientAuthenticationError": f"No identity could sign in. {_KEYS}",
    "CredentialUnavailableError": f"No identity was found. {_KEYS}",
    "AccountIsDisabled": "The storage account is disabled: see its billing page.",
    "ContainerNotFound": "The container is gone. It is created at the next upload; what was in it is not.",
    "ContainerDisabled": "The container is disabled by its administrator.",
    "InvalidResourceName": _NAME,
    "OutOfRangeInput": _NAME,
    "BlobArchived": "The object lies in the archive tier: rehydrate it first.",
    "BlobImmutableDueToPolicy": "The container's immutability policy forbids the change: Ducklift must be able to replace its snapshots.",
    "LeaseIdMissing": "Somebody holds a lease on the object: break it.",
}
TRANSIENT = frozenset({
    "ServerBusy", "InternalError", "OperationTimedOut", "ContainerBeingDeleted", "Md5Mismatch", "AccountBeingCreated",
    "ServiceRequestError", "ServiceResponseError", "ServiceRequestTimeoutError", "ServiceResponseTimeoutError", "IncompleteReadError",
    "429", "500", "502", "503", "504", "408",
})  # fmt: skip


def azure_filesystem(settings: Settings) -> Any:
    """Return adlfs on a client of our own making, which has time-outs; adlfs's would wait five minutes for a silent server."""
    from adlfs import AzureBlobFileSystem
    from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

    connection, env = lake_connection(settings), settings.environment
    options: dict[str, Any] = {
        "connection_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3),
    }
    keys = environments_keys(settings)
    text = connection.extra.get("connection_string") or keys.get("AZURE_STORAGE_CONNECTION_STRING")
    if text and not is_anonymous(settings):
        client, credential = BlobServiceClient.from_connection_string(text, **options), None
    else:
        url = account_url(connection, env)
        credential = None if is_anonymous(settings) else _credential(connection, env, keys, url)
        client = BlobServiceClient(url, credential=credential, **options)
    identity = credential if hasattr(credential, "get_token") else None
    filesystem = AzureBlobFileSystem(
        account_name=client.account_name,
        credential=identity,
        anon=True,
        use_listings_cache=False,
        skip_instance_cache=True,
        assume_container_exists=True,
    )
    filesystem.service_client = client
    return filesystem


def account_url(connection: Connection, env: Mapping[str, str]) -> str:
    """Return the URL of the account's blob service: an endpoint of its own, else Azure's for the account's name."""
    endpoint = connection.extra.get("account_url") or connection.host or env.get("AZURE_STORAGE_SERVICE_ENDPOINT")
    if endpoint:
        return str(endpoint) if "://" in str(endpoint) else f"https://{endpoint}"
    account = (
        connection.extra.get("account_name")
        or connection.login
        or env.get("AZURE_STORAGE_ACCOUNT_NAME")
        or env.get("AZURE_STORAGE_ACCOUNT")
    )
    if not account:
        raise CredentialsMissing(
            "No storage account is named: not as the login or account_url of the connection 'ducklift_lake', not in "
            "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_SERVICE_ENDPOINT or AZURE_STORAGE_CONNECTION_STRING."
        )
    return f"https://{account}.blob.core.windows.net"


def _credential(connection: Connection, env: Mapping[str, str], keys: Mapping[str, str], url: str) -> Any:
    extra = connection.extra
    tenant = extra.get("tenant_id")
    if tenant and connection.login and connection.password:
        return _service_principal(str(tenant), connection.login, connection.password)
    key = extra.get("shared_access_key") or connection.password or keys.get("AZURE_STORAGE_ACCOUNT_KEY") or keys.get("AZURE_STORAGE_KEY")
    if key:
        return _named_key(connection, env, url, str(key))
    if token := extra.get("sas_token") or keys.get("AZURE_STORAGE_SAS_TOKEN"):
        return str(token).removeprefix("?")
    named = [keys.get(name) for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")]
    if all(named):
        return _service_principal(*(str(value) for value in named))
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=extra.get("managed_identity_client_id") or env.get("AZURE_CLIENT_ID"))


def _named_key(connection: Connection, env: Mapping[str, str], url: str, key: str) -> dict[str, str]:
    account = connection.extra.get("account_name") or connection.login or env.get("AZURE_STORAGE_ACCOUNT_NAME")
    # A custom domain does not bear the account's name, and the signature needs it.
    return {"account_name": str(account or (urlsplit(url).hostname or "").partition(".")[0]), "account_key": key}


def _service_principal(tenant: str, client: str, secret: str) -> Any:
    from azure.identity.aio import ClientSecretCredential

    return ClientSecretCredential(tenant, client, secret)


class AzureStore(Store):
    """A container (and a prefix in it) behind adlfs; create-only puts bear `If-None-Match: *`, files an MD5 that the server compares."""

    refusals: ClassVar[Mapping[str, str]] = REFUSALS
    transient: ClassVar[frozenset[str]] = TRANSIENT

    def ensure_container(self) -> None:
        """Create the container when it is missing. An account is one owner's, so nobody else's can be met."""
        from azure.core.exceptions import ResourceExistsError
        from fsspec.asyn import sync

        container = self.root.partition("/")[0]
        with self.translated(""):
            client = self.filesystem.service_client.get_container_client(container)
            if sync(self.filesystem.loop, client.exists):
                return
            try:
                sync(self.filesystem.loop, client.create_container)
            except ResourceExistsError as err:
                # It also answers so while a container of that name is still being deleted.
                if getattr(err, "error_code", None) != "ContainerAlreadyExists":
                    raise

    def named(self, key: str, err: Exception, reading: bool = False) -> DuckliftError | None:
        """Return the error for Azure's, with its code and what to do about it."""
        found = _azure_error(err)
        if found is None or isinstance(err, FileNotFoundError | FileExistsError):
            return super().named(key, err, reading)
        return self.answered(key, _code(found), found)

    def _put_file(self, local: Path, key: str, sha256: str) -> None:
        del sha256  # the service compares MD5s
        self.filesystem.put_file(str(local), self.path(key), validate_content=True)


def _azure_error(err: BaseException | None) -> Any:
    from azure.core.exceptions import AzureError

    while err is not None and not isinstance(err, AzureError):
        err = err.__cause__
    return err


def _code(err: Any) -> str:
    known = {*REFUSALS, *TRANSIENT}
    status = getattr(err, "status_code", None)
    code = getattr(err, "error_code", None) or (str(status) if str(status) in known else type(err).__name__)
    return str(getattr(code, "value", code))
