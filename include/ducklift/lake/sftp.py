"""A folder on an SFTP server behind fsspec's filesystem on paramiko: sign-in, host keys, and writes that appear whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import SplitResult, unquote

from ducklift.errors import ConfigurationError, CredentialsMissing, DuckliftError, LakeRefused, LakeUnavailable
from ducklift.lake.credentials import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, environments_keys, is_set, lake_connection
from ducklift.lake.store import Store, StoredObject, Unfinished, is_temporary, temporary_files
from ducklift.settings import Settings

KEEP_ALIVE_S = 30
HOST_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")

_SIGN_IN = "Check login, password or key_file in the connection 'ducklift_lake', or SFTP_USERNAME, SFTP_PASSWORD and SFTP_KEY_FILE."
_HOST_KEY = "Make sure of it, then put the key into ~/.ssh/known_hosts, or into host_key of 'ducklift_lake' or SFTP_HOST_KEY."
REFUSALS: dict[str, str] = {
    "AuthenticationException": _SIGN_IN,
    "BadAuthenticationType": f"The server does not admit this way of signing in. {_SIGN_IN}",
    "PartialAuthentication": f"The server asks for a second factor, which Ducklift cannot give. {_SIGN_IN}",
    "PasswordRequiredException": "The key file is encrypted: set private_key_passphrase in 'ducklift_lake', or SFTP_KEY_PASSPHRASE.",
    "IncompatiblePeer": "Server and client have no algorithm in common: the server is too old.",
    "UnknownHostKey": f"The server's host key is not known. {_HOST_KEY}",
    "Permission denied": "Check who owns the folder on the server and that this user may write there.",
    "Failure": "The server says no more than that: its disk or the user's quota may be full, or the path may be a file.",
    "Operation unsupported": "The server lacks posix-rename@openssh.com, without which nothing can be replaced in one step.",
}
TRANSIENT = frozenset({"SSHException", "ChannelException", "NoValidConnectionsError", "gaierror", "ProxyCommandFailure", "SFTPError"})


def sftp_filesystem(settings: Settings, place: SplitResult) -> Any:
    """Return fsspec's filesystem, connected and with time-outs; the host's key must be known beforehand."""
    from fsspec.implementations.sftp import SFTPFileSystem

    host, port = place.hostname or "", place.port or 22
    keys = _known_keys(settings, host, port)
    checked = {"host_key_policy": "auto_add"} if _unchecked(settings) else _checked(keys, host)
    filesystem = SFTPFileSystem(
        host,
        port=port,
        **_sign_in(settings, place),
        **checked,
        timeout=CONNECT_TIMEOUT_S,
        banner_timeout=CONNECT_TIMEOUT_S,
        auth_timeout=CONNECT_TIMEOUT_S,
        channel_timeout=CONNECT_TIMEOUT_S,
        skip_instance_cache=True,
    )
    filesystem.ftp.get_channel().settimeout(READ_TIMEOUT_S)
    filesystem.client.get_transport().set_keepalive(KEEP_ALIVE_S)
    return filesystem


def _sign_in(settings: Settings, place: SplitResult) -> dict[str, Any]:
    connection, env, keys = lake_connection(settings), settings.environment, environments_keys(settings)
    extra = connection.extra
    user = unquote(place.username or "") or connection.login or env.get("SFTP_USERNAME")
    if not user:
        raise CredentialsMissing(
            "No user for the SFTP server: not in DUCKLIFT_LAKE_URL (sftp://user@host/folder), not as the login of the connection "
            "'ducklift_lake', not in SFTP_USERNAME."
        )
    passphrase = extra.get("private_key_passphrase") or keys.get("SFTP_KEY_PASSPHRASE")
    found: dict[str, Any] = {"username": user, "password": connection.password or keys.get("SFTP_PASSWORD"), "passphrase": passphrase}
    if text := extra.get("private_key"):
        return found | {"pkey": _private_key(str(text), passphrase), "look_for_keys": False, "allow_agent": False}
    if path := extra.get("key_file") or keys.get("SFTP_KEY_FILE"):
        if not Path(path).expanduser().is_file():
            raise ConfigurationError(f"There is no private key at {path}. {_SIGN_IN}")
        return found | {"key_filename": str(Path(path).expanduser()), "look_for_keys": False, "allow_agent": False}
    by_password = bool(found["password"])
    return found | {"look_for_keys": not by_password, "allow_agent": not by_password}


def _private_key(text: str, passphrase: str | None) -> Any:
    import paramiko

    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(StringIO(text), password=passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except (paramiko.SSHException, ValueError):
            continue  # a key of another kind
    raise ConfigurationError("private_key in the connection 'ducklift_lake' is no key that can be read, or its passphrase is wrong.")


def _unchecked(settings: Settings) -> bool:
    extra = lake_connection(settings).extra
    return is_set(extra.get("no_host_key_check")) and not extra.get("host_key")


def _known_keys(settings: Settings, host: str, port: int) -> dict[str, str]:
    """Return the host's known keys by type, in base64: a named one, or those of `known_hosts`."""
    import paramiko

    if named := lake_connection(settings).extra.get("host_key") or settings.environment.get("SFTP_HOST_KEY"):
        words = str(named).split()
        return {words[0]: words[1]} if len(words) > 1 else {"ssh-rsa": words[0]}
    try:
        known = paramiko.HostKeys(str(Path("~/.ssh/known_hosts").expanduser()))
    except FileNotFoundError:
        return {}
    found: Mapping[str, Any] = known.lookup(host if port == 22 else f"[{host}]:{port}") or {}
    return {kind: key.get_base64() for kind, key in found.items()}


def _checked(keys: Mapping[str, str], host: str) -> dict[str, Any]:
    """Return the connection's options that admit these keys alone, and make the server show one of their kinds."""
    import paramiko

    class Known(paramiko.MissingHostKeyPolicy):
        def missing_host_key(self, _client: Any, _hostname: str, key: Any) -> None:
            if keys.get(key.get_name()) != key.get_base64():
                raise UnknownHostKey(f"{host} shows {key.get_name()} {key.fingerprint}")

    kinds = ["rsa-sha2-512", "rsa-sha2-256", *HOST_KEY_TYPES]
    wanted = set(keys) | ({"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in keys else set())
    unwanted = [kind for kind in kinds if kind not in wanted] if keys else []
    return {"host_key_policy": Known(), "disabled_algorithms": {"keys": unwanted}}


class UnknownHostKey(Exception):
    """The server shows a key that is not the one known of it."""


class SftpStore(Store):
    """A folder on an SFTP server: files are written beside their place and renamed into it.

    The protocol's plain rename never overwrites, which makes it the create-only put; replacing takes OpenSSH's posix-rename.
    """

    refusals: ClassVar[Mapping[str, str]] = REFUSALS
    transient: ClassVar[frozenset[str]] = TRANSIENT

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects under a prefix, without the temporary files of writers under way."""
        return (found for found in super().list(prefix) if not is_temporary(found.key))

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the temporary files of writers, also of those that are under way."""
        return temporary_files(super().list(""))

    def discard(self, unfinished: Unfinished) -> None:
        """Remove a temporary file."""
        self.delete(unfinished.handle)

    def named(self, key: str, err: Exception, reading: bool = False) -> DuckliftError | None:
        """Return the error for paramiko's; SFTP itself has hardly any codes, so the class or the text stands for one."""
        from paramiko import SSHException

        if isinstance(err, UnknownHostKey):
            return LakeRefused(self.url_of(key), "UnknownHostKey", f"{err}. {self.refusals['UnknownHostKey']}")
        if isinstance(err, SSHException) or type(err).__name__ in self.transient:
            return self.answered(key, type(err).__name__, err)
        if isinstance(err, PermissionError):
            return self.answered(key, "Permission denied", err)
        if isinstance(err, OSError) and err.errno is None:
            return self._by_text(key, err)
        return super().named(key, err, reading)

    def _by_text(self, key: str, err: OSError) -> DuckliftError | None:
        if "closed" in str(err).lower() or isinstance(err, TimeoutError | ConnectionError):
            return LakeUnavailable(self.url_of(key), "connection closed")
        return self.answered(key, str(err), err)

    def _put_new(self, key: str, data: bytes) -> None:
        temporary = self._write_beside(key, data)
        try:
            self.filesystem.ftp.rename(temporary, self.path(key))
        except OSError:
            self._forget(temporary)
            if not self.filesystem.exists(self.path(key)):
                raise

    def _replace(self, key: str, data: bytes) -> None:
        self._swap(self._write_beside(key, data), key)

    def _put_file(self, local: Path, key: str, sha256: str) -> None:
        del sha256  # the protocol compares no hashes; `put_file` compares the size
        temporary = self._beside(key)
        try:
            self.filesystem.ftp.put(str(local), temporary)
        except OSError:
            self._forget(temporary)
            raise
        self._swap(temporary, key)

    def _swap(self, temporary: str, key: str) -> None:
        try:
            self.filesystem.ftp.posix_rename(temporary, self.path(key))
        except OSError:
            self._forget(temporary)
            raise

    def _beside(self, key: str) -> str:
        folder = self.path(key).rpartition("/")[0]
        self.filesystem.makedirs(folder, exist_ok=True)
        return f"{folder}/.tmp-{uuid.uuid4().hex}"

    def _write_beside(self, key: str, data: bytes) -> str:
        temporary = self._beside(key)
        try:
            with self.filesystem.ftp.open(temporary, "wb") as target:
                target.write(data)
        except OSError:
            self._forget(temporary)
            raise
        return temporary

    def _forget(self, temporary: str) -> None:
        try:
            self.filesystem.ftp.remove(temporary)
        except (OSError, EOFError):
            return  # the connection may be what failed; listings pass over the name
