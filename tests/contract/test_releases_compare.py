"""CompareReleases: what two releases do not have alike."""

from __future__ import annotations

from typing import Any

import pytest

from store.commits.contents import CommitRow
from store.commits.drafts import ADDED, MODIFIED, CommitDraft
from store.database import Database
from store.errors import InvalidField, ReleaseNotFound
from store.paging import Page, PageRequest
from store.releases import compare
from store.releases.compare import ComparedReleases, Section, compare_releases
from store.releases.compare_sections import AUTHORS, CHANGES, COMMITS, REFERENCES
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR
from tests.contract.commits import append_to
from tests.contract.walks import walked

NEW = (
    CommitDraft("c4", "repo", "Ann", "ann@acme.dev", "Fixes WEB-4", 4, {"a": ADDED, "b": MODIFIED}),
    CommitDraft("c3", "repo", "Bob", "bob@acme.dev", "Fixes WEB-1", 3, {"c": ADDED}),
    CommitDraft("c2", "repo", "Eve", "eve@acme.dev", "shared", 2, {"shared": ADDED}),
)
OLD = (
    CommitDraft("c2", "repo"),
    CommitDraft("c1", "repo", "Bob", "bob@acme.dev", "Fixes WEB-1, WEB-0", 1, {"a": ADDED}),
    CommitDraft("c0", "repo", "Dan", "dan@acme.dev", "first", 0, {"z": ADDED}),
)
COMPARED = ComparedReleases("acme", "2.0.0", "acme", "1.0.0")


@pytest.fixture
def acme(database: Database) -> Acme:
    acme = Acme(database, "web", "api")
    acme.release("2.0.0", "web", commits=NEW)
    acme.release("1.0.0", "web", commits=OLD)
    return acme


def differences(acme: Acme, section: Section, size: int) -> list[tuple[str, Any]]:
    def page_at(request: PageRequest) -> Page[compare.Difference]:
        return compare_releases(acme.db, acme.everybody, COMPARED, section, request)

    return [(row.side.name, row.subject) for row in walked(page_at, size)]


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("most", [1, 2, 10_000])
def test_each_side_has_what_the_other_lacks(acme: Acme, size: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "MOST_WALKED", most)
    assert [(side, commit.key) for side, commit in differences(acme, COMMITS, size)] == [
        ("ADDED", "c4"),
        ("ADDED", "c3"),
        ("REMOVED", "c1"),
        ("REMOVED", "c0"),
    ]
    assert [(side, row.commit_key, row.path) for side, row in differences(acme, CHANGES, size)] == [
        ("ADDED", "c4", "a"),
        ("ADDED", "c4", "b"),
        ("ADDED", "c3", "c"),
        ("REMOVED", "c1", "a"),
        ("REMOVED", "c0", "z"),
    ]
    assert [(side, author.email) for side, author in differences(acme, AUTHORS, size)] == [
        ("ADDED", "ann@acme.dev"),
        ("REMOVED", "dan@acme.dev"),
    ]
    assert differences(acme, REFERENCES, size) == [("ADDED", "WEB-4"), ("REMOVED", "WEB-0")]


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("most", [1, 2, 10_000])
def test_commits_that_were_added_later_are_compared_alike(
    acme: Acme, size: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "MOST_WALKED", most)
    for version in ("2.0.0", "1.0.0"):
        for time in (10, 11):
            append_to(acme, CommitDraft(f"{version}-{time}", "repo", commit_time=time), version=version)
    assert [(side, commit.key) for side, commit in differences(acme, COMMITS, size)] == [
        ("ADDED", "2.0.0-11"),
        ("ADDED", "2.0.0-10"),
        ("ADDED", "c4"),
        ("ADDED", "c3"),
        ("REMOVED", "1.0.0-11"),
        ("REMOVED", "1.0.0-10"),
        ("REMOVED", "c1"),
        ("REMOVED", "c0"),
    ]
    assert [row.path for _, row in differences(acme, CHANGES, size)] == ["a", "b", "c", "a", "z"]


def test_a_release_is_like_itself(acme: Acme) -> None:
    itself = ComparedReleases("acme", "1.0.0", "acme", "1.0.0")
    for section in (COMMITS, CHANGES, AUTHORS, REFERENCES):
        assert compare_releases(acme.db, acme.everybody, itself, section, PageRequest(10)).items == ()


def test_both_releases_must_be_the_callers_and_of_one_organization(acme: Acme, database: Database) -> None:
    with pytest.raises(ReleaseNotFound):
        compare_releases(acme.db, acme.member_of("api"), COMPARED, COMMITS, PageRequest(10))
    other = Acme(database, "web", slug="other")
    other.release("1.0.0", "web")
    with pytest.raises(InvalidField):
        compare_releases(
            acme.db, OPERATOR, ComparedReleases("acme", "2.0.0", "other", "1.0.0"), COMMITS, PageRequest(10)
        )


def test_commits_come_with_the_references_of_their_messages(acme: Acme) -> None:
    told = {commit.key: commit.references for _, commit in differences(acme, COMMITS, 100)}
    assert told == {"c4": ("WEB-4",), "c3": ("WEB-1",), "c1": ("WEB-1", "WEB-0"), "c0": ()}


def test_of_large_messages_no_more_is_read_than_the_page_holds(acme: Acme) -> None:
    long = "😀" * 65_536
    keys = [f"{number:04}" for number in range(250)]
    acme.release("3.0.0", "web", commits=tuple(CommitDraft(key, "repo", message=long) for key in keys))
    read: list[int] = []
    acme.db.hooks.append(lambda event: read.append(event.rows))

    def page_at(request: PageRequest) -> Page[compare.Difference]:
        compared = ComparedReleases("acme", "3.0.0", "acme", "1.0.0")
        return compare_releases(acme.db, acme.everybody, compared, COMMITS, request)

    def told(page: Page[compare.Difference]) -> list[str]:
        return [commit.key for commit in (item.subject for item in page.items) if isinstance(commit, CommitRow)]

    page = page_at(PageRequest(1000))
    assert told(page) == keys[: len(page.items)]
    assert 2 <= len(page.items) <= 4
    assert max(read) <= 100
    assert page.next is not None
    second = page_at(PageRequest(1000, page.next))
    assert told(second)[0] == keys[len(page.items)]
