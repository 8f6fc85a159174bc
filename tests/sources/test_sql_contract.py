"""The source contract on tables of three databases."""

from __future__ import annotations

import pytest
from databases import NEEDS_MARIADB, Database, mariadb, new_database, postgres
from source_contract import Since, SourceContract, Trial

__all__ = ["mariadb", "postgres"]

ROWS = 10_240


class _Tables(SourceContract):
    kind = ""

    @pytest.fixture
    def trial(self, request: pytest.FixtureRequest) -> Trial:
        database: Database = new_database(self.kind, request)
        database.sql("CREATE TABLE numbers (id int, changed int, filler varchar(300))", f"INSERT INTO numbers VALUES (0, 0, '{'x' * 250}')")
        for step in range(10):
            database.sql(f"INSERT INTO numbers SELECT id + {2**step}, changed + {2**step}, filler FROM numbers")
        for step in range(1, 10):
            database.sql(f"INSERT INTO numbers SELECT id + {1024 * step}, changed + {1024 * step}, filler FROM numbers WHERE id < 1024")
        config = {"type": "sql_tables", "url": {"env": "SHOP_URL"}, "tables": ["numbers"]}
        return Trial(
            config=config,
            rows=ROWS,
            key=["id"],
            environment={"SHOP_URL": database.url},
            secrets=[database.secret] if database.secret else [],
            broken=[
                {**config, "tables": ["no_such_table"]},
                {**config, "url": {"env": "NO_SUCH_VARIABLE"}},
                {**config, "tables": [], "queries": {"q": "SELECT nothing FROM numbers"}},
            ],
            since=Since("changed", 8_000),
            pipeline={"incremental": {"cursor": "changed"}},
        )


class TestSqlite(_Tables):
    kind, largest_batch = "sqlite", 10_000


class TestPostgres(_Tables):
    kind, largest_batch = "postgres", ROWS


@NEEDS_MARIADB
class TestMariadb(_Tables):
    kind, largest_batch = "mariadb", 10_000
