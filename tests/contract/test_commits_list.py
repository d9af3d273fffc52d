"""ListCommits: pages by place, changed files, and the megabyte at which a page ends."""

from __future__ import annotations

import pytest

from store.commits.drafts import ADDED, CommitDraft
from store.commits.read import PAGE_BYTES, ListedCommit, list_commits
from store.commits.set import set_commits
from store.database import Database
from store.errors import ReleaseNotFound
from store.paging import Page, PageRequest, Position
from tests.contract.acme import Acme

VERSION = "1.0.0"


@pytest.fixture
def acme(database: Database) -> Acme:
    acme = Acme(database, "web", "api")
    acme.release(VERSION, "web", "api")
    return acme


def fill(acme: Acme, *commits: CommitDraft) -> None:
    set_commits(acme.db, acme.everybody, "acme", VERSION, commits)


def page(acme: Acme, size: int, position: Position | None = None, *, files: bool = False) -> Page[ListedCommit]:
    return list_commits(acme.db, acme.everybody, "acme", VERSION, PageRequest(size, position), changed_files=files)


def keys(found: Page[ListedCommit]) -> list[str]:
    return [item.commit.key for item in found.items]


def texts(found: Page[ListedCommit]) -> int:
    """Bytes of what a page holds, less than it takes on the wire."""
    return sum(
        len((item.commit.message or "").encode()) + sum(len(file.path.encode()) for file in item.commit.changed_files)
        for item in found.items
    )


def test_pages_walk_forward_and_backward_over_the_same_commits(acme: Acme) -> None:
    fill(acme, *(CommitDraft(str(number)) for number in range(7)))
    first = page(acme, 3)
    second = page(acme, 3, first.next)
    third = page(acme, 3, second.next)
    assert [keys(found) for found in (first, second, third)] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert first.previous is None
    assert third.next is None
    back = page(acme, 3, third.previous)
    assert keys(back) == ["3", "4", "5"]
    front = page(acme, 3, back.previous)
    assert keys(front) == ["0", "1", "2"]
    assert front.previous is None
    assert keys(page(acme, 3, front.next)) == ["3", "4", "5"]


def test_a_release_without_commits_has_one_empty_page(acme: Acme) -> None:
    assert page(acme, 10) == Page((), None, None)


def test_changed_files_come_by_path_and_only_when_asked_for(acme: Acme) -> None:
    fill(acme, CommitDraft("b", changed_files={"z": ADDED, "Z": ADDED, "é": ADDED}), CommitDraft("a"))
    with_files = page(acme, 10, files=True).items
    assert [[file.path for file in item.commit.changed_files] for item in with_files] == [["Z", "z", "é"], []]
    assert [item.commit.changed_files for item in page(acme, 10).items] == [(), ()]
    assert [item.commit.changed_file_count for item in page(acme, 10).items] == [3, 0]


def test_a_page_ends_before_it_passes_a_megabyte_in_both_directions(acme: Acme) -> None:
    message = "é" * 60_000  # 120 kB: eight fit
    fill(acme, *(CommitDraft(str(number), message=message) for number in range(20)))
    first = page(acme, 15)
    assert keys(first) == [str(number) for number in range(8)]
    assert texts(first) <= PAGE_BYTES
    second = page(acme, 15, first.next)
    assert keys(second) == [str(number) for number in range(8, 16)]
    last = page(acme, 15, second.next)
    assert keys(last) == ["16", "17", "18", "19"]
    assert last.next is None
    back = page(acme, 15, last.previous)
    assert keys(back) == [str(number) for number in range(8, 16)]
    assert keys(page(acme, 15, back.previous)) == [str(number) for number in range(8)]


def test_files_count_towards_the_megabyte(acme: Acme) -> None:
    paths = [f"{index:04}" + "p" * 496 for index in range(1000)]  # half a megabyte
    fill(acme, *(CommitDraft(str(number), changed_files=dict.fromkeys(paths, ADDED)) for number in range(5)))
    walked: list[str] = []
    found = page(acme, 100, files=True)
    while True:
        assert texts(found) <= PAGE_BYTES
        assert all(len(item.commit.changed_files) == 1000 for item in found.items)
        walked += keys(found)
        if found.next is None:
            break
        found = page(acme, 100, found.next, files=True)
    assert walked == ["0", "1", "2", "3", "4"]
    assert len(page(acme, 100, files=True).items) == 2


def test_of_a_commit_larger_than_a_page_the_files_are_cut_and_counted(acme: Acme) -> None:
    paths = [f"{index:04}" + "p" * 496 for index in range(4500)]
    big = CommitDraft("big", changed_files=dict.fromkeys(paths, ADDED))
    fill(acme, CommitDraft("before"), big, CommitDraft("after"))
    first = page(acme, 100, files=True)
    assert keys(first) == ["before"]
    second = page(acme, 100, first.next, files=True)
    assert keys(second) == ["big"]
    commit = second.items[0].commit
    assert commit.changed_file_count == 4500
    assert [file.path for file in commit.changed_files] == paths[: len(commit.changed_files)]
    assert PAGE_BYTES * 0.98 < texts(second) <= PAGE_BYTES
    assert keys(page(acme, 100, second.next, files=True)) == ["after"]


def test_one_project_is_enough_to_list_and_none_is_not(acme: Acme) -> None:
    fill(acme, CommitDraft("a"))
    found = list_commits(acme.db, acme.member_of("web"), "acme", VERSION, PageRequest(10))
    assert keys(found) == ["a"]
    with pytest.raises(ReleaseNotFound):
        list_commits(acme.db, acme.member_of(), "acme", VERSION, PageRequest(10))


def test_a_renamed_repository_is_shown_by_its_new_name(acme: Acme) -> None:
    from store.organizations.models import Repository

    fill(acme, CommitDraft("a", "old"))
    acme.db.write(lambda tx: tx.execute(Repository.update(display_name="new", active_name="new")))
    assert [item.commit.repository for item in page(acme, 10).items] == ["new"]
