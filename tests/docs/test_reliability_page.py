"""docs/reliability.md says of each thing that can go wrong what shows that it does not: what it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text()
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
ROWS_OF = {"A": 25, "B": 24, "E": 18, "G": 15, "S": 47}


class Row(NamedTuple):
    """One row of a table of the page."""

    id: str
    fault: str
    promise: str
    shown: str
    result: str


def rows() -> Iterator[Row]:
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and re.fullmatch(r"[A-Z]\d+", cells[0]):
            yield Row(*cells)


def test_every_row_is_there_once_and_in_order() -> None:
    expected = [f"{letter}{number}" for letter, most in ROWS_OF.items() for number in range(1, most + 1)]
    assert [row.id for row in rows()] == expected


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.id)
def test_a_row_says_what_is_promised_and_its_tests_and_drills_exist(row: Row) -> None:
    assert row.fault
    assert row.promise
    assert row.result
    if row.shown.startswith("does not apply"):
        assert len(row.promise) > 20, "says why it does not apply"
        return
    named = re.findall(r"`([^`]+)`", row.shown)
    assert named, "names a test or a drill"
    for name in named:
        if name.startswith("make "):
            assert name.split()[1] in TARGETS, name
            continue
        path, _, test = name.partition("::")
        assert (ROOT / path).exists(), name
        if test:
            assert re.search(rf"def {re.escape(test)}\(", (ROOT / path).read_text()), name


def test_every_drill_has_a_line_with_its_last_result() -> None:
    lines = re.findall(r"^\| [^|]+ \| [^|]+ \| `make (drill-[a-z0-9-]+)` \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert sorted(lines) == sorted(target for target in TARGETS if target.startswith("drill-"))


def test_every_section_that_is_linked_to_is_there() -> None:
    for path, anchor in re.findall(r"\]\(([^)#]+)#([^)]+)\)", PAGE):
        headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / path).read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
