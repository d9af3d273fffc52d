"""How releases fare in each of their projects (behaviour.md, A release in its projects)."""

from __future__ import annotations

from typing import Any

import pytest

from store.access import Access
from store.access.projects import ProjectSet
from store.database import Database, QueryEvent
from store.deploys.create import DeployDraft, create_deploy
from store.paging import PageRequest
from store.releases.in_projects import in_projects, never_deployed
from store.releases.read import get_release
from store.search.filters import ReleaseFilter
from store.search.list import list_releases
from tests.clocks import START_US
from tests.contract.acme import Acme


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "cli", "web")


def deploy(acme: Acme, version: str, *environments: str, projects: tuple[str, ...], finish_time: int) -> None:
    draft = DeployDraft(environments, projects=projects, finish_time=finish_time)
    create_deploy(acme.db, acme.everybody, "acme", version, draft)


def faring(acme: Acme, version: str, access: Access | None = None, **asked: Any) -> list[tuple[str, int, int | None]]:
    details = get_release(acme.db, access or acme.everybody, "acme", version, **asked)
    return [(row.slug, row.deploy_count, row.last_deploy_time) for row in details.in_projects]


def test_a_release_that_was_never_deployed_is_in_its_projects_all_the_same(acme: Acme) -> None:
    acme.release("1", "web", "api")
    assert faring(acme, "1") == [("api", 0, None), ("web", 0, None)]


def test_deploys_count_in_each_of_their_projects_in_whatever_environment(acme: Acme) -> None:
    acme.release("1", "web", "api", "cli")
    deploy(acme, "1", "production", "staging", projects=("web",), finish_time=START_US - 9)
    deploy(acme, "1", "production", projects=("web", "api"), finish_time=START_US - 5)
    deploy(acme, "1", "staging", projects=("web",), finish_time=START_US - 7)

    assert faring(acme, "1") == [("api", 1, START_US - 5), ("cli", 0, None), ("web", 4, START_US - 5)]


def test_only_projects_that_the_caller_may_access_are_told(acme: Acme) -> None:
    acme.release("1", "web", "api")
    member = acme.member_of("web")
    assert faring(acme, "1", member) == [("web", 0, None)]
    deploy(acme, "1", "production", projects=("web", "api"), finish_time=START_US)
    assert faring(acme, "1", member) == [("web", 1, START_US)]


def test_open_membership_tells_all_projects(database: Database) -> None:
    acme = Acme(database, "api", "web", open_membership=True)
    acme.release("1", "web", "api")
    assert faring(acme, "1", acme.member_of("web")) == [("api", 0, None), ("web", 0, None)]


@pytest.mark.parametrize(("asked", "told"), [((), ["api", "web"]), (("web",), ["web"])])
def test_lists_tell_of_the_projects_that_were_asked_for(acme: Acme, asked: tuple[str, ...], told: list[str]) -> None:
    acme.release("1", "web", "api")
    listed = list_releases(
        acme.db, acme.everybody, "acme", ReleaseFilter(projects=asked), page=PageRequest(10), contents=True
    )
    assert [[row.slug for row in item.in_projects] for item in listed.page.items] == [told]


def test_what_is_asked_without_contents_does_not_tell(acme: Acme) -> None:
    acme.release("1", "web")
    assert faring(acme, "1", contents=False) == []


def test_many_releases_are_told_apart_by_one_query(acme: Acme) -> None:
    releases = [acme.release(str(number), "web", "api").details.release for number in range(30)]
    for number in range(0, 30, 2):
        deploy(acme, str(number), "production", projects=("web",), finish_time=START_US - number)
    releases = [get_release(acme.db, acme.everybody, "acme", release.version).release for release in releases]
    web = ProjectSet(everything=False, ids=frozenset([acme.projects["web"]]))
    seen: list[QueryEvent] = []
    acme.db.hooks.append(seen.append)
    found = acme.db.read(lambda reader: in_projects(reader, releases, web))
    acme.db.hooks.clear()

    assert len([event for event in seen if "release_environment" in event.sql]) == 1
    told = [[(row.slug, row.deploy_count, row.last_deploy_time) for row in found[release.id]] for release in releases]
    assert told == [
        [("web", 0, None) if number % 2 else ("web", 1, START_US - number)] for number in range(len(releases))
    ]
    assert [found[release.id] for release in releases[1::2]] == [
        never_deployed(release.projects, web) for release in releases[1::2]
    ]
