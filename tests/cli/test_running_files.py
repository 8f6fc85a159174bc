"""`ducklift run bucket_file`: the file, the table and the columns by --set, as the shipped pipeline file has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

PIPELINES = Path(__file__).parents[2] / "include" / "pipelines"


def test_a_file_is_loaded_by_its_path_into_a_table_of_choice(ducklift: Any, home: Path) -> None:
    shutil.copy(PIPELINES / "bucket_file.yaml", home / "include" / "pipelines")
    (home / "exports").mkdir()
    (home / "exports" / "a.csv").write_text("id,price\n1,1.5\n2,\n")
    place = f'source.buckets=["{(home / "exports").as_uri()}"]'
    asked = ["run", "bucket_file", "--set", place, "--set", "source.path=*.csv", "--set", "table=bucket.orders", "--json"]

    first, second = ducklift(*asked), ducklift(*asked)

    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr
    told = json.loads(first.stdout)
    assert (told["rows_inserted"], told["loads"][0]["table"]) == (2, "bucket.orders")
    assert json.loads(second.stdout)["state"] == "empty"
