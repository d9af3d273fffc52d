"""SetRefs, and refs of CreateRelease: heads that a caller names. Rules: behaviour.md, Refs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from store.commits.contents import HeadCommitRow
from store.commits.drafts import CommitDraft
from store.commits.models import Commit, ReleaseHead
from store.commits.refs import RefDraft, prepare_refs, set_refs
from store.database import Database, Terms
from store.errors import CommitsBusy, InvalidField, OrganizationNotFound, ReleaseNotFound, RepositoryUnknown
from store.organizations.models import Repository
from store.organizations.repositories import (
    RepositoryChanges,
    RepositoryDraft,
    RepositoryInOrganization,
    RepositoryState,
    create_repository,
    update_repository,
)
from store.releases.create import ReleaseDraft, create_release
from store.releases.details import ReleaseDetails
from store.releases.models import Release
from store.releases.read import get_release
from tests.contract.acme import Acme
from tests.contract.callers import at_once, errors_in, held_at
from tests.contract.commits import VERSION, append_to, count, keys, listed, set_to


@pytest.fixture
def acme(database: Database) -> Acme:
    acme = Acme(database, "web", "api")
    acme.release(VERSION, "web", "api")
    for name in ("one", "two"):
        add_repository(acme, name)
    return acme


def add_repository(acme: Acme, name: str) -> bytes:
    made: RepositoryInOrganization = create_repository(acme.db, acme.everybody, acme.slug, RepositoryDraft(name))
    return made[1].id


def refer(acme: Acme, *refs: RefDraft, version: str = VERSION) -> ReleaseDetails:
    details: ReleaseDetails = set_refs(acme.db, acme.everybody, "acme", version, refs)
    return details


def heads(acme: Acme, version: str = VERSION) -> Sequence[HeadCommitRow]:
    details = get_release(acme.db, acme.everybody, "acme", version)
    assert details.contents is not None
    (stored,) = acme.db.read(lambda reader: reader.fetch(Release.select().where(Release.version == version)))
    assert stored.head_count == len(details.contents.head_commits)
    return details.contents.head_commits


def test_refs_become_the_heads_of_their_repositories(acme: Acme) -> None:
    details = refer(acme, RefDraft("two", "b"), RefDraft("one", "a", "a0"))
    assert details.contents is not None
    assert details.contents.head_commits == (HeadCommitRow("one", "a", "a0"), HeadCommitRow("two", "b", None))
    assert heads(acme) == details.contents.head_commits
    assert (details.release.commit_count, keys(acme)) == (0, [])


def test_commits_that_are_not_known_are_created_bare_and_the_beginnings_of_ranges_are_not(acme: Acme) -> None:
    refer(acme, RefDraft("one", "a", "a0"), RefDraft("two", "b0..b"))
    commits = acme.db.read(lambda reader: reader.fetch(Commit.select().order_by(Commit.key)))
    assert [(commit.key, commit.message, commit.author_id, commit.commit_time) for commit in commits] == [
        ("a", None, None, None),
        ("b", None, None, None),
    ]


def test_a_ref_erases_nothing_of_a_commit_that_is_known(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "one", "Ann", "ann@x", "Fix WEB-1", 5))
    before = listed(acme)
    refer(acme, RefDraft("one", "a"))
    assert listed(acme) == before
    assert count(acme, Commit) == 1


def test_a_range_says_both_ends_and_its_left_side_comes_first() -> None:
    assert prepare_refs([RefDraft("r", "a..b")]) == (("r", "b", "a"),)
    assert prepare_refs([RefDraft("r", "a..b", "c")]) == (("r", "b", "a"),)
    assert prepare_refs([RefDraft("r", "v1.0..v1.1")]) == (("r", "v1.1", "v1.0"),)
    assert prepare_refs([RefDraft("r", f"{'a' * 64}..{'b' * 64}")]) == (("r", "b" * 64, "a" * 64),)
    assert prepare_refs([RefDraft("r", "b", " ")]) == (("r", "b", None),)


@pytest.mark.parametrize(
    "commit", ["..", "a..", "..b", " ..b", "a.. ", "a..b..c", "a...b", "a....b", " ", "a" * 65, f"a..{'b' * 65}"]
)
def test_what_is_neither_an_id_nor_a_range_is_refused(commit: str) -> None:
    with pytest.raises(InvalidField) as refused:
        prepare_refs([RefDraft("r", "fine"), RefDraft("r", commit)])
    assert [violation.field for violation in refused.value.violations] == ["refs[1].commit"]


def test_of_several_refs_of_one_repository_the_last_counts(acme: Acme) -> None:
    refer(acme, RefDraft("one", "a", "a0"), RefDraft("two", "b"), RefDraft("one", "c"))
    assert heads(acme) == (HeadCommitRow("one", "c"), HeadCommitRow("two", "b"))
    assert count(acme, Commit) == 2


def test_refs_move_their_heads_and_no_other(acme: Acme) -> None:
    set_to(acme, CommitDraft("x", "three"), CommitDraft("a", "one"))
    refer(acme, RefDraft("one", "b"))
    refer(acme, RefDraft("one", "c..d"), RefDraft("two", "e"))
    assert heads(acme) == (HeadCommitRow("one", "d", "c"), HeadCommitRow("three", "x"), HeadCommitRow("two", "e"))


def test_a_ref_to_the_newest_commit_of_the_list_holds_it_from_then_on(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "one", commit_time=1))
    refer(acme, RefDraft("one", "a"))
    append_to(acme, CommitDraft("b", "one", commit_time=2))
    assert heads(acme) == (HeadCommitRow("one", "a"),)


def test_setting_commits_moves_no_head_that_a_ref_named(acme: Acme) -> None:
    refer(acme, RefDraft("one", "a0..a"))
    set_to(acme, CommitDraft("z", "one", commit_time=9), CommitDraft("b", "two"))
    named = (HeadCommitRow("one", "a", "a0"),)
    assert heads(acme) == (*named, HeadCommitRow("two", "b"))
    append_to(acme, CommitDraft("y", "one", commit_time=10), CommitDraft("c", "two", commit_time=1))
    assert heads(acme) == (*named, HeadCommitRow("two", "c"))
    set_to(acme, CommitDraft("x", "three"))
    assert heads(acme) == (*named, HeadCommitRow("three", "x"))


def test_detaching_all_commits_detaches_heads_that_refs_named_too(acme: Acme) -> None:
    refer(acme, RefDraft("one", "a"))
    set_to(acme, CommitDraft("b", "two"))
    set_to(acme)
    assert heads(acme) == ()
    assert count(acme, ReleaseHead) == 0
    refer(acme, RefDraft("one", "a"))
    told = len(acme.told("commits_set", "web"))
    set_to(acme)
    assert heads(acme) == ()
    assert [data["commit_count"] for data in acme.told("commits_set", "web")][told:] == [0], "the heads were something"
    set_to(acme)
    assert len(acme.told("commits_set", "web")) == told + 1


def test_appending_no_commits_keeps_heads(acme: Acme) -> None:
    refer(acme, RefDraft("one", "a"))
    append_to(acme)
    assert heads(acme) == (HeadCommitRow("one", "a"),)


def test_all_repositories_that_are_not_there_are_named_and_nothing_is_written(acme: Acme) -> None:
    disabled = add_repository(acme, "old")
    update_repository(acme.db, acme.everybody, "acme", disabled, RepositoryChanges(state=RepositoryState.DISABLED))
    other = Acme(acme.db, "web", slug="other")
    add_repository(other, "theirs")
    refs = [RefDraft(name, "a") for name in ("old", "one", "theirs", "Two", "none")]
    with pytest.raises(RepositoryUnknown) as refused:
        refer(acme, *refs)
    assert refused.value.metadata == {"repositories": "Two, none, old, theirs", "unknown_count": "4"}
    assert [count(acme, model) for model in (Commit, ReleaseHead)] == [0, 0]
    assert [kind for kind, _, _ in acme.activities("web")] == ["release_created"]


def test_of_very_many_repositories_that_are_not_there_the_first_are_named(acme: Acme) -> None:
    refs = [RefDraft(f"{index:03}".ljust(200, "é"), "a") for index in range(100)]
    with pytest.raises(RepositoryUnknown) as refused:
        refer(acme, *refs)
    named = refused.value.metadata["repositories"]
    assert len(named.encode()) < RepositoryUnknown.max_value_chars
    assert named.startswith("000é")
    assert named.endswith(" and 93 more")
    assert refused.value.metadata["unknown_count"] == "100"


def test_each_project_is_told_of_refs_unless_nothing_is_another(acme: Acme) -> None:
    refer(acme, RefDraft("two", "b"), RefDraft("one", "a0..a"))
    refer(acme, RefDraft("one", "a", "a0"))
    for project in ("web", "api"):
        assert acme.told("refs_set", project) == [
            {
                "version": VERSION,
                "refs": [
                    {"repository": "one", "commit": "a", "previous_commit": "a0"},
                    {"repository": "two", "commit": "b"},
                ],
            }
        ]
    refer(acme, RefDraft("one", "a", "a1"))
    assert len(acme.told("refs_set", "web")) == 2


def test_the_etag_does_not_change_with_refs(acme: Acme) -> None:
    before = get_release(acme.db, acme.everybody, "acme", VERSION).release
    after = refer(acme, RefDraft("one", "a")).release
    assert (after.etag, after.update_time) == (before.etag, before.update_time)


def test_validate_only_answers_the_heads_and_sets_none(acme: Acme) -> None:
    terms: Terms[ReleaseDetails, ReleaseDetails] = Terms(validate_only=True)
    details = set_refs(acme.db, acme.everybody, "acme", VERSION, [RefDraft("one", "a")], terms)
    assert details.contents is not None
    assert details.contents.head_commits == (HeadCommitRow("one", "a"),)
    assert heads(acme) == ()
    assert count(acme, Commit) == 0


def test_what_the_caller_may_not_see_has_no_refs(acme: Acme) -> None:
    with pytest.raises(ReleaseNotFound):
        set_refs(acme.db, acme.member_of("web"), "acme", VERSION, [RefDraft("one", "a")])
    with pytest.raises(ReleaseNotFound):
        refer(acme, RefDraft("one", "a"), version="9.9.9")
    with pytest.raises(OrganizationNotFound):
        set_refs(acme.db, acme.everybody, "nowhere", VERSION, [RefDraft("one", "a")])
    assert count(acme, Commit) == 0


def test_a_release_is_created_with_refs(acme: Acme) -> None:
    created = acme.release("new", "web", refs=(RefDraft("one", "a0..a"),))
    assert created.details.contents is not None
    assert created.details.contents.head_commits == (HeadCommitRow("one", "a", "a0"),)
    assert heads(acme, "new") == created.details.contents.head_commits
    assert len(acme.told("refs_set", "web")) == 1


def test_commits_come_before_refs_in_one_creation(acme: Acme) -> None:
    commits = (CommitDraft("b", "new", commit_time=2), CommitDraft("c", "two"), CommitDraft("a", "new", commit_time=1))
    created = acme.release("new", "web", commits=commits, refs=(RefDraft("new", "a"), RefDraft("one", "x")))
    assert created.details.contents is not None
    assert created.details.contents.head_commits == (
        HeadCommitRow("new", "a"),
        HeadCommitRow("one", "x"),
        HeadCommitRow("two", "c"),
    )
    assert created.details.release.commit_count == 3


def test_commits_of_a_later_creation_move_no_head_that_a_ref_named(acme: Acme) -> None:
    acme.release("new", "web", refs=(RefDraft("one", "a"),))
    acme.release("new", commits=(CommitDraft("b", "one"), CommitDraft("c", "two")))
    assert heads(acme, "new") == (HeadCommitRow("one", "a"), HeadCommitRow("two", "c"))
    acme.release("new", "api")
    assert heads(acme, "new") == (HeadCommitRow("one", "a"), HeadCommitRow("two", "c"))


def test_a_creation_with_a_repository_that_is_not_there_leaves_nothing(acme: Acme) -> None:
    before = [count(acme, model) for model in (Release, Commit, Repository)]
    commits = (CommitDraft("a", "new"),)
    with pytest.raises(RepositoryUnknown):
        acme.release("new", "web", commits=commits, refs=(RefDraft("none", "a"),))
    with pytest.raises(InvalidField):
        acme.release("new", "web", commits=commits, refs=(RefDraft("one", "a..b..c"),))
    assert [count(acme, model) for model in (Release, Commit, Repository)] == before


def test_a_list_shows_the_heads_of_releases_that_have_refs_and_no_commits(acme: Acme) -> None:
    acme.release("new", "web", refs=(RefDraft("one", "a"),))
    shown = {
        details.release.version: details.contents.head_commits
        for details in acme.listed(contents=True)
        if details.contents is not None
    }
    assert shown == {"new": (HeadCommitRow("one", "a"),), VERSION: ()}


def test_refs_and_commits_that_are_set_at_once_wait_for_one_another(acme: Acme) -> None:
    def call(number: int) -> ReleaseDetails:
        if number % 2:
            return refer(acme, RefDraft("one", f"r{number}"), RefDraft("two", f"r{number}"))
        return append_to(acme, CommitDraft(f"c{number}", "two", commit_time=number), CommitDraft("c", "one"))

    assert errors_in(at_once(8, call)) == []
    one, two = heads(acme)
    assert one.commit_key == two.commit_key
    assert one.commit_key.startswith("r")
    assert keys(acme) == ["c6", "c4", "c2", "c0", "c"]


def test_refs_wait_for_those_who_set_commits_and_are_told_that_the_release_is_busy(acme: Acme) -> None:
    with ThreadPoolExecutor(1) as pool, held_at(acme.db, 'INSERT INTO "release_commit"') as held:
        first = pool.submit(set_to, acme, CommitDraft("a", "three"))
        assert held.wait(30)
        with pytest.raises(CommitsBusy):
            set_refs(acme.db, acme.everybody, "acme", VERSION, [RefDraft("one", "a")], wait_seconds=0.05)
        draft = ReleaseDraft(VERSION, refs=(RefDraft("one", "a"),))
        with pytest.raises(CommitsBusy):
            create_release(acme.db, acme.everybody, "acme", draft, wait_seconds=0.05)
    first.result(30)
    assert heads(acme) == (HeadCommitRow("three", "a"),)
