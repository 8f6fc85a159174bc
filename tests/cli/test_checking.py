from __future__ import annotations

import pytest

GOOD = "name: good\nsource: {type: reddit, subreddits: [python, duckdb]}\ntable: reddit.posts\n"
BAD = "name: bad\nsource: {type: reddit, subreddits: [python]}\ntable: reddit.posts\ntabel: x\n"


@pytest.fixture
def files(home):
    folder = home / "include" / "pipelines"
    (folder / "good.yaml").write_text(GOOD)
    (folder / "bad.yaml").write_text(BAD)
    return folder


@pytest.mark.usefixtures("files")
def test_a_sound_file_is_fit_to_run(ducklift):
    answer = ducklift("validate", "good")

    assert answer.exit_code == 0
    assert answer.stdout == "good: fit to run, 2 streams into reddit.posts\n"


def test_every_table_of_a_pipeline_is_named(ducklift, files):
    (files / "two.yaml").write_text("name: two\nsource: {type: reddit, subreddits: [python], comments: {}}\ntable: reddit.posts\n")
    streams = "[{name: python/new, table: talk.posts}, {name: 'comments:python', table: talk.words}]"
    (files / "none.yaml").write_text(f"name: none\nsource: {{type: reddit, subreddits: [python], comments: {{}}}}\nstreams: {streams}\n")

    assert ducklift("validate", "two").stdout == "two: fit to run, 2 streams into reddit.posts, reddit.comments\n"
    assert ducklift("validate", "none").stdout == "none: fit to run, 2 streams into talk.posts, talk.words\n"


def test_an_error_names_file_and_line_and_does_not_hide_the_other_files(ducklift, files):
    answer = ducklift("validate")

    assert answer.exit_code == 2
    assert f"{files / 'bad.yaml'}:4:" in answer.stderr
    assert "tabel" in answer.stderr
    assert "good: fit to run" in answer.stdout


def test_a_folder_without_pipelines_is_not_fit(ducklift, home):
    answer = ducklift("validate")

    assert answer.exit_code == 2
    assert str(home / "include" / "pipelines") in answer.stderr


def test_a_project_of_stored_values_alone_has_its_storage_file_checked(ducklift, home):
    (home / "include" / "storage.yaml").write_text("io_managers: {lake: {type: filesystem}}\n")

    answer = ducklift("validate")
    assert (answer.exit_code, answer.stdout.partition(":")[0]) == (0, "storage.yaml")


@pytest.mark.usefixtures("files")
def test_an_empty_name_is_no_name_for_all(ducklift):
    assert "There is no pipeline ''" in ducklift("validate", "").stderr


@pytest.mark.parametrize("value", [".nan", ".inf", "true"])
def test_what_is_no_cursor_is_refused_where_a_reading_begins(ducklift, files, value):
    (files / "odd.yaml").write_text(f"{GOOD.replace('good', 'odd')}incremental: {{cursor: created_utc, initial: {value}}}\n")

    assert "is no cursor: write a date" in ducklift("validate", "odd").stderr
