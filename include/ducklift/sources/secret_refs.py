"""Where a secret stands: a pipeline file names the place, never the secret."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import Field, model_validator

from ducklift.errors import ConfigurationError, CredentialsMissing
from ducklift.settings import Connection, Settings
from ducklift.specs import Spec

_HOW = "a secret never stands in a pipeline file: write where it is, {env: NAME} or {connection: NAME}"
_ATTRIBUTES = ("login", "password", "host", "schema")


class SecretRef(Spec):
    """A secret in the environment, in a connection, or in either: the connection is asked first."""

    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="A variable of the environment or of `.env`.")
    connection: str | None = Field(default=None, min_length=1, description="An Airflow connection, by its id.")
    field: str = Field(default="password", min_length=1, description="login, password, host, schema, or a name in the connection's extra.")

    @model_validator(mode="before")
    @classmethod
    def _names_a_place(cls, value: Any) -> Any:
        if isinstance(value, SecretRef):
            return value
        if not isinstance(value, Mapping) or not (value.get("env") or value.get("connection")):
            raise ValueError(_HOW)
        return value

    @property
    def places(self) -> str:
        """Return the places that are looked at, as words."""
        named = [f"field {self.field!r} of the Airflow connection {self.connection!r}"] if self.connection else []
        return " and ".join([*named, *([f"the environment variable {self.env}"] if self.env else [])])

    def find(self, settings: Settings) -> str:
        """Return the secret; raises `CredentialsMissing` naming each place, and `ConfigurationError` when it is not usable."""
        connection = settings.connections(self.connection) if self.connection else None
        found = _field_of(connection, self.field) if connection else None
        if found is None and self.env:
            found = settings.environment.get(self.env, "").strip() or None
        if found is None:
            raise CredentialsMissing(f"No secret was found in {self.places}. Put it there, and nowhere else.")
        if not found.isprintable():
            raise ConfigurationError(f"The secret in {self.places} holds line breaks or control characters; copy it again.")
        settings.on_secret(found)
        return found


def _field_of(connection: Connection, name: str) -> str | None:
    value = getattr(connection, name) if name in _ATTRIBUTES else connection.extra.get(name)
    return str(value).strip() or None if value is not None else None


class Hidden:
    """Knows the secrets of one reading, in the forms in which a text may show them, and takes them out of it."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def add(self, secret: str) -> None:
        """Take note of a secret, as it is and as URLs carry it."""
        self._known |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}

    def add_pair(self, username: str, password: str) -> None:
        """Take note of a password, and of the pair as basic authentication sends it."""
        self.add(password)
        self.add(base64.b64encode(f"{username}:{password}".encode()).decode())

    def out_of(self, text: str) -> str:
        """Return `text` without any secret, the longest first: one may be part of another."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text
