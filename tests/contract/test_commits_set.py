"""SetCommits: what is stored, what stays, what is counted. Rules: behaviour.md, Commits."""

from __future__ import annotations

import pytest

import store.commits.writing
from store.commits.contents import AuthorRow, HeadCommitRow
from store.commits.drafts import ADDED, DELETED, MODIFIED, CommitDraft
from store.commits.models import Commit, CommitAuthor, CommitFile, ReleaseAuthor, ReleaseCommit, ReleaseHead
from store.commits.read import list_commits
from store.commits.set import set_commits
from store.database import Database, QueryEvent, Terms
from store.errors import OrganizationNotFound, ReleaseNotFound
from store.organizations.models import Repository
from store.organizations.repositories import (
    RepositoryChanges,
    RepositoryDraft,
    RepositoryRow,
    RepositoryState,
    create_repository,
    update_repository,
)
from store.paging import PageRequest
from store.releases.details import ReleaseDetails
from store.releases.read import get_release
from tests.contract.acme import Acme
from tests.contract.commits import VERSION, count, in_projects, keys, listed, set_to


@pytest.fixture
def acme(database: Database) -> Acme:
    acme = Acme(database, "web", "api")
    acme.release(VERSION, "web", "api")
    return acme


def test_everything_that_is_said_of_a_commit_comes_back(acme: Acme) -> None:
    files = {"src/a.py": ADDED, "src/b.py": DELETED, "README": MODIFIED}
    set_to(acme, CommitDraft("f00", "acme/web", "Ann", "Ann@Example.com", "Fix\n\nit", 17, files))
    (commit,) = listed(acme)
    assert (commit.key, commit.repository, commit.author_name, commit.author_email, commit.message) == (
        "f00",
        "acme/web",
        "Ann",
        "ann@example.com",
        "Fix\n\nit",
    )
    assert commit.commit_time == 17
    assert commit.changed_file_count == 3
    assert [tuple(file) for file in commit.changed_files] == [
        ("README", MODIFIED),
        ("src/a.py", ADDED),
        ("src/b.py", DELETED),
    ]


def test_the_answer_is_the_release_as_it_now_is(acme: Acme) -> None:
    details = set_to(
        acme,
        CommitDraft("a1", "a", "Ann", "ann@x", commit_time=3),
        CommitDraft("b1", "b", "Bob", "bob@x", commit_time=4),
        CommitDraft("a0", "a", None, "ann@x", commit_time=1),
        CommitDraft("b0", "b", commit_time=2),
    )
    assert (details.release.commit_count, details.release.author_count) == (4, 2)
    assert details.contents is not None
    assert details.contents.last_commit is not None
    assert details.contents.last_commit.key == "b1"
    assert details.contents.head_commits == (HeadCommitRow("a", "a1"), HeadCommitRow("b", "b1"))
    assert details.contents.authors == (AuthorRow("Ann", "ann@x"), AuthorRow("Bob", "bob@x"))
    assert get_release(acme.db, acme.everybody, "acme", VERSION) == details


def test_the_counter_follows_in_every_project_of_the_release(acme: Acme) -> None:
    set_to(acme, CommitDraft("a"), CommitDraft("b"), CommitDraft("a"))
    assert in_projects(acme) == [2, 2]


def test_a_second_call_replaces_the_list_with_heads_and_authors(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "one", author_email="ann@x"), CommitDraft("b", "two", author_email="bob@x"))
    details = set_to(acme, CommitDraft("c", "one", author_email="cy@x"), CommitDraft("a", "one"))
    assert keys(acme) == ["c", "a"]
    assert details.contents is not None
    assert details.contents.head_commits == (HeadCommitRow("one", "c"),)
    assert [author.email for author in details.contents.authors] == ["ann@x", "cy@x"]
    assert count(acme, Commit) == 3, "commits stay with their repositories"


def test_a_call_without_commits_detaches_commits_heads_and_authors(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "one", author_email="ann@x"))
    details = set_to(acme)
    assert (details.release.commit_count, details.release.author_count, details.release.last_commit_id) == (0, 0, None)
    assert in_projects(acme) == [0, 0]
    assert [count(acme, model) for model in (ReleaseCommit, ReleaseHead, ReleaseAuthor)] == [0, 0, 0]
    assert count(acme, Commit) == 1


def test_only_skipped_commits_are_the_same_as_none(acme: Acme) -> None:
    set_to(acme, CommitDraft("a"))
    assert set_to(acme, CommitDraft("b", message="#skipsentry")).release.commit_count == 0
    assert keys(acme) == []


def test_a_bare_id_erases_nothing_that_is_stored(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r", "Ann", "ann@x", "words", 5, {"f": ADDED}))
    before = listed(acme)
    details = set_to(acme, CommitDraft("a", "r"))
    assert listed(acme) == before
    assert details.release.author_count == 1
    assert details.contents is not None
    assert details.contents.authors == (AuthorRow("Ann", "ann@x"),)


@pytest.mark.parametrize(
    "said, message, time, author",
    [
        (CommitDraft("a", "r", message="new"), "new", 5, ("Ann", "ann@x")),
        (CommitDraft("a", "r", commit_time=6), "old", 6, ("Ann", "ann@x")),
        (CommitDraft("a", "r", author_email="bob@x"), "old", 5, ("Ann", "bob@x")),
        (CommitDraft("a", "r", "Ann Lee", "ann@x"), "old", 5, ("Ann Lee", "ann@x")),
        (CommitDraft("a", "r", " ", "ann@x"), "old", 5, ("Ann", "ann@x")),
    ],
)
def test_of_a_known_commit_just_what_is_said_changes(
    acme: Acme, said: CommitDraft, message: str, time: int, author: tuple[str, str]
) -> None:
    set_to(acme, CommitDraft("a", "r", "Ann", "ann@x", "old", 5))
    set_to(acme, said)
    (commit,) = listed(acme)
    assert (commit.message, commit.commit_time) == (message, time)
    assert (commit.author_name, commit.author_email) == author


def test_files_add_up_and_the_type_of_a_known_one_stays(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r", changed_files={"x": ADDED, "y": ADDED}))
    set_to(acme, CommitDraft("a", "r", changed_files={"y": DELETED, "z": MODIFIED}))
    (commit,) = listed(acme)
    assert [tuple(file) for file in commit.changed_files] == [("x", ADDED), ("y", ADDED), ("z", MODIFIED)]
    assert commit.changed_file_count == 3


def test_files_add_up_on_a_commit_that_has_too_many_to_be_read_whole(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.commits.writing, "FILES_AT_ONCE", 3)
    first = {f"f{index}": ADDED for index in range(7)}
    set_to(
        acme, CommitDraft("a", "r", changed_files=first), CommitDraft("b", "r", changed_files={"x": ADDED, "y": ADDED})
    )
    more = {"f3": DELETED, "f9": DELETED}
    set_to(
        acme, CommitDraft("a", "r", changed_files=more), CommitDraft("b", "r", changed_files={"y": ADDED, "z": ADDED})
    )
    a, b = listed(acme)
    assert {file.path: file.change_type for file in a.changed_files} == {**first, "f9": DELETED}
    assert [file.path for file in b.changed_files] == ["x", "y", "z"]
    assert (a.changed_file_count, b.changed_file_count) == (8, 3)


def test_repeating_a_call_writes_no_commit_file_or_place_again(acme: Acme) -> None:
    commits = [
        CommitDraft(f"{index:04}", "r", "Ann", "ann@x", f"words {index}", index, {f"f{index}": ADDED, "same": MODIFIED})
        for index in range(600)
    ]
    first = set_to(acme, *commits)
    before = listed(acme)
    written: list[QueryEvent] = []

    def note(event: QueryEvent) -> None:
        if not event.sql.startswith("SELECT"):
            written.append(event)

    acme.db.hooks.append(note)
    again = set_to(acme, *commits)
    acme.db.hooks.clear()
    assert again == first
    assert listed(acme) == before
    assert sum(event.rows for event in written) <= 3, "the release and its two projects"


def test_one_commit_is_shared_by_the_releases_that_hold_it(acme: Acme) -> None:
    acme.release("app@2.0.0", "web")
    set_to(acme, CommitDraft("a", "r", message="words"))
    set_to(acme, CommitDraft("a", "r"), CommitDraft("b", "r"), version="app@2.0.0")
    assert count(acme, Commit) == 2
    assert listed(acme, "app@2.0.0")[0].message == "words"
    assert keys(acme) == ["a"]


def test_a_name_that_differs_replaces_the_stored_one_and_no_name_leaves_it(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r", "Ann", "ann@x"))
    set_to(acme, CommitDraft("b", "r", "Ann Lee", "ANN@x"))
    set_to(acme, CommitDraft("c", "r", None, "ann@x"))
    authors = acme.db.read(lambda reader: reader.fetch(CommitAuthor.select()))
    assert [(author.email, author.display_name) for author in authors] == [("ann@x", "Ann Lee")]


def test_each_commit_keeps_the_name_of_its_author_that_it_says_itself(acme: Acme) -> None:
    older = CommitDraft("a", "r", "Ann", "ann@x", commit_time=1)
    details = set_to(acme, older, CommitDraft("b", "r", "Ann Lee", "ann@x", commit_time=2))
    assert [commit.author_name for commit in listed(acme)] == ["Ann Lee", "Ann"]
    assert details.contents is not None
    assert details.contents.authors == (AuthorRow("Ann Lee", "ann@x"),)
    acme.release("app@0.9.0", "web")
    before = set_to(acme, older, version="app@0.9.0")
    assert before.contents is not None
    assert before.contents.last_commit is not None
    assert before.contents.last_commit.author_name == "Ann"
    assert before.contents.authors == (AuthorRow("Ann", "ann@x"),), "the name that was said last"
    assert [commit.author_name for commit in listed(acme)] == ["Ann Lee", "Ann"]


def test_a_commit_that_says_no_name_has_none_though_its_author_has(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "r", "Ann", "ann@x"), CommitDraft("b", "r", None, "ann@x"))
    assert [(commit.author_name, commit.author_email) for commit in listed(acme)] == [
        ("Ann", "ann@x"),
        (None, "ann@x"),
    ]


def test_a_commit_belongs_to_the_active_repository_of_its_name(acme: Acme) -> None:
    draft = RepositoryDraft("acme/web", provider="git")
    kept: RepositoryRow = create_repository(acme.db, acme.everybody, "acme", draft)[1]
    set_to(acme, CommitDraft("a", "acme/web"))
    (repository,) = acme.db.read(lambda reader: reader.fetch(Repository.select()))
    assert (repository.id, repository.provider) == (kept.id, "git")


def test_a_disabled_repository_is_left_alone_and_another_of_its_name_created(acme: Acme) -> None:
    disabled: RepositoryRow = create_repository(acme.db, acme.everybody, "acme", RepositoryDraft("acme/web"))[1]
    changes = RepositoryChanges(state=RepositoryState.DISABLED)
    update_repository(acme.db, acme.everybody, "acme", disabled.id, changes)
    set_to(acme, CommitDraft("a", "acme/web"))
    repositories = acme.db.read(lambda reader: reader.fetch(Repository.select().order_by(Repository.id)))
    assert [(row.display_name, row.state) for row in repositories] == [("acme/web", 2), ("acme/web", 1)]
    (commit,) = acme.db.read(lambda reader: reader.fetch(Commit.select()))
    assert commit.repository_id == repositories[1].id != disabled.id


def test_names_of_repositories_and_ids_of_commits_differ_by_case(acme: Acme) -> None:
    set_to(acme, CommitDraft("a", "R"), CommitDraft("a", "r"), CommitDraft("A", "r"))
    assert count(acme, Repository) == 2
    assert count(acme, Commit) == 3


def test_more_commits_than_a_batch_holds_are_all_found_again(acme: Acme) -> None:
    commits = [CommitDraft(f"{index * 7919 % 100_003}", f"r{index % 3}", commit_time=index) for index in range(1701)]
    set_to(acme, *commits)
    set_to(acme, *commits[::-1])
    assert count(acme, Commit) == 1701
    walked: list[str] = []
    request: PageRequest | None = PageRequest(1000)
    while request is not None:
        page = list_commits(acme.db, acme.everybody, "acme", VERSION, request)
        walked += [item.commit.key for item in page.items]
        request = PageRequest(1000, page.next) if page.next else None
    assert walked == [commit.id for commit in reversed(commits)]


def test_each_project_gets_an_activity_and_a_repetition_none(acme: Acme) -> None:
    set_to(acme, CommitDraft("a"), CommitDraft("b"))
    set_to(acme, CommitDraft("a"), CommitDraft("b"))
    for project in ("web", "api"):
        kinds = [kind for kind, _, _ in acme.activities(project)]
        assert kinds.count("commits_set") == 1


def test_validate_only_answers_the_release_and_changes_nothing(acme: Acme) -> None:
    terms: Terms[ReleaseDetails, ReleaseDetails] = Terms(validate_only=True)
    details = set_commits(acme.db, acme.everybody, "acme", VERSION, [CommitDraft("a", "r")], terms=terms)
    assert details.release.commit_count == 1
    assert keys(acme) == []
    assert [count(acme, model) for model in (Commit, Repository)] == [0, 0]


def test_a_release_that_is_not_there_leaves_no_repository_behind(acme: Acme) -> None:
    with pytest.raises(ReleaseNotFound):
        set_to(acme, CommitDraft("a", "r", author_email="ann@x"), version="app@9.9.9")
    with pytest.raises(OrganizationNotFound):
        set_commits(acme.db, acme.everybody, "nowhere", VERSION, [CommitDraft("a")])
    assert [count(acme, model) for model in (Repository, CommitAuthor, Commit, CommitFile)] == [0, 0, 0, 0]


def test_a_caller_without_one_of_the_projects_sees_no_release_to_set_commits_of(acme: Acme) -> None:
    with pytest.raises(ReleaseNotFound):
        set_commits(acme.db, acme.member_of("web"), "acme", VERSION, [CommitDraft("a")])
    assert keys(acme) == []


def test_the_etag_does_not_change_with_commits(acme: Acme) -> None:
    before = get_release(acme.db, acme.everybody, "acme", VERSION).release.etag
    assert set_to(acme, CommitDraft("a")).release.etag == before
