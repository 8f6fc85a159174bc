"""What a pipeline file says about an API: client, endpoints, resources. The words are those of dlt's REST source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ducklift.sources.json_paths import JsonPath
from ducklift.sources.rest_auth_config import Auth, checked_url
from ducklift.sources.rest_paginator_config import Auto, Paginator
from ducklift.sources.rest_templates import Placeholder, placeholders
from ducklift.sources.secret_refs import SecretRef
from ducklift.specs import Spec, seconds

Header = str | SecretRef
Parameter = bool | int | float | str | SecretRef | list[bool | int | float | str] | None
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Names under which a key would be written out by mistake.
_SECRET_NAME = re.compile(
    r"authorization|proxyauthorization|cookie|(x|x.*)?(apikey|authkey|accesskey|authtoken|accesstoken|secret|clientsecret|token|password|passwd)"
)


def _no_secrets_written_out(values: Any) -> Any:
    for name, value in values.items() if isinstance(values, Mapping) else ():
        plain = re.sub(r"[^a-z]", "", str(name).lower())
        if isinstance(value, str) and value and "{" not in value and _SECRET_NAME.fullmatch(plain):
            raise ValueError(f"{name!r} looks like a secret, which never stands in a pipeline file: write {{env: NAME}}, or use auth")
        _no_secrets_written_out(value)
    return values


def _header_names(values: Mapping[str, Any]) -> Any:
    for name, value in values.items():
        if not _HEADER_NAME.fullmatch(name) or (isinstance(value, str) and not value.isprintable()):
            raise ValueError(f"{name!r} is not a header, or its value has line breaks")
    return _no_secrets_written_out(values)


class RateLimit(Spec):
    """At most so many requests in any stretch of this length."""

    requests: int = Field(strict=True, gt=0)
    per_s: int = Field(alias="per", gt=0, description="A duration such as 1s, 1m or 1h.")

    _seconds = field_validator("per_s", mode="before")(seconds)


class Retries(Spec):
    """How a request that fails is asked again; all waits of a reading together stay below `budget`."""

    attempts: int = Field(default=5, strict=True, ge=1, le=20)
    longest_wait_s: int = Field(default=120, alias="longest_wait", ge=0)
    budget_s: int = Field(default=600, alias="budget", ge=0)

    _seconds = field_validator("longest_wait_s", "budget_s", mode="before")(seconds)


class Limits(Spec):
    """What a reading may cost. One that comes to a limit fails: it never ends early in silence."""

    pages: int = Field(default=100_000, strict=True, gt=0)
    time_s: int | None = Field(default=None, alias="time", gt=0, description="A duration such as 2h.")
    answer_mb: int = Field(default=64, strict=True, gt=0, description="The largest answer, unpacked.")

    _seconds = field_validator("time_s", mode="before")(seconds)


class ResponseAction(Spec):
    """What to do about an answer of this status, or with this text in it: leave it out, ask again, or fail."""

    status_code: int | None = Field(default=None, ge=100, le=599)
    content: str | None = Field(default=None, min_length=1)
    action: Literal["ignore", "retry", "fail"]

    @model_validator(mode="after")
    def _selects(self) -> ResponseAction:
        if self.status_code is None and self.content is None:
            raise ValueError("a response action needs a status_code or a content, for example {status_code: 404, action: ignore}")
        return self


class Incremental(Spec):
    """How the API is asked for what is new; which field the watermark is, the pipeline's own `incremental` says.

    `format` is how the API wants a bound: `as_is`, `iso`, `date`, `epoch_s`, `epoch_ms`, or a pattern with % as strftime has them.
    """

    start_param: str | None = None
    end_param: str | None = None
    row_order: Literal["desc"] | None = Field(default=None, description="Newest first: stop at a page of records older than the start.")
    format: str = "as_is"

    @field_validator("format")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("as_is", "iso", "date", "epoch_s", "epoch_ms") and "%" not in value:
            raise ValueError(f"{value!r} is not a format: write as_is, iso, date, epoch_s, epoch_ms, or a pattern such as '%d.%m.%Y'")
        return value


class Endpoint(Spec):
    """One kind of request. `json` and `data` are bodies for POST."""

    path: str | None = None
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, Header] = Field(default_factory=dict)
    params: dict[str, Parameter] = Field(default_factory=dict)
    body: dict[str, Any] | None = Field(default=None, alias="json")
    data: dict[str, str | SecretRef] | None = Field(default=None, description="A body of form fields.")
    paginator: Paginator | None = None
    data_selector: JsonPath | None = None
    data_may_be_absent: bool = Field(default=False, description="An answer without the selected part is an empty page.")
    response_actions: tuple[ResponseAction, ...] = ()
    incremental: Incremental | None = None
    auth: Auth | None = None

    _headers = field_validator("headers")(_header_names)
    _params = field_validator("params", "body", "data")(_no_secrets_written_out)

    @model_validator(mode="after")
    def _consistent(self) -> Endpoint:
        if self.body is not None and self.data is not None:
            raise ValueError("a request has one body: write json or data, not both")
        if self.method == "GET" and (self.body is not None or self.data is not None):
            raise ValueError("json and data are bodies, which a GET has not: write method: POST")
        if self.path is not None:
            _refuse_strange_path(self.path)
        list(self.placeholders())
        return self

    def placeholders(self) -> list[Placeholder]:
        """Return every placeholder of the request."""
        return list(placeholders([self.path or "", self.params, self.headers, self.body or {}, self.data or {}]))

    def over(self, defaults: Endpoint) -> Endpoint:
        """Return this endpoint with what it does not say taken from `defaults`; headers, parameters and body are put together."""
        update: dict[str, Any] = {name: getattr(defaults, name) for name in defaults.model_fields_set - self.model_fields_set}
        for name in ("headers", "params", "body"):
            if name in defaults.model_fields_set & self.model_fields_set:
                update[name] = {**(getattr(defaults, name) or {}), **(getattr(self, name) or {})}
        return self.model_copy(update=update)


def _refuse_strange_path(path: str) -> None:
    if "://" in path:
        raise ValueError(f"{path.partition('?')[0]!r} is a URL: write the path alone, base_url has the rest")
    if not path.isprintable() or "?" in path or "#" in path or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not a path: parameters belong under params")


class Client(Spec):
    """Where the API is, who asks, and how fast."""

    base_url: str
    headers: dict[str, Header] = Field(default_factory=dict)
    auth: Auth | None = None
    paginator: Paginator = Auto()
    rate_limit: RateLimit | None = None
    timeout_s: int = Field(default=60, alias="timeout", gt=0)
    retries: Retries = Retries()
    limits: Limits = Limits()

    _headers = field_validator("headers")(_header_names)
    _timeout = field_validator("timeout_s", mode="before")(seconds)

    @field_validator("base_url")
    @classmethod
    def _a_place(cls, value: str) -> str:
        checked_url(value)
        if "?" in value or "#" in value:
            raise ValueError("base_url has no parameters: write them under params of the endpoints")
        return value if value.endswith("/") else f"{value}/"


class Resource(Spec):
    """One listing of the API, and a stream of that name unless `selected: false`.

    A resource whose request has a placeholder `{resources.<parent>.<field>}` is asked once for each record of that parent.
    """

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s/{}]+$")]
    endpoint: Endpoint = Endpoint()
    parent: str | None = Field(default=None, description="Whose fields {parent.<field>} are; told by the placeholders otherwise.")
    include_from_parent: tuple[str, ...] = ()
    selected: bool = True

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if isinstance(value, Mapping) and isinstance(value.get("endpoint"), str):
            value = {**value, "endpoint": {"path": value["endpoint"]}}
        return value

    @property
    def path(self) -> str:
        """Return the path below the base URL; the resource's own name where none is written."""
        return self.name if self.endpoint.path is None else self.endpoint.path

    @property
    def parent_name(self) -> str | None:
        """Return the name of the resource that this one is asked for record by record; raises ValueError when there are several."""
        named = {each.resource for each in self.endpoint.placeholders() if each.resource} | ({self.parent} if self.parent else set())
        if len(named) > 1:
            raise ValueError(f"resource {self.name!r} has several parents ({', '.join(sorted(named))}); it can have one")
        return next(iter(named), None)


class ResourceDefaults(Spec):
    """What all resources have in common, unless they say otherwise."""

    endpoint: Endpoint = Endpoint()
