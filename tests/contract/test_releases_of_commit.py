"""FindReleasesByCommit: which releases hold a commit, the first of them, and where they run."""

from __future__ import annotations

from typing import Any

import pytest

from store.access import Access
from store.commits.drafts import CommitDraft
from store.database import Database
from store.deploys.create import DeployDraft, create_deploy
from store.errors import CommitAmbiguous, CommitNotFound, InvalidField
from store.organizations import delete
from store.paging import Page, PageRequest
from store.releases.delete import delete_release
from store.releases.holding import ReleasesOfCommit, ReleaseWithCommit, find_releases_by_commit
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.walks import walked


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


def find(acme: Acme, key: str, *, access: Access | None = None, repository: str = "") -> ReleasesOfCommit:
    return find_releases_by_commit(
        acme.db, access or acme.everybody, "acme", key, PageRequest(100), repository=repository
    )


def versions(acme: Acme, key: str, **said: Any) -> list[str]:
    return [item.details.release.version for item in find(acme, key, **said).page.items]


def holds(acme: Acme, version: str, *keys: str, project: str = "web", repository: str = "repo") -> None:
    acme.release(version, project, commits=tuple(CommitDraft(key, repository) for key in keys))


@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_releases_come_by_version_and_others_last(acme: Acme, clock: ManualClock, size: int) -> None:
    for version in ("nightly", "web@10.0.0", "web@9.0.0", "web@9.0.0-rc.1", "another"):
        holds(acme, version, "abcdef01")
        clock.advance(seconds=1)

    def page_at(request: PageRequest) -> Page[ReleaseWithCommit]:
        return find_releases_by_commit(acme.db, acme.everybody, "acme", "abcdef01", request).page

    found = [item.details.release.version for item in walked(page_at, size)]
    assert found == ["web@9.0.0-rc.1", "web@9.0.0", "web@10.0.0", "nightly", "another"]


def test_the_first_release_is_told_with_the_first_page_only(acme: Acme) -> None:
    for version in ("2.0.0", "1.0.0", "3.0.0"):
        holds(acme, version, "abcdef01")
    first = find_releases_by_commit(acme.db, acme.everybody, "acme", "abcdef01", PageRequest(1))
    assert first.first is not None
    assert first.first.details.release.version == "1.0.0"
    assert first.page.next is not None
    second = find_releases_by_commit(acme.db, acme.everybody, "acme", "abcdef01", PageRequest(1, first.page.next))
    assert second.first is None


def test_the_beginning_of_just_one_id_is_enough(acme: Acme) -> None:
    holds(acme, "1.0.0", "abcdef01", "abcd9999")
    holds(acme, "2.0.0", "ab")
    assert versions(acme, "abcde") == ["1.0.0"]
    assert [commit.key for commit in find(acme, "abcde").commits] == ["abcdef01"]
    with pytest.raises(CommitAmbiguous) as ambiguous:
        find(acme, "abcd")
    assert ambiguous.value.metadata == {"commit_id": "abcd", "commit_ids": "abcd9999, abcdef01"}
    with pytest.raises(CommitNotFound):
        find(acme, "abcdx")
    assert versions(acme, "ab") == ["2.0.0"]  # in full, however short
    with pytest.raises(InvalidField):
        find(acme, "abc")


def test_an_id_in_full_is_it_though_others_begin_so(acme: Acme) -> None:
    holds(acme, "1.0.0", "abcd", "abcdef01")
    assert [commit.key for commit in find(acme, "abcd").commits] == ["abcd"]


def test_the_same_id_in_several_repositories_is_one_commit_unless_one_is_named(acme: Acme) -> None:
    holds(acme, "1.0.0", "abcdef01", repository="fork")
    holds(acme, "2.0.0", "abcdef01", repository="upstream")
    assert [commit.repository for commit in find(acme, "abcdef").commits] == ["fork", "upstream"]
    assert versions(acme, "abcdef") == ["1.0.0", "2.0.0"]
    assert versions(acme, "abcdef", repository="upstream") == ["2.0.0"]
    with pytest.raises(CommitNotFound):
        find(acme, "abcdef", repository="nowhere")


def test_only_releases_that_the_caller_may_read_count(acme: Acme) -> None:
    holds(acme, "1.0.0", "abcdef01", "abcd9999", project="api")
    holds(acme, "2.0.0", "abcdef01", project="web")
    assert versions(acme, "abcd", access=acme.member_of("web")) == ["2.0.0"]  # the other one is not there for it
    with pytest.raises(CommitNotFound):
        find(acme, "abcd9999", access=acme.member_of("web"))
    with pytest.raises(CommitNotFound):
        find(acme, "abcdef01", access=acme.member_of())


def test_a_deleted_release_holds_nothing(acme: Acme) -> None:
    holds(acme, "1.0.0", "abcdef01")
    delete_release(acme.db, acme.everybody, "acme", "1.0.0")
    with pytest.raises(CommitNotFound):
        find(acme, "abcdef01")


def test_it_is_told_where_each_release_runs(acme: Acme) -> None:
    for version in ("1.0.0", "2.0.0"):
        acme.release(version, "web", "api", commits=(CommitDraft("abcdef01", "repo"),))
        create_deploy(
            acme.db, acme.everybody, "acme", version, DeployDraft(("production",), finish_time=int(version[0]))
        )
    create_deploy(acme.db, acme.everybody, "acme", "1.0.0", DeployDraft(("staging",), projects=("api",)))

    def running(access: Access) -> list[tuple[str, str, str]]:
        return [
            (item.details.release.version, deploy.environment, deploy.project_slug)
            for item in find(acme, "abcdef01", access=access).page.items
            for deploy in item.running
        ]

    assert running(acme.everybody) == [
        ("1.0.0", "staging", "api"),
        ("2.0.0", "production", "api"),
        ("2.0.0", "production", "web"),
    ]
    assert running(acme.member_of("web")) == [("2.0.0", "production", "web")]


def test_a_release_whose_only_project_waits_for_the_drain_holds_nothing(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)
    holds(acme, "1.0.0", "abcdef01", project="web")
    holds(acme, "2.0.0", "abcdef02", "abcdef03", project="api")
    delete.delete_project(acme.db, acme.everybody, "acme", "web", force=True)
    for access in (acme.everybody, acme.member_of("web", "api")):
        assert versions(acme, "abcdef02", access=access) == ["2.0.0"]
        with pytest.raises(CommitNotFound):
            find(acme, "abcdef01", access=access)


def test_callers_of_any_number_of_projects_find_what_is_theirs(acme: Acme) -> None:
    holds(acme, "1.0.0", "abcdef01", project="web")
    others = [project for number in range(70) if acme.add_project(project := f"project-{number}")]
    for count in (1, 3, 5, 20, 70):
        with pytest.raises(CommitNotFound):
            find(acme, "abcdef", access=acme.member_of(*others[:count]))
        assert versions(acme, "abcdef", access=acme.member_of("web", *others[: count - 1])) == ["1.0.0"]
    with pytest.raises(CommitNotFound):
        find(acme, "abcdef01", access=acme.member_of())


def test_a_commit_is_told_with_the_references_of_its_message(acme: Acme) -> None:
    acme.release("1.0.0", "web", commits=(CommitDraft("abcdef01", "repo", message="Fixes web-7, WEB-8"),))
    assert find(acme, "abcdef").commits[0].references == ("WEB-7", "WEB-8")
