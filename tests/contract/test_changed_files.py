"""ListChangedFiles: the files that a release's commits changed."""

from __future__ import annotations

from typing import Any

import pytest

from store.commits import changes
from store.commits.changes import ChangeFilter, list_changed_files
from store.commits.drafts import ADDED, DELETED, MODIFIED, CommitDraft
from store.database import Database
from store.errors import ReleaseNotFound
from store.paging import Page, PageRequest
from tests.contract.acme import Acme
from tests.contract.commits import append_to, set_to
from tests.contract.walks import walked

COMMITS = (
    CommitDraft("c3", "api", commit_time=3, changed_files={"src/b.py": MODIFIED, "src/a.py": ADDED}),
    CommitDraft("c2", "web", commit_time=2, changed_files={"src/a.py": DELETED, "docs/ä.md": ADDED}),
    CommitDraft("c1", "api", commit_time=1, changed_files={"src/a.py": ADDED}),
)
EVERYTHING = [
    ("api", "c3", "src/a.py", ADDED),
    ("api", "c3", "src/b.py", MODIFIED),
    ("web", "c2", "docs/ä.md", ADDED),
    ("web", "c2", "src/a.py", DELETED),
    ("api", "c1", "src/a.py", ADDED),
]


@pytest.fixture
def acme(database: Database) -> Acme:
    acme = Acme(database, "web")
    acme.release("1.0.0", "web", commits=COMMITS)
    return acme


def changed(acme: Acme, size: int, version: str = "1.0.0", **sought: Any) -> list[tuple[str, str, str, int]]:
    def page_at(request: PageRequest) -> Page[Any]:
        return list_changed_files(acme.db, acme.everybody, "acme", version, request, sought=ChangeFilter(**sought)).page

    return [(row.repository, row.commit_key, row.path, row.change_type) for row in walked(page_at, size)]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_changes_come_newest_commit_first_and_then_by_path(acme: Acme, size: int) -> None:
    assert changed(acme, size) == EVERYTHING


@pytest.mark.parametrize("size", [1, 100])
def test_filters_leave_what_matches_all_of_them(acme: Acme, size: int) -> None:
    assert changed(acme, size, path_prefix="src/a") == [EVERYTHING[0], EVERYTHING[3], EVERYTHING[4]]
    assert changed(acme, size, path_prefix="docs/ä") == [EVERYTHING[2]]
    assert changed(acme, size, repository="web") == EVERYTHING[2:4]
    assert changed(acme, size, change_types=frozenset({ADDED, DELETED})) == [EVERYTHING[0], *EVERYTHING[2:]]
    assert changed(acme, size, path_prefix="src/", repository="api", change_types=frozenset({MODIFIED})) == [
        EVERYTHING[1]
    ]
    assert changed(acme, size, path_prefix="src/", repository="nowhere") == []


@pytest.mark.parametrize("most", [1, 2])
def test_a_page_that_looked_at_enough_commits_goes_on_behind_them(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(changes, "MOST_WALKED", most)
    assert changed(acme, 100) == EVERYTHING
    assert changed(acme, 1, change_types=frozenset({DELETED})) == [EVERYTHING[3]]
    assert changed(acme, 100, path_prefix="nowhere") == []


@pytest.mark.parametrize("most", [1, 2, 10_000])
@pytest.mark.parametrize("size", [1, 100])
def test_commits_that_came_one_by_one_are_walked_alike(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, most: int, size: int
) -> None:
    monkeypatch.setattr(changes, "MOST_WALKED", most)
    acme.release("2.0.0", "web")
    for commit in reversed(COMMITS):
        append_to(acme, commit, version="2.0.0")
    assert changed(acme, size, "2.0.0") == EVERYTHING
    assert changed(acme, size, "2.0.0", path_prefix="docs/") == [EVERYTHING[2]]


def test_a_page_before_commits_that_are_there_no_longer_begins_with_the_newest(acme: Acme) -> None:
    append_to(acme, CommitDraft("c4", commit_time=4, changed_files={"x": ADDED, "y": ADDED}), version="1.0.0")
    first = list_changed_files(acme.db, acme.everybody, "acme", "1.0.0", PageRequest(1)).page
    set_to(acme, *COMMITS, version="1.0.0")
    rest = list_changed_files(acme.db, acme.everybody, "acme", "1.0.0", PageRequest(10, first.next)).page
    assert [row.path for row in rest.items] == [path for _, _, path, _ in EVERYTHING]


def test_counts_are_of_all_pages_and_of_what_the_filters_leave(acme: Acme) -> None:
    def counts(**sought: Any) -> dict[int, int]:
        listed = list_changed_files(
            acme.db,
            acme.everybody,
            "acme",
            "1.0.0",
            PageRequest(1),
            sought=ChangeFilter(**sought),
            with_counts=True,
        )
        return listed.counts

    assert counts() == {ADDED: 3, DELETED: 1, MODIFIED: 1}
    assert counts(repository="api") == {ADDED: 2, MODIFIED: 1}
    assert counts(path_prefix="nowhere") == {}


def test_a_release_without_commits_changed_nothing(acme: Acme) -> None:
    acme.release("2.0.0", "web")
    assert changed(acme, 10, "2.0.0") == []
    with pytest.raises(ReleaseNotFound):
        changed(acme, 10, "3.0.0")
