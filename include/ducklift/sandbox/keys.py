"""The sandbox's own keys: random, made once per sandbox folder, worth nothing anywhere else."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ducklift.errors import SandboxUnavailable
from ducklift.sandbox.files import write_atomically


@dataclass(frozen=True)
class SandboxKeys:
    """What the two stand-ins ask their clients for."""

    s3_access_key_id: str
    s3_secret_access_key: str = field(repr=False)
    reddit_client_id: str
    reddit_client_secret: str = field(repr=False)


def load_or_make_keys(path: Path) -> SandboxKeys:
    """Return the keys kept at `path`, making them first where there are none."""
    if path.exists():
        try:
            return SandboxKeys(**json.loads(path.read_text()))
        except (ValueError, TypeError) as err:
            raise SandboxUnavailable(f"The sandbox's keys {path} cannot be read ({err}). Delete it to get new ones.") from err
    keys = SandboxKeys(
        s3_access_key_id="SANDBOX" + secrets.token_hex(6).upper(),
        s3_secret_access_key=secrets.token_hex(20),
        reddit_client_id="sandbox_" + secrets.token_hex(7),
        reddit_client_secret=secrets.token_hex(15),
    )
    write_atomically(path, json.dumps(asdict(keys)).encode())
    return keys
