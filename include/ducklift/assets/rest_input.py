"""Inputs from HTTP APIs, read by the same code as the source `rest_api`: pages, retries, limits, and no address that is not public."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from ducklift.assets.contexts import InputContext
from ducklift.assets.errors import ValueUnreadable
from ducklift.assets.inputs import filled, partition_values
from ducklift.assets.keys import partition_folder
from ducklift.assets.managers import InputManager, Surroundings, input_manager
from ducklift.assets.tables import table_as, table_of_records
from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.sources.base import ReadReport, SliceRequest
from ducklift.sources.rest_api import RestApiSource
from ducklift.sources.rest_config import Client
from ducklift.specs import Spec


class RestConfig(Spec):
    """An HTTP API, described as the source `rest_api` describes one: base_url, headers, auth, paginator, limits."""

    client: Client


class RestInput(InputManager):
    """Loads the records of an endpoint: `AssetIn(metadata={"endpoint": {"path": "rates", "params": {"day": "{partition_key}"}}})`.

    Pages are followed and faults retried as the source `rest_api` does. Records come as a list of dictionaries, or as a table where one is
    asked for; where a dictionary is asked for, there has to be one record.
    """

    def __init__(self, config: RestConfig, settings: Settings) -> None:
        self._config, self._settings = config, settings

    def load_input(self, context: InputContext) -> Any:
        """Return the records; raises `ConfigurationError`, and the source's errors when the API will not give them."""
        source, name = self._source(context), context.parameter or context.key
        now = datetime.now(UTC)
        request = SliceRequest(name, now, now)
        records = [record for batch in source.read(request, self._settings, ReadReport()) for record in batch]
        if context.columns:
            records = [{column: record.get(column) for column in context.columns} for record in records]
        if context.type in (None, list):
            return records
        if context.type is dict:
            if len(records) != 1:
                raise ValueUnreadable(name, f"the endpoint gave {len(records)} records, where a dictionary for one was asked for")
            return records[0]
        return table_as(table_of_records(records), context.type)

    def _source(self, context: InputContext) -> RestApiSource:
        name, endpoint = context.parameter or context.key, context.metadata.get("endpoint")
        if not isinstance(endpoint, str | dict):
            raise ConfigurationError(f"{name}: write metadata={{'endpoint': {{'path': 'rates'}}}}, got {endpoint!r}.")
        described: dict[str, Any] = {"path": endpoint} if isinstance(endpoint, str) else dict(endpoint)
        values = partition_values(context)
        quoted = {key: partition_folder(value) for key, value in values.items()}
        described["path"] = filled(str(described.get("path", "")), quoted, context)
        params = {
            key: filled(each, values, context) if isinstance(each, str) else each for key, each in described.get("params", {}).items()
        }
        try:
            resource = {"name": name, "endpoint": {**described, "params": params}}
            return RestApiSource.model_validate({"client": self._config.client, "resources": [resource]})
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            raise ConfigurationError(f"{name}: {'.'.join(map(str, first['loc'][2:]))}: {first['msg']}") from err


@input_manager(config=RestConfig, name="rest")
def rest(config: RestConfig, surroundings: Surroundings) -> RestInput:
    """Return the input manager of an HTTP API."""
    return RestInput(config, surroundings.settings)
