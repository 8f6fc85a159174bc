"""Every worked example of the documentation gives what the page says."""

from __future__ import annotations

import pytest
from installations import Installation
from sql_examples import Example, examples, run

PAGES = ("dispositions.md", "contracts.md", "columns.md")
EXAMPLES = {f"{page}: {example.title}": example for page in PAGES for example in examples(page)}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_worked_example_gives_what_its_page_says(installation: Installation, example: Example) -> None:
    compared = run(example, installation)

    assert compared
    for said, found in compared:
        assert found == said


def test_every_page_has_worked_examples() -> None:
    assert all(examples(page) for page in PAGES)
