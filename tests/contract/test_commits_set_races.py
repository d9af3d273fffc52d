"""SetCommits at the same time: calls for one release, or one repository, come one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString

import psycopg
import pytest

from store.commits.drafts import ADDED, CommitDraft
from store.commits.models import Commit, CommitAuthor, CommitFile
from store.commits.set import set_commits
from store.database import Database
from store.errors import CommitsBusy
from store.organizations.models import Repository
from store.releases.details import ReleaseDetails
from store.releases.read import get_release
from tests.contract.acme import Acme
from tests.contract.callers import at_once, errors_in, held_at
from tests.contract.commits import VERSION, count, in_projects, keys, listed, set_to


@pytest.fixture
def acme(database: Database) -> Acme:
    acme = Acme(database, "web", "api")
    acme.release(VERSION, "web", "api")
    return acme


def test_twenty_parallel_calls_leave_the_whole_list_of_one_of_them(acme: Acme) -> None:
    def call(number: int) -> ReleaseDetails:
        commits = [
            CommitDraft(f"{number}-{index}", f"r{index % 3}", f"Author {index % 5}", commit_time=index)
            for index in range(100 + number)
        ]
        return set_to(acme, *commits)

    answers = at_once(20, call)
    assert errors_in(answers) == []
    assert [details.release.commit_count for details in answers if isinstance(details, ReleaseDetails)] == [
        100 + number for number in range(20)
    ]
    left = keys(acme)
    number = len(left) - 100
    assert left == [f"{number}-{index}" for index in reversed(range(len(left)))]
    release = get_release(acme.db, acme.everybody, "acme", VERSION).release
    assert release.commit_count == len(left)
    assert in_projects(acme) == [len(left), len(left)]


def test_parallel_calls_for_releases_of_one_repository_store_each_commit_once(acme: Acme) -> None:
    versions = [f"app@1.0.{number}" for number in range(1, 9)]
    for version in versions:
        acme.release(version, "web")
    shared = [
        CommitDraft(f"c{index}", f"r{index % 2}", author_email=f"{index % 7}@x", changed_files={f"f{index}": ADDED})
        for index in range(150)
    ]

    def call(number: int) -> ReleaseDetails:
        turned = shared[number * 10 :] + shared[: number * 10]
        return set_to(acme, *turned, version=versions[number])

    assert errors_in(at_once(8, call)) == []
    assert [count(acme, model) for model in (Repository, CommitAuthor, Commit, CommitFile)] == [2, 7, 150, 150]
    for version in versions:
        assert sorted(keys(acme, version)) == sorted(commit.id for commit in shared)
        assert {commit.changed_file_count for commit in listed(acme, version)} == {1}


def test_a_call_that_waits_as_long_as_it_may_is_told_that_the_release_is_busy(acme: Acme) -> None:
    with ThreadPoolExecutor(1) as pool, held_at(acme.db, 'INSERT INTO "release_commit"') as held:
        first = pool.submit(set_to, acme, CommitDraft("a"))
        assert held.wait(60)
        with pytest.raises(CommitsBusy) as busy:
            set_commits(acme.db, acme.everybody, "acme", VERSION, [CommitDraft("b")], wait_seconds=0.05)
    first.result(60)
    assert busy.value.retry_after_seconds
    assert busy.value.metadata == {"name": f"organizations/acme/releases/{VERSION}"}
    assert keys(acme) == ["a"]


def test_those_who_wait_for_a_release_leave_the_database_to_everybody_else(acme: Acme) -> None:
    with ThreadPoolExecutor(13) as pool, held_at(acme.db, 'INSERT INTO "release_commit"') as held:
        calls = [pool.submit(set_to, acme, CommitDraft("a"))]
        assert held.wait(60)
        calls += [pool.submit(set_to, acme, CommitDraft(f"b{number}")) for number in range(12)]
        assert get_release(acme.db, acme.everybody, "acme", VERSION).release.commit_count == 0
    assert [call.result(60).release.commit_count for call in calls] == [1] * 13


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # an SQLite database has one process
@pytest.mark.parametrize("table", ["release", "repository"])
def test_another_process_that_holds_the_release_or_its_repository_makes_a_call_wait_and_then_tells_busy(
    acme: Acme, database_url: str, table: LiteralString
) -> None:
    set_to(acme, CommitDraft("a", "r"))
    with psycopg.connect(database_url) as other:
        other.execute(f"SELECT 1 FROM {table} FOR UPDATE")
        with pytest.raises(CommitsBusy):
            set_commits(acme.db, acme.everybody, "acme", VERSION, [CommitDraft("b", "r")], wait_seconds=1.0)
        other.rollback()
    assert keys(acme) == ["a"]
    set_to(acme, CommitDraft("b", "r"))
    assert keys(acme) == ["b"]
