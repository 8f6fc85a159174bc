"""`ducklift ui`: the Lake page in a browser on this machine, without Airflow."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from ducklift.cli.outcome import Json, note, print_json
from ducklift.errors import ConfigurationError

if TYPE_CHECKING:
    from ducklift.web.local import LocalPage
    from ducklift.web.reader import LakeReader


def ui(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where it listens, on 127.0.0.1; 0 takes a free one.")] = 8090,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the address in the browser, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show the lake in a browser: tables, loads and problems. Only reads; ends with Ctrl-C.

    The address that is printed lets one browser in, once.
    """
    from ducklift.web.local import LocalPage

    listener = _listening(port)
    page = LocalPage(listener.getsockname()[1], _open_reader)
    if as_json:
        print_json({"url": page.address})
    else:
        typer.echo(f"The lake:  {page.address}")
        note("The address works once, for one browser. Ctrl-C ends it.")
    if open_browser:
        import webbrowser

        webbrowser.open(page.address)
    _serve(page, listener)


def _open_reader() -> LakeReader:
    from ducklift.settings import load_settings
    from ducklift.web.published_lake import PublishedLake

    return PublishedLake(load_settings())


def _listening(port: int) -> socket.socket:
    from ducklift.web.local import HOST

    try:
        return socket.create_server((HOST, port))
    except OSError as err:
        raise ConfigurationError(f"Port {port} cannot be used ({err}). Choose another: ducklift ui --port 0") from err


def _serve(page: LocalPage, listener: socket.socket) -> None:
    import uvicorn

    # uvicorn ends in good order and raises the signal once more: to end by it is no failure here.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    # An access log would show the token, and a proxy's headers come from nobody who may be believed here.
    config = uvicorn.Config(
        page, access_log=False, proxy_headers=False, server_header=False, lifespan="off", log_level="warning", timeout_graceful_shutdown=3
    )
    uvicorn.Server(config).run(sockets=[listener])
