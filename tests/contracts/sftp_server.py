"""An SFTP server on loopback that serves one folder, with a host key of its own and one user; strict as the protocol's draft asks."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
from paramiko import SFTPAttributes, SFTPServer, SFTPServerInterface

USER, PASSWORD = "courier", "a password of the courier's"


@dataclass(frozen=True)
class SftpPlace:
    """Where the server listens, which host key it shows, and what it serves."""

    port: int
    host_key: str
    folder: Path
    client_key: Path


class Session(paramiko.ServerInterface):
    """Admits one user, by password or by key."""

    def __init__(self, client_key: paramiko.PKey) -> None:
        self.client_key = client_key

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if (username, password) == (USER, PASSWORD) else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL if username == USER and key == self.client_key else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"


class Handle(paramiko.SFTPHandle):
    """An open file."""

    def stat(self) -> Any:
        return SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


def answered(call: Any, *arguments: Any) -> int:
    try:
        call(*arguments)
    except OSError as err:
        return SFTPServer.convert_errno(err.errno or 0)
    return paramiko.SFTP_OK


class Files(SFTPServerInterface):
    """A folder of this machine as the server's root."""

    folder: Path

    def here(self, path: str) -> str:
        return str(self.folder) + self.canonicalize(path)

    def list_folder(self, path: str) -> Any:
        try:
            return [SFTPAttributes.from_stat(entry.stat(), entry.name) for entry in os.scandir(self.here(path))]
        except OSError as err:
            return SFTPServer.convert_errno(err.errno or 0)

    def stat(self, path: str) -> Any:
        try:
            return SFTPAttributes.from_stat(Path(self.here(path)).stat())
        except OSError as err:
            return SFTPServer.convert_errno(err.errno or 0)

    lstat = stat

    def open(self, path: str, flags: int, attr: SFTPAttributes) -> Any:
        try:
            descriptor = os.open(self.here(path), flags, 0o600)
        except OSError as err:
            return SFTPServer.convert_errno(err.errno or 0)
        mode = "r+b" if flags & os.O_RDWR else "wb" if flags & os.O_WRONLY else "rb"
        handle = Handle(flags)
        handle.readfile = handle.writefile = os.fdopen(descriptor, mode)
        return handle

    def remove(self, path: str) -> int:
        return answered(os.remove, self.here(path))

    def rename(self, oldpath: str, newpath: str) -> int:
        # As OpenSSH does it: a link fails where the name is taken.
        done = answered(os.link, self.here(oldpath), self.here(newpath))
        return answered(os.remove, self.here(oldpath)) if done == paramiko.SFTP_OK else done

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return answered(os.replace, self.here(oldpath), self.here(newpath))

    def mkdir(self, path: str, attr: SFTPAttributes) -> int:
        return answered(os.mkdir, self.here(path))

    def rmdir(self, path: str) -> int:
        return answered(os.rmdir, self.here(path))


@contextmanager
def sftp_server(root: Path) -> Iterator[SftpPlace]:
    """Serve `root/files` until the block ends."""
    host_key, client_key = paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)
    (root / "files").mkdir()
    client_key.write_private_key_file(str(root / "client_key"))
    served = type("Served", (Files,), {"folder": root / "files"})
    listener = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(peer)
            transport.add_server_key(host_key)
            transport.set_subsystem_handler("sftp", SFTPServer, served)
            transports.append(transport)
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=Session(client_key))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    shown = f"{host_key.get_name()} {host_key.get_base64()}"
    try:
        yield SftpPlace(listener.getsockname()[1], shown, root / "files", root / "client_key")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in transports:
            transport.close()
        thread.join(5)
