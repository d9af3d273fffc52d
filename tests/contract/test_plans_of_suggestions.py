"""How the databases find suggestions: by indexes alone, and no further than what is looked at.

Every statement that suggestions execute is explained on both databases; on PostgreSQL with its values, and as it is
planned once it was executed often enough for one plan to serve all values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw
import pytest

from store.database import Database
from store.search.suggestions import held_values
from store.search.suggestions.suggest import suggest_values
from tests.contract.plans import Executed, executed, plans_of
from tests.search.dataset import Dataset, write_dataset
from tests.search.evaluator import Release

RELEASES: Final = 6000
KEYS: Final = {
    "release": "package",
    "release.package": "package",
    "release.build": "build",
    "environment": "stage",
    "author": "AUTH",
    "label": "lab",
    "label.build": "build",
}
"""Each with a beginning of some values."""
CALLERS: Final = {"all": (), "few": ("sparse",), "many": ("dense", "sparse")}

MOST_ROWS: Final = 5000
"""Fewer than there are releases, labels or deploys."""

MOST_STEPS: Final = 100_000
"""Of SQLite's machine; reading all 6,000 releases just once for each of 20 values takes ten times as many."""


def releases() -> Iterator[Release]:
    """Of one of a hundred packages and of one of 3,000 authors each; a dozen are of the sparse project."""
    for number in range(RELEASES):
        project = "dense" if number % 500 else "sparse"
        author = f"Author {number % 3000}"
        yield {
            "id": number,
            "version": f"package{number % 97}@1.{number}+build{number}",
            "status": "open" if number % 10 else "archived",
            "created": 1_790_000_000_000_000 + number,
            "released": None,
            "ref": "",
            "owner": "",
            "labels": {"build": f"build{number}", f"label{number % 7}": "set"},
            "projects": [project],
            "commits": [
                {"repository": "shop", "id": f"{number % 3000:08x}", "name": author, "email": None, "fixes": []},
            ],
            "heads": [],
            "deploys": [{"environment": f"stage{number % 1500}", "finished": number, "projects": [project]}],
            "files": [],
            "stays": [],
        }


@pytest.mark.parametrize("at_once", [0, 2000])
def test_suggestions_read_indexes_and_no_more(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    data = write_dataset(database, releases(), projects=("dense", "sparse"))
    monkeypatch.setattr(held_values, "MOST_RELEASES", at_once)
    explained = 0
    with plans_of(database, database_url, most=MOST_ROWS) as plans:
        for caller, projects in CALLERS.items():
            for key in KEYS:
                statements = _executed(database, data, key, projects)
                for statement, values in statements.items():
                    problems = plans.problems(statement, values)
                    assert not problems, f"{key} for {caller}: {statement}\n" + "\n".join(problems)
                explained += len(statements)
    assert explained > 40


@pytest.mark.parametrize("at_once", [0, 2000])
def test_sqlite_begins_in_an_index_where_the_values_begin(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at_once: int
) -> None:
    # A plan does not tell: of several lower bounds SQLite takes the first that it reads for the one to seek.
    data = write_dataset(sqlite, releases(), projects=("dense", "sparse"))
    monkeypatch.setattr(held_values, "MOST_RELEASES", at_once)
    steps: list[int] = []
    file = apsw.Connection(f"{tmp_path}/registry.db", flags=apsw.SQLITE_OPEN_READONLY)
    file.trace_v2(
        apsw.SQLITE_TRACE_PROFILE, lambda event: steps.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"])
    )
    for projects in CALLERS.values():
        for key in KEYS:
            for statement, values in _executed(sqlite, data, key, projects).items():
                file.execute(statement, values).fetchall()
                assert steps[-1] < MOST_STEPS, f"{key}: {statement}"
    file.close()
    assert len(steps) > 40


def _executed(database: Database, data: Dataset, key: str, projects: Sequence[str]) -> Executed:
    """All statements of two calls for a key: one for all there is, and one for what begins so."""

    def suggest() -> None:
        for prefix in ("", KEYS[key]):
            found = suggest_values(database, data.access(*projects), data.slug, key, prefix, size=20)
            assert found.values or found.incomplete

    return executed(suggest)
