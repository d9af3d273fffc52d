"""Deploys: what is kept of them, what runs where, and what goes with what is deleted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.commits.drafts import CommitDraft
from store.commits.models import ReleaseCommit, ReleaseHead, ReleaseReference
from store.database import Database, Reader
from store.deploys import environments
from store.deploys.create import CreatedDeploys, DeployDraft, create_deploy
from store.deploys.current import get_current_release
from store.deploys.environments import list_environments
from store.deploys.list import DeployFilter, list_deploys
from store.deploys.models import Deploy, DeployProject, Environment, EnvironmentProject, ReleaseEnvironment
from store.deploys.rows import DeployRow
from store.errors import InvalidField, ProjectNotFound, ProjectNotInRelease, ReleaseNotFound
from store.organizations import delete, drain
from store.organizations.delete import delete_project
from store.organizations.drain import SETTLED_US, drain_deleted_projects
from store.paging import Page, PageRequest
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from store.releases.read import get_previous_release, get_release
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.walks import walked

FIRST = PageRequest(100)


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


def deploy(acme: Acme, version: str, *environments: str, **draft: Any) -> CreatedDeploys:
    created: CreatedDeploys = create_deploy(
        acme.db, draft.pop("access", acme.everybody), "acme", version, DeployDraft(environments, **draft)
    )
    return created


def running(acme: Acme, project: str, environment: str) -> str | None:
    current = get_current_release(acme.db, acme.everybody, "acme", project, environment, FIRST)
    return None if current.release is None else current.release.release.version


def listed(acme: Acme, version: str | None = None, size: int = 100, **sought: Any) -> list[tuple[str, str]]:
    """(version, environment) of all deploys that a list answers, walked by pages of `size` and back again."""
    caller = sought.pop("access", acme.everybody)

    def page_at(request: PageRequest) -> Page[DeployRow]:
        return list_deploys(acme.db, caller, "acme", version, request, sought=DeployFilter(**sought)).page

    return [(row.version, row.environment) for row in walked(page_at, size)]


def test_a_deploy_counts_in_the_release_and_is_its_last(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    created = deploy(acme, "1.0.0", "production", "staging", finish_time=5_000_000, display_name="blue")

    details = get_release(acme.db, acme.everybody, "acme", "1.0.0")
    assert details.release.deploy_count == 2
    assert details.last_deploy == created.deploys[1]  # of two at the same time the one told later
    assert [project.slug for project in created.deploys[0].projects] == ["api", "web"]


def test_the_deploy_that_finished_last_is_the_last_whichever_was_told_first(acme: Acme) -> None:
    acme.release("1.0.0", "web")
    late = deploy(acme, "1.0.0", "production", finish_time=9_000_000)
    deploy(acme, "1.0.0", "production", finish_time=5_000_000)

    details = get_release(acme.db, acme.everybody, "acme", "1.0.0")
    assert (details.release.deploy_count, details.last_deploy) == (2, late.deploys[0])


def test_the_newest_deploy_says_what_runs_there(acme: Acme) -> None:
    for version in ("1.0.0", "2.0.0"):
        acme.release(version, "web", "api")
    deploy(acme, "1.0.0", "production", finish_time=1_000_000)
    deploy(acme, "2.0.0", "production", finish_time=2_000_000, projects=("web",))

    assert running(acme, "web", "production") == "2.0.0"
    assert running(acme, "api", "production") == "1.0.0"
    assert running(acme, "web", "staging") is None


def test_the_history_pages_through_what_ran_there_before(acme: Acme) -> None:
    for number in range(5):
        acme.release(f"{number}.0.0", "web")
        deploy(acme, f"{number}.0.0", "production", finish_time=number * 1_000_000)
    seen: list[str] = []
    request = PageRequest(2)
    while True:
        current = get_current_release(acme.db, acme.everybody, "acme", "web", "production", request)
        assert current.release is not None
        assert current.release.release.version == "4.0.0"
        seen += [row.version for row in current.history.items]
        if current.history.next is None:
            break
        request = PageRequest(2, current.history.next)
    assert seen == ["3.0.0", "2.0.0", "1.0.0", "0.0.0"]
    assert current.history.previous is not None
    back = get_current_release(
        acme.db, acme.everybody, "acme", "web", "production", PageRequest(2, current.history.previous)
    ).history
    assert [row.version for row in back.items] == ["3.0.0", "2.0.0"]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_lists_go_over_one_release_or_all_of_them(acme: Acme, size: int) -> None:
    acme.release("1.0.0", "web", "api")
    acme.release("2.0.0", "web")
    deploy(acme, "1.0.0", "production", "staging", finish_time=1_000_000)
    deploy(acme, "2.0.0", "staging", finish_time=2_000_000)
    deploy(acme, "1.0.0", "production", finish_time=3_000_000, projects=("api",))

    everything = [("1.0.0", "production"), ("2.0.0", "staging"), ("1.0.0", "staging"), ("1.0.0", "production")]
    assert listed(acme, size=size) == everything
    assert listed(acme, "2.0.0", size=size) == [("2.0.0", "staging")]
    assert listed(acme, size=size, environments=frozenset({"staging"})) == [everything[1], everything[2]]
    assert listed(acme, size=size, projects=frozenset({"web"})) == everything[1:]
    assert listed(acme, size=size, start_time=1_000_001, end_time=3_000_000) == [("2.0.0", "staging")]
    assert listed(acme, "1.0.0", size=size, latest_only=True) == [everything[0], everything[2], everything[3]]
    assert listed(acme, size=size, latest_only=True) == everything
    assert listed(acme, size=size, access=acme.member_of("api")) == [everything[0], everything[2], everything[3]]
    assert listed(acme, size=size, environments=frozenset({"nowhere"})) == []


def test_the_latest_of_all_leaves_out_what_was_deployed_over(acme: Acme) -> None:
    for version in ("1.0.0", "2.0.0"):
        acme.release(version, "web")
        deploy(acme, version, "production", finish_time=int(version[0]))
    assert listed(acme, latest_only=True) == [("2.0.0", "production")]
    assert listed(acme, "1.0.0", latest_only=True) == [("1.0.0", "production")]


def test_what_a_deploy_may_not_say(acme: Acme) -> None:
    acme.release("1.0.0", "web")
    with pytest.raises(ProjectNotInRelease):
        deploy(acme, "1.0.0", "production", projects=("api",))
    with pytest.raises(InvalidField):
        deploy(acme, "1.0.0", "production", start_time=2, finish_time=1)
    with pytest.raises(ReleaseNotFound):
        deploy(acme, "1.0.0", "production", access=acme.member_of("api"))
    assert listed(acme) == []
    assert list_environments(acme.db, acme.everybody, "acme", FIRST)[1].items == ()


@pytest.mark.parametrize("ranges", [0, 32])
def test_environments_come_with_deploys_and_belong_to_projects(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, ranges: int
) -> None:
    monkeypatch.setattr(environments, "MOST_RANGES", ranges)
    acme.release("1.0.0", "web", "api")
    deploy(acme, "1.0.0", "staging", "production", projects=("web",))
    deploy(acme, "1.0.0", "staging")

    def of(*projects: str, access: Any = None) -> list[tuple[str, tuple[str, ...]]]:
        def page_at(request: PageRequest) -> Page[environments.EnvironmentRow]:
            return list_environments(acme.db, access or acme.everybody, "acme", request, projects=projects)[1]

        assert walked(page_at, 1) == walked(page_at, 100)
        return [(row.display_name, row.project_slugs) for row in walked(page_at, 1)]

    assert of() == [("production", ("web",)), ("staging", ("api", "web"))]
    assert of("api") == [("staging", ("api", "web"))]
    assert of(access=acme.member_of("api")) == [("staging", ("api",))]


def test_the_release_before_in_an_environment(acme: Acme) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        acme.release(version, "web")
    deploy(acme, "1.0.0", "production", finish_time=1)
    deploy(acme, "2.0.0", "staging", finish_time=2)
    deploy(acme, "3.0.0", "production", finish_time=3)

    def before(version: str, environment: str) -> str | None:
        found = get_previous_release(acme.db, acme.everybody, "acme", version, environment=environment)
        return None if found is None else found.release.version

    assert before("3.0.0", "production") == "1.0.0"
    assert before("1.0.0", "production") is None
    assert before("2.0.0", "production") == "3.0.0"  # it was never deployed there: what runs there now
    assert before("2.0.0", "nowhere") is None
    deploy(acme, "1.0.0", "production", finish_time=4)  # rolled back
    assert before("1.0.0", "production") == "3.0.0"
    assert before("3.0.0", "production") == "1.0.0"


def test_each_chosen_project_is_told_of_a_deploy(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    deploy(acme, "1.0.0", "production", projects=("web",), finish_time=7)
    assert ("release_deployed", "1.0.0", 7) in acme.activities("web")
    assert "release_deployed" not in [kind for kind, _, _ in acme.activities("api")]


def test_a_deleted_release_runs_nowhere(acme: Acme) -> None:
    for version in ("1.0.0", "2.0.0"):
        acme.release(version, "web")
        deploy(acme, version, "production", finish_time=int(version[0]))
    delete_release(acme.db, acme.everybody, "acme", "2.0.0")
    assert running(acme, "web", "production") == "1.0.0"
    assert listed(acme) == [("1.0.0", "production")]


def test_a_deleted_project_takes_its_deploys_along(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    both = deploy(acme, "1.0.0", "production", finish_time=1)
    deploy(acme, "1.0.0", "production", "staging", finish_time=2, projects=("web",))
    delete_project(acme.db, acme.everybody, "acme", "web", force=True)
    drain_deleted_projects(acme.db)

    details = get_release(acme.db, acme.everybody, "acme", "1.0.0")
    assert details.release.deploy_count == 1
    assert details.last_deploy is not None
    assert details.last_deploy.id == both.deploys[0].id
    assert listed(acme) == [("1.0.0", "production")]
    with pytest.raises(ProjectNotFound):
        running(acme, "web", "production")


def test_what_waits_for_the_drain_of_its_project_is_seen_nowhere(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)
    acme.release("1.0.0", "web", "api")
    acme.release("2.0.0", "web")
    kept = deploy(acme, "1.0.0", "production", finish_time=1, projects=("api",))
    deploy(acme, "1.0.0", "production", finish_time=2, projects=("web",))
    deploy(acme, "2.0.0", "staging", finish_time=3)
    web = acme.member_of("web")
    assert listed(acme, access=web) == [("2.0.0", "staging"), ("1.0.0", "production")]
    delete_project(acme.db, acme.everybody, "acme", "web", force=True)

    for size in (1, 100):
        for latest_only in (False, True):
            assert listed(acme, size=size, latest_only=latest_only) == [("1.0.0", "production")]
            assert listed(acme, size=size, latest_only=latest_only, access=web) == []
        assert listed(acme, "1.0.0", size=size) == [("1.0.0", "production")]
        assert listed(acme, size=size, environments=frozenset({"production", "staging"})) == [("1.0.0", "production")]
    assert get_release(acme.db, acme.everybody, "acme", "1.0.0").last_deploy is None
    drain_deleted_projects(acme.db)
    assert get_release(acme.db, acme.everybody, "acme", "1.0.0").last_deploy == kept.deploys[0]


def test_the_last_deploy_is_shown_to_whoever_may_access_one_of_its_projects(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    told = deploy(acme, "1.0.0", "production", projects=("web",)).deploys[0]

    def shown(access: Any) -> list[Any]:
        current = get_current_release(acme.db, acme.everybody, "acme", "web", "production", FIRST)
        assert current.deploy == told
        newest, *_ = acme.listed(access, contents=True)
        return [get_release(acme.db, access, "acme", "1.0.0").last_deploy, newest.last_deploy]

    assert shown(acme.everybody) == [told, told]
    assert shown(acme.member_of("web")) == [told, told]
    assert shown(acme.member_of("api")) == [None, None]
    assert listed(acme, "1.0.0", access=acme.member_of("api")) == []


@pytest.mark.parametrize("size", [1, 7, 100])
def test_lists_of_many_projects_and_environments_are_walked_as_one(acme: Acme, size: int) -> None:
    projects = [acme_project for number in range(40) if acme.add_project(acme_project := f"project-{number}")]
    expected: list[tuple[str, str]] = []
    for number, project in enumerate(projects):
        acme.release(f"{number}.0.0", project, "web")
        place = f"env-{number % 3}"
        deploy(acme, f"{number}.0.0", place, finish_time=number // 2)
        expected.insert(0, (f"{number}.0.0", place))
    members = acme.member_of(*projects)
    assert listed(acme, size=size) == expected
    assert listed(acme, size=size, access=members) == expected
    some = frozenset({"env-0", "env-2"})
    of_some = [row for row in expected if row[1] in some]
    assert listed(acme, size=size, environments=some) == of_some
    assert listed(acme, size=size, environments=some, access=members) == of_some
    assert listed(acme, size=size, access=members, start_time=3, end_time=9) == expected[22:34]


def rows(acme: Acme, *models: Any) -> list[int]:
    def counted(reader: Reader) -> list[int]:
        return [len(reader.fetch(model.select())) for model in models]

    return acme.db.read(counted)


def test_of_a_deleted_release_and_its_deploys_no_row_is_left(acme: Acme) -> None:
    commits = (CommitDraft("c1", "repo", author_email="ada@acme.dev", message="Fixes WEB-1"),)
    acme.release("1.0.0", "web", "api", commits=commits)
    deploy(acme, "1.0.0", "production", "staging")
    deploy(acme, "1.0.0", "production")
    of_releases = (Deploy, DeployProject, ReleaseEnvironment, ReleaseCommit, ReleaseReference, ReleaseHead)
    assert rows(acme, *of_releases) == [3, 6, 4, 1, 1, 1]
    delete_release(acme.db, acme.everybody, "acme", "1.0.0")
    drain_deleted_releases(acme.db)
    assert rows(acme, *of_releases) == [0] * 6


def test_of_a_deleted_project_no_deploy_and_no_place_is_left(acme: Acme, clock: ManualClock) -> None:
    acme.release("1.0.0", "web", "api")
    deploy(acme, "1.0.0", "production", "staging")
    deploy(acme, "1.0.0", "qa", projects=("web",))
    of_projects = (Deploy, DeployProject, ReleaseEnvironment, EnvironmentProject, Environment)
    assert rows(acme, *of_projects) == [3, 5, 5, 5, 3]
    delete_project(acme.db, acme.everybody, "acme", "web", force=True)
    clock.advance(seconds=SETTLED_US / 1_000_000 + 1)
    drain_deleted_projects(acme.db)
    assert rows(acme, *of_projects) == [2, 2, 2, 2, 3]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_project_leaves_its_deploys_in_writes_of_any_size(
    acme: Acme, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(drain, "MOST_ROWS", most)
    acme.release("1.0.0", "web", "api")
    for number in range(5):
        deploy(acme, "1.0.0", "production", finish_time=number, projects=("web",) if number % 2 else ())
    delete_project(acme.db, acme.everybody, "acme", "web", force=True)
    clock.advance(seconds=SETTLED_US / 1_000_000 + 1)
    assert drain_deleted_projects(acme.db) == 1
    assert rows(acme, Deploy, DeployProject, ReleaseEnvironment, EnvironmentProject) == [3, 3, 1, 1]
    assert get_release(acme.db, acme.everybody, "acme", "1.0.0").release.deploy_count == 3


def test_releases_that_are_deployed_at_once_to_a_new_environment_share_it(acme: Acme) -> None:
    versions = [f"{number}.0.0" for number in range(8)]
    for version in versions:
        acme.release(version, "web", "api")
    with ThreadPoolExecutor(len(versions)) as pool:
        made = list(pool.map(lambda version: deploy(acme, version, "staging", "production"), versions))
    assert rows(acme, Environment, EnvironmentProject, Deploy) == [2, 4, 16]
    newest = max(deploys.deploys[1].id for deploys in made)
    current = get_current_release(acme.db, acme.everybody, "acme", "web", "production", FIRST)
    assert current.deploy is not None
    assert current.deploy.id == newest
    assert len(current.history.items) == 7
