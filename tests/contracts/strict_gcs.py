"""`gcp-storage-emulator`, but a put with `ifGenerationMatch=0` fails where an object is, and content keeps its last byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from gcp_storage_emulator import server as emulator
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

put_without_condition = objects.insert
read_any_data = emulator._read_data


def read_data(request_handler: Any, query: Any) -> Any:
    """Take the parts of an upload apart by their lines: an e-mail parser takes a carriage return at the end for the boundary's."""
    if not request_handler.headers.get("Content-Type", "").startswith("multipart/related"):
        return read_any_data(request_handler, query)
    _, meta, content = emulator._read_raw_data(request_handler).split(b"\n\n", 2)
    meta, _, header = meta.partition(b"\n--")
    return {
        "meta": json.loads(meta),
        "content": content.rpartition(b"\n--")[0],
        "content-type": header.rpartition(b": ")[2].decode(),
    }


def put(request: Any, response: Any, storage: Any, *rest: Any, **options: Any) -> None:
    if request.query.get("ifGenerationMatch") == ["0"] and exists(request, storage):
        response.status = HTTPStatus.PRECONDITION_FAILED
        response.json({"error": {"code": 412, "message": "At least one of the pre-conditions you specified did not hold."}})
        return
    put_without_condition(request, response, storage, *rest, **options)


def exists(request: Any, storage: Any) -> bool:
    data = request.data
    named = data["meta"]["name"] if isinstance(data, dict) and "meta" in data else (data or {}).get("name")
    name = request.query.get("name", [named])[0]
    try:
        storage.get_file_obj(request.params["bucket_name"], name)
    except NotFound:
        return False
    return True


@contextmanager
def strict_gcs() -> Iterator[str]:
    """Run the emulator in memory and yield its URL."""
    emulator._read_data = read_data
    for _, handlers in emulator.HANDLERS:
        for method, handler in handlers.items():
            if handler is put_without_condition:
                handlers[method] = put
    server = emulator.create_server("127.0.0.1", 0, in_memory=True)
    with server:
        yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
