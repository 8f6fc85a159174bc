"""Any REST API, described in the pipeline file: client, resources, paginators. docs/sources/rest_api.md has every word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ducklift.errors import ConfigurationError
from ducklift.settings import Settings
from ducklift.sources.base import Batch, ReadReport, SliceRequest, Source
from ducklift.sources.patience import Patience
from ducklift.sources.rest_config import Client, Resource, ResourceDefaults


class RestApiSource(Source):
    """The selected resources of one API, a stream each."""

    patience: ClassVar[Patience] = Patience()

    type: Literal["rest_api"] = "rest_api"
    client: Client
    resource_defaults: ResourceDefaults = ResourceDefaults()
    resources: tuple[Resource, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _families_are_sound(self) -> RestApiSource:
        names = [resource.name for resource in self.resources]
        if twins := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"resources are named twice: {', '.join(twins)}")
        for name in names:
            self.family(name)
        if not self.streams():
            raise ValueError("no resource is selected: leave selected: false out of one at least")
        return self

    def resource(self, name: str) -> Resource:
        """Return a resource with the defaults put into its endpoint; raises ValueError when there is none of that name."""
        for resource in self.resources:
            if resource.name == name:
                return resource.model_copy(update={"endpoint": resource.endpoint.over(self.resource_defaults.endpoint)})
        raise ValueError(f"there is no resource {name!r}; there are: {', '.join(each.name for each in self.resources)}")

    def family(self, name: str) -> list[Resource]:
        """Return the resources that lead to one, the outermost parent first; raises ValueError on a circle or an unknown parent."""
        found: list[Resource] = []
        wanted: str | None = name
        while wanted is not None:
            if wanted in [each.name for each in found]:
                raise ValueError(f"resource {name!r} is its own parent, over {' and '.join(each.name for each in found)}")
            found.insert(0, self.resource(wanted))
            wanted = found[0].parent_name
        for resource in found:
            _placeholders_have_a_parent(resource)
        return found

    def streams(self) -> Sequence[str]:
        """Return the names of the selected resources."""
        return [resource.name for resource in self.resources if resource.selected]

    def reads_windows(self) -> bool:
        """Return True: what an API gives beyond either bound is left out here."""
        return True

    def read(self, request: SliceRequest, settings: Settings, report: ReadReport) -> Iterator[Batch]:
        """Yield the records of one resource, page by page.

        Raises `StreamRefused` when the API will not give it, `ExtractionIncomplete` when it ended without reason, `ReadingLimit`,
        `CredentialsMissing`, `ConfigurationError`, `SourceThrottled` or `SourceUnavailable`.
        """
        from ducklift.sources.rest_reading import Reading

        if request.stream not in self.streams():
            raise ConfigurationError(f"{request.stream!r} is not a stream of this source; its streams are {', '.join(self.streams())}")
        with Reading(self, request, settings, report) as reading:
            yield from reading.batches()


def _placeholders_have_a_parent(resource: Resource) -> None:
    needs_one = resource.include_from_parent or any(each.resource == "" for each in resource.endpoint.placeholders())
    if needs_one and resource.parent_name is None:
        raise ValueError(f"resource {resource.name!r} speaks of its parent, but has none: write parent: <name of the resource>")
