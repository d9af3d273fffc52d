"""References are kept with commits and with every release that holds them. Rules: behaviour.md, References."""

from __future__ import annotations

import pytest

from store.commits.contents import SHOWN
from store.commits.drafts import CommitDraft
from store.commits.models import CommitReference, ReleaseCommit, ReleaseReference
from store.database import Database
from store.releases.read import get_release
from tests.contract.acme import Acme
from tests.contract.callers import at_once, errors_in
from tests.contract.commits import VERSION, append_to, count, listed, set_to

LATER = "app@2.0.0"


@pytest.fixture
def acme(database: Database) -> Acme:
    acme = Acme(database, "web")
    for version in (VERSION, LATER):
        acme.release(version, "web")
    return acme


def references(acme: Acme, version: str = VERSION) -> tuple[str, ...]:
    contents = get_release(acme.db, acme.everybody, "acme", version).contents
    assert contents is not None
    return contents.references


def by_commit(acme: Acme, version: str = VERSION) -> dict[str, tuple[str, ...]]:
    return {commit.key: commit.references for commit in listed(acme, version)}


def test_commits_and_their_release_tell_what_the_messages_fix(acme: Acme) -> None:
    details = set_to(
        acme,
        CommitDraft("a", "r", message="Fix login\n\nFixes WEB-2, web-1", commit_time=3),
        CommitDraft("b", "r", message="Closes https://x.example/issues/7 and WEB-2", commit_time=2),
        CommitDraft("c", "r", message="See WEB-9", commit_time=1),
        CommitDraft("d", "r"),
    )
    assert by_commit(acme) == {
        "a": ("WEB-2", "WEB-1"),
        "b": ("https://x.example/issues/7", "WEB-2"),
        "c": (),
        "d": (),
    }
    assert details.contents is not None
    assert details.contents.last_commit is not None
    assert details.contents.last_commit.references == ("WEB-2", "WEB-1")
    assert details.contents.references == ("WEB-1", "WEB-2", "https://x.example/issues/7")
    assert references(acme) == details.contents.references


def test_a_new_message_changes_the_references_of_all_releases_that_hold_the_commit(acme: Acme) -> None:
    commits = [CommitDraft("a", "r", message="Fixes A-1, A-2"), CommitDraft("b", "r", message="Fixes A-2, A-3")]
    set_to(acme, *commits)
    set_to(acme, *commits, version=LATER)
    append_to(acme, CommitDraft("a", "r", message="Fixes A-4, A-1"), version=LATER)
    for version in (VERSION, LATER):
        assert references(acme, version) == ("A-1", "A-2", "A-3", "A-4")
        assert by_commit(acme, version) == {"a": ("A-4", "A-1"), "b": ("A-2", "A-3")}
    set_to(acme, CommitDraft("a", "r", message="words"), CommitDraft("b", "r", message="more"), version=LATER)
    assert references(acme) == references(acme, LATER) == ()
    assert [count(acme, model) for model in (CommitReference, ReleaseReference)] == [0, 0]


def test_a_message_that_comes_later_brings_its_references(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r"))
    set_to(acme, CommitDraft("a", "r", message="Fixes A-1"))
    assert references(acme) == ("A-1",)
    set_to(acme, CommitDraft("a", "r"))
    assert references(acme) == ("A-1",), "a bare id erases nothing"
    assert by_commit(acme) == {"a": ("A-1",)}


def test_other_words_around_the_same_references_write_none_of_them_again(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r", message="Fixes A-1, A-2"))
    statements: list[str] = []
    acme.db.hooks.append(lambda event: statements.append(event.sql))
    set_to(acme, CommitDraft("a", "r", message="It fixes A-1, A-2"))
    acme.db.hooks.clear()
    assert [sql for sql in statements if "reference" in sql and not sql.startswith("SELECT")] == []
    assert listed(acme)[0].message == "It fixes A-1, A-2"


def test_a_release_has_the_references_of_the_commits_that_it_has_now(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r", message="Fixes A-1"), CommitDraft("b", "r", message="Fixes A-2"))
    set_to(acme, CommitDraft("b", "r"), CommitDraft("c", "r", message="Fixes A-3"))
    assert references(acme) == ("A-2", "A-3")
    set_to(acme)
    assert references(acme) == ()
    assert count(acme, ReleaseReference) == 0
    append_to(acme, CommitDraft("a", "r"))
    assert references(acme) == ("A-1",), "a commit keeps its own"


def test_a_commit_that_is_only_named_brings_the_references_of_the_message_that_an_earlier_call_said(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r", message="Fixes A-1"))
    set_to(acme, CommitDraft("a", "r"), CommitDraft("b", "r", message="fixes nothing"), version=LATER)
    assert references(acme, LATER) == ("A-1",)
    set_to(acme, CommitDraft("b", "r", message="fixes nothing"), version=LATER)
    assert references(acme, LATER) == ()


def test_appended_commits_add_their_references(acme: Acme) -> None:
    append_to(acme, CommitDraft("a", "r", message="Fixes A-1"))
    append_to(acme, CommitDraft("b", "s", message="Fixes A-2"), CommitDraft("a", "r"))
    append_to(acme, CommitDraft("c", "t", message="Fixes A-1"))
    assert references(acme) == ("A-1", "A-2")
    assert count(acme, ReleaseReference) == 3


def test_a_row_that_outlived_its_commits_place_is_shown_nowhere_and_gone_when_the_commit_comes_back(acme: Acme) -> None:
    details = set_to(acme, CommitDraft("a", "r", message="Fixes A-1"))
    row = acme.db.read(lambda reader: reader.fetch(ReleaseReference.select().dicts()))[0]
    set_to(acme)
    acme.db.write(lambda tx: tx.execute(ReleaseReference.insert({**row, "reference": "OLD-1"})))
    assert references(acme) == ()
    append_to(acme, CommitDraft("a", "r"))
    assert references(acme) == ("A-1",)
    set_to(acme)
    acme.db.write(lambda tx: tx.execute(ReleaseReference.insert({**row, "reference": "OLD-1"})))
    assert set_to(acme, CommitDraft("a", "r")).release.id == details.release.id
    assert references(acme) == ("A-1",)


def test_the_first_hundred_references_of_a_release_are_shown_by_text(acme: Acme) -> None:
    commits = [CommitDraft(f"{number}", "r", message=f"Fixes A-{number:03}, B-1") for number in range(130)]
    for version in (VERSION, LATER):
        set_to(acme, *commits, version=version)
    shown = tuple(f"A-{number:03}" for number in range(SHOWN))
    assert references(acme) == shown
    assert [details.contents.references for details in acme.listed(contents=True) if details.contents] == [shown, shown]


def test_references_of_many_releases_are_each_releases_own(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r", message="Fixes A-1"))
    set_to(acme, CommitDraft("b", "r", message="Fixes B-1"), version=LATER)
    shown = {details.release.version: details.contents for details in acme.listed(contents=True)}
    for version, reference in ((VERSION, "A-1"), (LATER, "B-1")):
        contents = shown[version]
        assert contents is not None
        assert contents.references == (reference,)
        assert contents.last_commit is not None
        assert contents.last_commit.references == (reference,)


def test_more_commits_than_a_batch_holds_keep_each_their_own(acme: Acme) -> None:
    def commits(project: str) -> list[CommitDraft]:
        return [
            CommitDraft(f"{index}", f"r{index % 3}", message=f"Fixes {project}-{index}", commit_time=-index)
            for index in range(700)
        ]

    set_to(acme, *commits("A"))
    assert by_commit(acme) == {f"{index}": (f"A-{index}",) for index in range(700)}
    append_to(acme, *commits("B"), version=LATER)
    assert by_commit(acme) == by_commit(acme, LATER) == {f"{index}": (f"B-{index}",) for index in range(700)}
    assert count(acme, ReleaseReference) == 1400


def test_messages_that_change_while_releases_are_set_leave_the_references_of_the_last(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r", message="Fixes A-0"))

    def call(number: int) -> object:
        version = (VERSION, LATER)[number % 2]
        return append_to(
            acme,
            CommitDraft("a", "r", message=f"Fixes A-{number}"),
            CommitDraft(f"c{number}", f"own{number}", message="Fixes C-1"),
            version=version,
        )

    assert errors_in(at_once(8, call)) == []
    (own,) = by_commit(acme)["a"]
    for version in (VERSION, LATER):
        assert references(acme, version) == (own, "C-1")
        assert by_commit(acme, version)["a"] == (own,)
    assert count(acme, ReleaseCommit) == 10
