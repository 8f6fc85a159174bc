"""The lake's S3 keys as a secret of DuckDB, for the warehouses whose data DuckDB itself writes to a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ducklift.errors import ConfigurationError, CredentialsMissing
from ducklift.lake.s3 import s3_options
from ducklift.settings import Settings
from ducklift.warehouse.identifiers import quote_literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def s3_secret(settings: Settings, url: str) -> str:
    """Return the statement that lets DuckDB reach the bucket of `url` with the lake's own keys, endpoint and addressing style.

    The statement holds the secret key: it is executed by `execute_secretly`, and never shown or logged.
    """
    options = s3_options(settings)
    keys = _keys(options.get("key"), options.get("secret"), options.get("token"), options.get("profile"))
    values = {**keys, "REGION": options["client_kwargs"].get("region_name") or "us-east-1", "SCOPE": f"s3://{urlsplit(url).netloc}"}
    parts = [f"{name} {quote_literal(value)}" for name, value in values.items()]
    endpoint = options.get("endpoint_url")
    if endpoint:
        place = urlsplit(endpoint)
        parts += [f"ENDPOINT {quote_literal(place.netloc + place.path.rstrip('/'))}", f"USE_SSL {str(place.scheme == 'https').lower()}"]
    if _by_path(options["config_kwargs"]["s3"]["addressing_style"], endpoint, urlsplit(url).netloc):
        parts.append("URL_STYLE 'path'")
    return f"CREATE OR REPLACE TEMPORARY SECRET ducklift_lake (TYPE s3, {', '.join(parts)})"


def _by_path(style: str, endpoint: str | None, bucket: str) -> bool:
    # As botocore's "auto": other people's endpoints seldom have a name per bucket, and a dotted name fits no certificate.
    return style == "path" or (style == "auto" and (bool(endpoint) or "." in bucket))


def _keys(key: str | None, secret: str | None, token: str | None, profile: str | None) -> dict[str, str]:
    if not (key and secret):
        import botocore.session

        found = botocore.session.Session(profile=profile).get_credentials()
        if found is None:
            raise CredentialsMissing(
                "DuckDB needs keys to write the warehouse's data to the bucket, and none were found: not in the connection "
                "'ducklift_lake', not in AWS_*, not in the default chain."
            )
        frozen = found.get_frozen_credentials()
        key, secret, token = frozen.access_key, frozen.secret_key, frozen.token
    return {name: value for name, value in (("KEY_ID", key), ("SECRET", secret), ("SESSION_TOKEN", token)) if value}


def trust_certificates(connection: DuckDBPyConnection, settings: Settings) -> None:
    """Let DuckDB check certificates, by the same authority as the AWS clients: AWS_CA_BUNDLE where it is set."""
    connection.execute("SET enable_server_cert_verification = true")
    if bundle := settings.environment.get("AWS_CA_BUNDLE"):
        connection.execute(f"SET ca_cert_file = {quote_literal(bundle)}")


def execute_secretly(connection: DuckDBPyConnection, statement: str, what: str) -> None:
    """Run a statement that holds a secret; an error of DuckDB's would quote it, so neither its text nor its cause goes on."""
    import duckdb

    try:
        connection.execute(statement)
    except duckdb.Error as err:
        kind = type(err).__name__
    else:
        return
    raise ConfigurationError(f"DuckDB refused the credentials for {what} ({kind}); the values are not shown here.")
