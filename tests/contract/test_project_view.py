"""GetRelease with a project: what is beside the release there (behaviour.md, A release in its projects)."""

from __future__ import annotations

from typing import Any

import pytest

from store.access import Access
from store.access.projects import QualifiedSlug
from store.commits import changes
from store.commits.drafts import ADDED, MODIFIED, CommitDraft
from store.database import Database
from store.deploys.create import DeployDraft, create_deploy
from store.errors import OrganizationNotFound, ProjectNotFound, QueryInvalid, ReleaseNotFound
from store.organizations.delete import delete_project
from store.releases.delete import delete_release
from store.releases.read import get_release
from store.releases.rows import ReleaseStatus
from store.search import find
from store.search.filters import ReleaseFilter, TimeSpan
from store.search.neighbours import Neighbours
from store.search.project_view import ReleaseSeenFromProject, get_release_in_project
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme

OPEN, ARCHIVED = ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "cli", "web")


def seen(
    acme: Acme, version: str, project: str | QualifiedSlug = "web", access: Access | None = None, **wanted: Any
) -> ReleaseSeenFromProject:
    contents = wanted.pop("contents", True)
    return get_release_in_project(
        acme.db, access or acme.everybody, "acme", version, project, ReleaseFilter(**wanted), contents=contents
    )


def beside(acme: Acme, version: str, project: str = "web", **wanted: Any) -> tuple[str | None, str | None]:
    """(previous, next) of the release."""
    found = seen(acme, version, project, **wanted).view.beside
    assert not found.incomplete
    return found.previous, found.next


def ends(acme: Acme, version: str, project: str = "web", **wanted: Any) -> tuple[str | None, str | None]:
    """(first, last) of all."""
    found = seen(acme, version, project, **wanted).view.beside
    return found.first, found.last


def make(acme: Acme, clock: ManualClock, *versions: str, project: str = "web", **fields: Any) -> None:
    """The releases, one a second."""
    for version in versions:
        acme.release(version, project, **fields)
        clock.advance(seconds=1)


def deployed(acme: Acme, version: str, environment: str, *projects: str) -> None:
    create_deploy(acme.db, acme.everybody, "acme", version, DeployDraft((environment,), projects=projects))


def test_a_release_alone_has_nothing_beside_it(acme: Acme) -> None:
    acme.release("1", "web")
    assert seen(acme, "1").view.beside == Neighbours(None, None, "1", "1", incomplete=False)


def test_neighbours_are_by_time_of_creation_within_the_project(acme: Acme, clock: ManualClock) -> None:
    make(acme, clock, "9")
    make(acme, clock, "theirs", project="api")
    make(acme, clock, "5", release_time=START_US - 10**9)
    make(acme, clock, "theirs too", project="api")
    make(acme, clock, "7")

    assert [beside(acme, version) for version in ("9", "5", "7")] == [(None, "5"), ("9", "7"), ("5", None)]
    assert ends(acme, "5") == ("9", "7")
    assert beside(acme, "theirs", "api") == (None, "theirs too")


def test_releases_of_one_moment_have_one_order(acme: Acme) -> None:
    for number in range(6):
        acme.release(str(number), "web")
    first, last = ends(acme, "3")
    assert first is not None
    chain: list[str] = [first]
    while (following := beside(acme, chain[-1])[1]) is not None:
        assert beside(acme, following)[0] == chain[-1]
        chain.append(following)
    assert sorted(chain) == ["0", "1", "2", "3", "4", "5"]
    assert chain[-1] == last


def test_open_ones_are_beside_it_unless_others_are_asked_for(acme: Acme, clock: ManualClock) -> None:
    make(acme, clock, "a", status=ARCHIVED)
    make(acme, clock, "b", "c", "d")
    make(acme, clock, "e", status=ARCHIVED)

    assert beside(acme, "c") == ("b", "d")
    assert beside(acme, "b") == (None, "c")
    assert beside(acme, "b", statuses=(OPEN, ARCHIVED)) == ("a", "c")
    assert beside(acme, "c", statuses=(ARCHIVED,)) == ("a", "e")
    assert beside(acme, "c", query="status:archived") == ("a", "e")
    assert beside(acme, "a") == (None, "b"), "its own status is no filter"


def test_the_ends_are_of_all_releases_whatever_status_and_query_say(acme: Acme, clock: ManualClock) -> None:
    make(acme, clock, "a", status=ARCHIVED)
    make(acme, clock, "b", "c", "d")
    make(acme, clock, "e", status=ARCHIVED)
    late = TimeSpan(first_us=START_US + 2_000_000)
    for wanted in ({}, {"query": "release:c"}, {"statuses": (OPEN,)}, {"created": late}, {"released": late}):
        assert ends(acme, "c", **wanted) == ("a", "e")


def test_the_query_says_what_is_beside_it(acme: Acme, clock: ManualClock) -> None:
    make(acme, clock, "app@1.0.0", "lib@1.0.0", "app@2.0.0", "lib@2.0.0", "app@3.0.0")

    assert beside(acme, "app@2.0.0") == ("lib@1.0.0", "lib@2.0.0")
    assert beside(acme, "app@2.0.0", query="release.package:app") == ("app@1.0.0", "app@3.0.0")
    assert beside(acme, "lib@2.0.0", query="release.package:app") == ("app@2.0.0", "app@3.0.0")
    assert beside(acme, "app@2.0.0", query="@1") == ("lib@1.0.0", None)
    assert beside(acme, "lib@1.0.0", query="release:latest") == (None, "app@3.0.0")
    with pytest.raises(QueryInvalid):
        beside(acme, "app@2.0.0", query="release.package:")


def test_environments_are_those_of_deploys_of_the_project(acme: Acme, clock: ManualClock) -> None:
    for version in ("1", "2", "3", "4", "5"):
        acme.release(version, "web", "api")
        clock.advance(seconds=1)
    deployed(acme, "1", "staging", "web")
    deployed(acme, "2", "production", "web")
    deployed(acme, "4", "production", "api")
    deployed(acme, "5", "production", "web")

    assert beside(acme, "3", environments=("production",)) == ("2", "5")
    assert ends(acme, "3", environments=("production",)) == ("2", "5")
    assert ends(acme, "3", environments=("staging",)) == ("1", "1")
    assert beside(acme, "3", environments=("staging", "production")) == ("2", "5")
    assert beside(acme, "3", "api", environments=("production",)) == (None, "4")
    nowhere = seen(acme, "3", environments=("nowhere",)).view.beside
    assert nowhere == Neighbours(None, None, None, None, incomplete=False)


def test_deleted_releases_are_beside_nothing(acme: Acme, clock: ManualClock) -> None:
    make(acme, clock, "1", "2", "3", "4")
    for version in ("1", "3"):
        delete_release(acme.db, acme.everybody, "acme", version)
    assert (beside(acme, "2"), ends(acme, "2")) == ((None, "4"), ("2", "4"))


def test_a_search_that_is_cut_says_so(acme: Acme, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "MOST_WALKED", 4)
    make(
        acme, clock, "wanted", *(str(number) for number in range(5)), "middle", *(str(number) for number in range(5, 7))
    )

    cut = seen(acme, "middle", query="*ante*").view.beside
    assert (cut.previous, cut.next, cut.first, cut.last, cut.incomplete) == (None, None, "wanted", "6", True)
    near = seen(acme, "2", query="*ante*").view.beside
    assert (near.previous, near.incomplete) == ("wanted", True), "after it, nothing was found within the limit"


def test_what_the_release_is_in_the_project(acme: Acme, clock: ManualClock) -> None:
    acme.release("1", "web", "api", release_time=START_US - 3)
    clock.advance(seconds=1)
    acme.release("2", "web")
    deployed(acme, "1", "production", "web", "api")
    deployed(acme, "1", "staging", "web")

    view = seen(acme, "1").view
    assert (view.in_project.slug, view.in_project.deploy_count) == ("web", 2)
    assert view.in_project.last_deploy_time == START_US + 1_000_000
    assert (view.come_time, seen(acme, "2").view.come_time) == (START_US - 3, START_US + 1_000_000)


def test_the_release_is_what_reading_it_answers_but_for_its_other_projects(acme: Acme) -> None:
    acme.release("1", "web", "api", commits=(CommitDraft("a", "repo"),), labels={"team": "payments"})
    deployed(acme, "1", "production", "api")

    full, basic = seen(acme, "1").details, seen(acme, "1", contents=False).details
    alone = get_release(acme.db, acme.everybody, "acme", "1")
    assert [row.slug for row in alone.in_projects] == ["api", "web"]
    assert [row.slug for row in full.in_projects] == ["web"]
    assert (full.release, full.contents, full.last_deploy, full.labels) == (
        alone.release,
        alone.contents,
        alone.last_deploy,
        alone.labels,
    )
    assert basic == get_release(acme.db, acme.everybody, "acme", "1", contents=False)


def test_changed_files_are_counted_once_a_path(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = (
        CommitDraft("a", "repo", changed_files={"one": ADDED, "two": ADDED}),
        CommitDraft("b", "repo", changed_files={"two": MODIFIED, "three": ADDED}),
        CommitDraft("c", "other", changed_files={"one": ADDED}),
        CommitDraft("d", "other", changed_files={"one": MODIFIED}),
        CommitDraft("e", "other"),
    )
    acme.release("1", "web", commits=commits)
    acme.release("2", "web")

    assert seen(acme, "1").view.changed_files == changes.ChangedFileCount(3, is_least=False)
    assert seen(acme, "2").view.changed_files == changes.ChangedFileCount(0, is_least=False)
    monkeypatch.setattr(changes, "MOST_COUNTED", 6)
    assert seen(acme, "1").view.changed_files == changes.ChangedFileCount(3, is_least=False)
    monkeypatch.setattr(changes, "MOST_COUNTED", 5)
    assert seen(acme, "1").view.changed_files == changes.ChangedFileCount(3, is_least=True)
    monkeypatch.setattr(changes, "MOST_COUNTED", 1)
    assert seen(acme, "1").view.changed_files == changes.ChangedFileCount(2, is_least=True), "of the newest commit"


def test_a_project_that_is_not_there_or_not_the_callers_is_not_found(acme: Acme) -> None:
    acme.release("1", "web", "api")
    other = Acme(acme.db, "web", slug="other")
    member = acme.member_of("web")
    for project in ("nothing", "-", "api", QualifiedSlug("other", "web")):
        with pytest.raises(ProjectNotFound):
            seen(acme, "1", project, member)
    assert seen(acme, "1", QualifiedSlug("acme", "web"), member).view.in_project.slug == "web"
    with pytest.raises(OrganizationNotFound):
        seen(acme, "1", access=other.everybody)


def test_a_release_that_is_not_of_the_project_is_not_found(acme: Acme) -> None:
    acme.release("1", "web")
    for version in ("1", "nothing"):
        with pytest.raises(ReleaseNotFound):
            seen(acme, version, "api")
    delete_project(acme.db, acme.everybody, "acme", "web", force=True)
    with pytest.raises(ReleaseNotFound):
        seen(acme, "1", "web")


def test_other_projects_of_a_member_are_no_neighbours(acme: Acme, clock: ManualClock) -> None:
    make(acme, clock, "1")
    make(acme, clock, "2", project="api")
    make(acme, clock, "3")
    assert beside(acme, "1", access=acme.member_of("web", "api")) == (None, "3")
