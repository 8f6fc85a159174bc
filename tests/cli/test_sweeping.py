"""`ducklift sweep` on a table of one's own, by a file of keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ducklift.cli.app import app

SHOP: dict[str, Any] = {
    "name": "shop",
    "source": {"type": "python", "function": "shop_records:customers"},
    "table": "shop.customers",
    "disposition": "merge",
    "primary_key": ["id"],
}
RECORDS = "def customers():\n    yield [{'id': 1, 'name': 'Ada', 'city': 'Graz'}, {'id': 2, 'name': 'Bo', 'city': 'Lund'}]\n"


@pytest.fixture
def shop(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ducklift.settings.PROJECT", project)
    monkeypatch.syspath_prepend(str(project))
    (project / "shop_records.py").write_text(RECORDS)
    (project / "include" / "pipelines" / "shop.yaml").write_text(json.dumps(SHOP))
    assert answered("run shop").exit_code == 0
    (project / "keys.txt").write_text("2\n")
    (project / "latin.txt").write_bytes("2\xe9\n".encode("latin-1"))
    return project


def answered(command: str) -> Any:
    return CliRunner().invoke(app, command.split(), prog_name="ducklift")


BY_KEYS = "sweep shop --keys keys.txt --table shop.customers --fields name"


def test_records_are_swept_by_a_file_of_keys_when_told_to(shop: Path) -> None:
    shown = answered(BY_KEYS)
    assert (shown.exit_code, shown.stdout) == (0, "shop.customers: 1 of 1 records are gone.\n")
    assert "Add --apply" in shown.output

    done = json.loads(answered(f"{BY_KEYS} --apply --json").stdout)

    assert (done["applied"], done["tables"][0]["rows"], done["tables"][0]["rewritten"]) == (True, 1, 1)
    rows = CliRunner().invoke(app, ["query", "--format", "csv", "SELECT id, name, city FROM shop.customers ORDER BY 1"]).stdout
    assert rows.split() == ["id,name,city", "1,Ada,Graz", "2,,Lund"]
    assert answered("loads").stdout.count("sweep")
    assert answered("rebuild --verify").exit_code == 0


def test_a_file_of_keys_that_windows_wrote_sweeps_the_same_records(shop: Path) -> None:
    (shop / "keys.txt").write_bytes(b"\xef\xbb\xbf2\r\n")

    assert json.loads(answered(f"{BY_KEYS} --apply --json").stdout)["tables"][0]["rows"] == 1


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("sweep shop", "cannot tell which of its records are gone"),
        ("sweep shop --fields name", "go with --keys"),
        ("sweep shop --keys keys.txt", "needs --table"),
        (BY_KEYS.replace("keys.txt", "none.txt"), "cannot be read"),
        (BY_KEYS.replace("shop.customers", "shop.others"), "has no table shop.others"),
        (f"{BY_KEYS},Name --apply", "no record has a field Name. Name them as the records do: city, id, name."),
        (f"{BY_KEYS},id --apply", "id is its key or its cursor"),
        (BY_KEYS.replace("keys.txt", "latin.txt"), "byte 1 is no UTF-8"),
    ],
)
def test_what_cannot_be_swept_says_why(shop: Path, command: str, says: str) -> None:
    result = answered(command)

    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
