"""How a pipeline file says who asks: the `auth:` of a REST source. Secrets are named by the place where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from ducklift.sources.rest_guard import AddressRefused, refuse_url
from ducklift.sources.secret_refs import SecretRef
from ducklift.specs import Spec

Name = Annotated[str, Field(min_length=1, pattern=r"^[!-~]+$")]


def checked_url(url: str) -> str:
    """Return a URL that may be asked and says nothing but a place; raises ValueError otherwise."""
    try:
        refuse_url(url)
    except AddressRefused as err:
        raise ValueError(f"this URL may not be asked: {err}") from None
    return url


class BearerAuth(Spec):
    """`Authorization: Bearer …`."""

    type: Literal["bearer"] = "bearer"
    token: SecretRef


class BasicAuth(Spec):
    """HTTP basic authentication."""

    type: Literal["http_basic", "basic"]
    username: str | SecretRef
    password: SecretRef


class ApiKeyAuth(Spec):
    """A key in a header of its own, or in the query."""

    type: Literal["api_key"]
    api_key: SecretRef
    name: Name = "Authorization"
    location: Literal["header", "query"] = "header"


class ClientCredentialsAuth(Spec):
    """OAuth 2.0 client credentials: a token from `access_token_url`, asked for again before it expires and when it is refused."""

    type: Literal["oauth2_client_credentials"]
    access_token_url: str
    client_id: str | SecretRef
    client_secret: SecretRef
    access_token_request_data: dict[str, str | SecretRef] = Field(
        default_factory=dict, description="More fields of the request, such as scope."
    )
    default_token_expiration_s: int = Field(default=3600, alias="default_token_expiration", gt=0)
    credentials_in: Literal["body", "header"] = "body"

    _url = field_validator("access_token_url")(checked_url)


def _typed(value: Any) -> Any:
    # The short form: a token alone.
    return {"type": "bearer", **value} if isinstance(value, Mapping) and "type" not in value and "token" in value else value


Auth = Annotated[
    Annotated[BearerAuth | BasicAuth | ApiKeyAuth | ClientCredentialsAuth, Field(discriminator="type")], BeforeValidator(_typed)
]
