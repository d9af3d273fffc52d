"""SetCommits with APPEND: commits join those that a release has, each in its place. Rules: behaviour.md, Commits."""

from __future__ import annotations

import pytest

from store.commits.contents import AuthorRow, HeadCommitRow
from store.commits.drafts import ADDED, CommitDraft
from store.commits.models import Commit, ReleaseCommit, ReleaseHead
from store.commits.read import list_commits
from store.commits.set import set_commits
from store.database import Database, QueryEvent, Terms
from store.errors import ReleaseNotFound
from store.paging import PageRequest
from store.releases.details import ReleaseDetails
from store.releases.read import get_release
from tests.contract.acme import Acme
from tests.contract.callers import at_once, errors_in
from tests.contract.commits import VERSION, append_to, count, in_projects, keys, listed, set_to


@pytest.fixture
def acme(database: Database) -> Acme:
    acme = Acme(database, "web", "api")
    acme.release(VERSION, "web", "api")
    return acme


def places(acme: Acme) -> list[tuple[bytes, int]]:
    """The commits of the release, in order, and their positions."""
    query = ReleaseCommit.select(ReleaseCommit.commit_id, ReleaseCommit.position).order_by(ReleaseCommit.position)
    return list(acme.db.read(lambda reader: reader.fetch(query.tuples())))


def test_appended_commits_take_their_places_by_time_across_repositories(acme: Acme) -> None:
    append_to(acme, CommitDraft("a3", "a", commit_time=30), CommitDraft("a1", "a", commit_time=10))
    append_to(acme, CommitDraft("b4", "b", commit_time=40), CommitDraft("b0", "b", commit_time=0))
    append_to(acme, CommitDraft("c2", "c", commit_time=20))
    assert keys(acme) == ["b4", "a3", "c2", "a1", "b0"]


def test_of_commits_of_one_time_those_that_were_there_stay_in_front(acme: Acme) -> None:
    append_to(acme, CommitDraft("b", commit_time=5), CommitDraft("a", commit_time=5), CommitDraft("z"))
    append_to(acme, CommitDraft("d", commit_time=5), CommitDraft("c", commit_time=5), CommitDraft("y"))
    assert keys(acme) == ["b", "a", "d", "c", "z", "y"]


def test_a_commit_without_a_time_is_behind_all_that_have_one(acme: Acme) -> None:
    append_to(acme, CommitDraft("undated"))
    append_to(acme, CommitDraft("before 1970", commit_time=-(2**62)))
    assert keys(acme) == ["before 1970", "undated"]


def test_a_commit_that_is_there_is_not_there_twice(acme: Acme) -> None:
    append_to(acme, CommitDraft("a", "r", commit_time=2), CommitDraft("b", "r", commit_time=1))
    append_to(acme, CommitDraft("c", "r", commit_time=0), CommitDraft("b", "r"), CommitDraft("b", "other"))
    assert [(commit.key, commit.repository) for commit in listed(acme)] == [
        ("a", "r"),
        ("b", "r"),
        ("c", "r"),
        ("b", "other"),
    ]


def test_appending_to_nothing_is_as_replacing(acme: Acme) -> None:
    commits = [CommitDraft("a", "r", "Ann", "ann@x", "words", 1, {"f": ADDED}), CommitDraft("b", "s", commit_time=2)]
    appended = append_to(acme, *commits)
    acme.release("other", "web", "api")
    replaced = set_to(acme, *commits, version="other")
    assert listed(acme) == listed(acme, "other")
    assert appended.contents == replaced.contents
    assert (appended.release.commit_count, appended.release.author_count) == (2, 1)


def test_the_answer_tells_of_all_commits_of_the_release(acme: Acme) -> None:
    set_to(acme, CommitDraft("a1", "a", "Ann", "ann@x", commit_time=3), CommitDraft("b1", "b", "Bob", "bob@x"))
    details = append_to(acme, CommitDraft("a2", "a", "Cy", "cy@x", commit_time=9), CommitDraft("c1", "c"))
    assert (details.release.commit_count, details.release.author_count) == (4, 3)
    assert details.contents is not None
    assert details.contents.last_commit is not None
    assert details.contents.last_commit.key == "a2"
    assert details.contents.head_commits == tuple(
        HeadCommitRow(*head) for head in (("a", "a2"), ("b", "b1"), ("c", "c1"))
    )
    assert details.contents.authors == tuple(
        AuthorRow(*author) for author in (("Ann", "ann@x"), ("Bob", "bob@x"), ("Cy", "cy@x"))
    )
    assert in_projects(acme) == [4, 4]
    assert get_release(acme.db, acme.everybody, "acme", VERSION) == details


def test_an_older_commit_moves_no_head_and_is_not_the_last(acme: Acme) -> None:
    append_to(acme, CommitDraft("new", "r", commit_time=9))
    details = append_to(acme, CommitDraft("old", "r", commit_time=1))
    assert details.contents is not None
    assert details.contents.head_commits == (HeadCommitRow("r", "new"),)
    assert details.contents.last_commit is not None
    assert details.contents.last_commit.key == "new"


def test_appending_what_is_there_changes_nothing_and_is_not_told(acme: Acme) -> None:
    commits = [CommitDraft("a", "r", commit_time=1), CommitDraft("b", "r", commit_time=2)]
    first = append_to(acme, *commits)
    told = acme.activities()
    written: list[QueryEvent] = []

    def note(event: QueryEvent) -> None:
        if not event.sql.startswith("SELECT"):
            written.append(event)

    acme.db.hooks.append(note)
    again = append_to(acme, *commits)
    acme.db.hooks.clear()
    assert again == first
    assert acme.activities() == told
    assert sum(event.rows for event in written) <= 3, "the release and its two projects"


def test_an_order_that_was_sent_without_times_stays_while_nothing_new_comes(acme: Acme) -> None:
    acme.release("other", "web")
    set_to(acme, CommitDraft("new", "r", commit_time=2), CommitDraft("old", "r", commit_time=1), version="other")
    set_to(acme, CommitDraft("old", "r"), CommitDraft("new", "r"))
    append_to(acme, CommitDraft("new", "r", message="words"))
    assert keys(acme) == ["old", "new"]
    append_to(acme, CommitDraft("oldest", "r", commit_time=0))
    assert keys(acme) == ["new", "old", "oldest"]


def test_a_time_that_comes_later_moves_a_commit_to_its_place(acme: Acme) -> None:
    append_to(acme, CommitDraft("a", "r", commit_time=5), CommitDraft("b", "r"))
    told = len(acme.activities("web"))
    details = append_to(acme, CommitDraft("b", "r", commit_time=6))
    assert keys(acme) == ["b", "a"]
    assert details.contents is not None
    assert details.contents.head_commits == (HeadCommitRow("r", "b"),)
    assert len(acme.activities("web")) == told + 1


def test_an_author_that_is_said_later_is_one_of_the_releases(acme: Acme) -> None:
    append_to(acme, CommitDraft("a", "r"), CommitDraft("b", "r", "Bob", "bob@x"))
    details = append_to(acme, CommitDraft("a", "r", "Ann", "ann@x"))
    assert details.contents is not None
    assert details.contents.authors == (AuthorRow("Ann", "ann@x"), AuthorRow("Bob", "bob@x"))
    assert details.release.author_count == 2


def test_appending_no_commits_changes_nothing(acme: Acme) -> None:
    before = append_to(acme, CommitDraft("a", "r"))
    assert append_to(acme) == before
    assert append_to(acme, CommitDraft("b", message="#skipsentry")) == before
    assert [kind for kind, _, _ in acme.activities("web")] == ["release_created", "commits_set"]


def test_an_activity_counts_all_commits_of_the_release(acme: Acme) -> None:
    append_to(acme, CommitDraft("a"), CommitDraft("b"))
    append_to(acme, CommitDraft("c"), CommitDraft("a"))
    assert [data["commit_count"] for data in acme.told("commits_set", "web")] == [2, 3]


def test_replacing_after_appending_leaves_what_was_sent_last(acme: Acme) -> None:
    append_to(acme, CommitDraft("a", "r"))
    append_to(acme, CommitDraft("b", "s"))
    set_to(acme, CommitDraft("c", "s"))
    assert keys(acme) == ["c"]
    assert [count(acme, model) for model in (Commit, ReleaseCommit, ReleaseHead)] == [3, 1, 1]


def test_validate_only_appends_nothing(acme: Acme) -> None:
    append_to(acme, CommitDraft("a"))
    terms: Terms[ReleaseDetails, ReleaseDetails] = Terms(validate_only=True)
    details = set_commits(acme.db, acme.everybody, "acme", VERSION, [CommitDraft("b")], append=True, terms=terms)
    assert details.release.commit_count == 2
    assert keys(acme) == ["a"]


def test_who_may_not_access_one_of_the_projects_appends_nothing(acme: Acme) -> None:
    with pytest.raises(ReleaseNotFound):
        set_commits(acme.db, acme.member_of("web"), "acme", VERSION, [CommitDraft("a")], append=True)
    assert count(acme, Commit) == 0


def test_more_commits_than_a_batch_holds_are_put_in_order(acme: Acme) -> None:
    even = [CommitDraft(f"{index:04}", f"r{index % 5}", commit_time=index) for index in range(0, 1000, 2)]
    odd = [CommitDraft(f"{index:04}", f"r{index % 5}", commit_time=index) for index in range(1, 1000, 2)]
    append_to(acme, *even)
    append_to(acme, *odd)
    assert keys(acme) == [f"{index:04}" for index in reversed(range(1000))]


@pytest.mark.parametrize("time", [0, 15, 35, 99])
def test_what_is_added_anywhere_changes_the_places_of_one_side_only(acme: Acme, time: int) -> None:
    append_to(acme, *(CommitDraft(f"c{number}", commit_time=number * 10) for number in range(6)))
    before = dict(places(acme))
    append_to(acme, CommitDraft("new", commit_time=time))
    after = places(acme)
    assert [position for _, position in after] == list(range(after[0][1], after[0][1] + 7))
    stayed = [commit_id for commit_id, position in after if before.get(commit_id) == position]
    assert len(stayed) >= 3
    assert keys(acme) == sorted(keys(acme), key=lambda key: -(time if key == "new" else int(key[1:]) * 10))


def test_commits_that_are_added_between_two_pages_repeat_none(acme: Acme) -> None:
    append_to(acme, *(CommitDraft(f"c{number}", commit_time=number) for number in range(6)))
    first = list_commits(acme.db, acme.everybody, "acme", VERSION, PageRequest(3))
    append_to(acme, CommitDraft("newer", commit_time=9), CommitDraft("newest", commit_time=10))
    second = list_commits(acme.db, acme.everybody, "acme", VERSION, PageRequest(3, first.next))
    assert [item.commit.key for item in (*first.items, *second.items)] == ["c5", "c4", "c3", "c2", "c1", "c0"]
    back = list_commits(acme.db, acme.everybody, "acme", VERSION, PageRequest(10, second.previous))
    assert [item.commit.key for item in back.items] == ["newest", "newer", "c5", "c4", "c3"]


def test_jobs_that_append_at_once_lose_nothing(acme: Acme) -> None:
    def job(number: int) -> ReleaseDetails:
        commits = [CommitDraft(f"{number:02}-{index}", f"r{number % 4}", commit_time=index) for index in range(25)]
        return append_to(acme, *commits, CommitDraft("shared", "shared", commit_time=-1))

    answers = at_once(8, job)
    assert errors_in(answers) == []
    commits = listed(acme)
    assert len(commits) == 8 * 25 + 1
    assert len({(commit.repository, commit.key) for commit in commits}) == len(commits)
    times = [commit.commit_time or 0 for commit in commits]
    assert times == sorted(times, reverse=True)
    assert in_projects(acme) == [len(commits), len(commits)]
    release = get_release(acme.db, acme.everybody, "acme", VERSION)
    assert release.release.commit_count == len(commits)
    assert release.contents is not None
    assert [head.repository for head in release.contents.head_commits] == ["r0", "r1", "r2", "r3", "shared"]
