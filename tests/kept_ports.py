"""Ports for servers that cannot be handed a listening socket and choose no port themselves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

HOST = "127.0.0.1"


@contextmanager
def kept_ports(count: int) -> Iterator[list[int]]:
    """Keep free ports of loopback until the block ends: nobody else is given them, and whoever names them may listen there.

    A socket that is bound and does not listen does both, as servers set SO_REUSEADDR. A port that was found free and let go again may
    be given away before the server, seconds later, asks for it; and eight such in a row held the same one twice in one of 300 times.
    """
    with ExitStack() as kept:
        sockets = [kept.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((HOST, 0))
        yield [each.getsockname()[1] for each in sockets]
