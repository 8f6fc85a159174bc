"""The source contract on an API that hands out pages by offset and knows a bound."""

from __future__ import annotations

import pytest
from scripted_api import SECRET, Asked, Says, ScriptedApi, birds, offset
from source_contract import Since, SourceContract, Trial

BIRDS = birds(2_500)


def listing(asked: Asked) -> Says:
    """Give out birds to those who bear the secret, from a bound on."""
    if asked.headers.get("authorization") != f"Bearer {SECRET}":
        return Says({"message": f"{asked.headers.get('authorization')} is not known here"}, 401)
    since = int(asked.query.get("since", 0))
    return offset([bird for bird in BIRDS if bird["seen"] >= since], largest=500)(asked)


class TestRestApi(SourceContract):
    largest_batch = 1_000

    @pytest.fixture
    def trial(self, api: ScriptedApi) -> Trial:
        api.on("/birds", listing)
        api.on("/echo", lambda asked: Says({"error": f"not with {asked.headers.get('authorization')} {dict(asked.query)}"}, 403))
        client = {"base_url": api.url, "auth": {"type": "bearer", "token": {"env": "BIRDS_TOKEN"}}}
        endpoint = {
            "paginator": {"type": "offset", "limit": 500, "total_path": "total"},
            "params": {"since": "{incremental.start_value}"},
            "incremental": {},
        }
        config = {"type": "rest_api", "client": client, "resources": [{"name": "birds", "endpoint": endpoint}]}
        wrong = {"api_key": {"env": "WRONG_TOKEN"}, "name": "key"}
        return Trial(
            config=config,
            rows=2_500,
            key=["id"],
            environment={"BIRDS_TOKEN": SECRET, "WRONG_TOKEN": "wr0ng/ secret"},
            secrets=[SECRET, "wr0ng/ secret", "wr0ng%2F"],
            broken=[
                {**config, "resources": ["missing"]},
                {**config, "resources": ["echo"]},
                {**config, "client": {**client, "auth": {"type": "bearer", "token": {"env": "WRONG_TOKEN"}}}},
                {**config, "client": {**client, "auth": {"type": "api_key", "location": "query", **wrong}}, "resources": ["echo"]},
                {**config, "client": {**client, "auth": {"type": "api_key", "location": "header", **wrong}}, "resources": ["birds"]},
                {**config, "client": {**client, "auth": {"type": "basic", "username": "me", "password": {"env": "WRONG_TOKEN"}}}},
                {**config, "client": {**client, "auth": {"type": "bearer", "token": {"env": "ABSENT", "connection": "absent"}}}},
            ],
            since=Since("seen", BIRDS[1_200]["seen"]),
            pipeline={"incremental": {"cursor": "seen"}},
        )
