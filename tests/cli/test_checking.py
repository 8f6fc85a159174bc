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
