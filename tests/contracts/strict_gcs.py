"""`gcp-storage-emulator` with a precondition that it does not know: a put with `ifGenerationMatch=0` fails where an object is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import create_server

put_without_condition = objects.insert


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
    from gcp_storage_emulator import server as emulator

    for _, handlers in emulator.HANDLERS:
        for method, handler in handlers.items():
            if handler is put_without_condition:
                handlers[method] = put
    server = create_server("127.0.0.1", 0, in_memory=True)
    with server:
        yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
