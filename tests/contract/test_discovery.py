"""Releases that only sessions know: created and linked from what they say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from store.access.access import SERVER
from store.activity.models import Activity
from store.database import Database
from store.database.ids import first_id_at
from store.deploys.environments import list_environments
from store.deploys.models import Environment, ReleaseEnvironment
from store.health import discovery
from store.health.discovery import Discovered, discover, named_projects_with_sessions
from store.health.models import HealthSeries
from store.health.windows import DAY_US, HOUR_US
from store.organizations.delete import delete_organization, delete_project
from store.organizations.projects import ProjectChanges, update_project
from store.paging import PageRequest
from store.releases import create
from store.releases.read import get_release
from store.releases.rows import ReleaseStatus
from store.releases.update import ReleaseChanges, update_release
from tests.clocks import START_US, ManualClock
from tests.conftest import opened
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, at_once, errors_in
from tests.contract.telling import MINUTE_US, Telling, counts, update

VERSION = "web@1.0.0"


@pytest.fixture
def web(database: Database) -> Telling:
    return Telling(Acme(database, "web", "api"))


def look(web: Telling, *projects: str) -> tuple[int, int, int]:
    """What a look at these projects, or all, does: releases created, series linked, series passed over."""
    ids = web.acme.projects
    done = discover(web.db, [ids[project] for project in projects or ids])
    return done.created, done.linked, done.skipped


def release(web: Telling, version: str = VERSION) -> Any:
    return get_release(web.db, web.acme.everybody, "acme", version).release


def versions(web: Telling, **wanted: Any) -> set[str]:
    return {details.release.version for details in web.acme.listed(**wanted)}


def places(web: Telling, version: str = VERSION) -> set[tuple[str, str, int]]:
    """(project, environment, deploys) in which the release is, deployed or by its sessions."""
    slugs = {id_: slug for slug, id_ in web.acme.projects.items()}
    query = (
        ReleaseEnvironment.select(
            ReleaseEnvironment.project_id, Environment.display_name, ReleaseEnvironment.deploy_count
        )
        .join(Environment, on=(Environment.id == ReleaseEnvironment.environment_id))
        .where(ReleaseEnvironment.release_id == release(web, version).id)
        .tuples()
    )
    return {
        (slugs[project], name, deploys) for project, name, deploys in web.db.read(lambda reader: reader.fetch(query))
    }


def test_a_version_of_sessions_becomes_a_release_as_old_as_its_oldest_session(web: Telling) -> None:
    oldest = START_US - 20 * DAY_US
    web.tell(update(1, start_time=oldest), update(2), update(3, environment="staging"))
    assert versions(web) == set()
    assert look(web) == (1, 2, 0)
    found = release(web)
    assert (found.version, found.create_time, found.release_time) == (VERSION, oldest, None)
    assert found.id[:8] == first_id_at(oldest)[:8], "lists by age have it among those of its time"
    assert [project.slug for project in found.projects] == ["web"]
    assert (found.status, found.owner, found.ref, found.deploy_count) == (ReleaseStatus.OPEN, "", "", 0)
    assert places(web) == {("web", "production", 0), ("web", "staging", 0)}


def test_one_whose_first_session_is_ahead_of_the_clock_is_created_now(web: Telling) -> None:
    web.tell(update(1, start_time=START_US + 10 * MINUTE_US))
    assert look(web) == (1, 1, 0)
    assert release(web).create_time == START_US


def test_that_is_told_to_the_project_as_done_by_the_server_itself(web: Telling) -> None:
    web.tell(update(1))
    look(web)
    assert web.acme.activities("web") == [("release_created", VERSION, START_US)]
    (row,) = web.db.read(lambda reader: reader.fetch(Activity.select()))
    assert (row.token_id, row.caller, row.data) == (SERVER.token_id, "", {"version": VERSION})


def test_only_sessions_of_the_last_three_days_make_releases(web: Telling) -> None:
    web.tell(
        update(1, version="old", start_time=START_US - 3 * DAY_US - 1),
        update(2, version="new", start_time=START_US - 3 * DAY_US),
    )
    assert look(web) == (1, 1, 0)
    assert versions(web) == {"new"}


def test_an_old_series_counts_again_once_it_has_a_session_of_late(web: Telling, clock: ManualClock) -> None:
    web.tell(update(1, start_time=START_US - 10 * DAY_US))
    assert look(web) == (0, 0, 0)
    web.tell(update(2))
    clock.advance(seconds=60)
    assert look(web) == (1, 1, 0)
    assert release(web).create_time == START_US - 10 * DAY_US


@pytest.mark.parametrize("version", ["latest", "a/b", " web@1", ".", "web@1 "])
def test_versions_that_no_release_may_have_are_passed_over_and_counted(web: Telling, version: str) -> None:
    web.tell(update(1, version=version), update(2, version=version, environment="staging"), update(3))
    assert look(web) == (1, 1, 2)
    assert versions(web) == {VERSION}


def test_ids_of_no_project_are_passed_over(web: Telling) -> None:
    web.tell(update(1))
    gone = web.acme.add_project("gone")
    web.tell(update(2, project="gone"))
    delete_project(web.db, OPERATOR, "acme", "gone")
    assert discover(web.db, [bytes(16), gone, web.acme.projects["web"]]).created == 1
    assert versions(web) == {VERSION}


def test_nothing_is_made_in_a_deleted_organization(web: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    web.tell(update(1))
    ids = list(web.acme.projects.values())
    monkeypatch.setattr("store.organizations.delete.AT_ONCE_SECONDS", 0.0)
    delete_organization(web.db, OPERATOR, "acme", force=True)
    assert discover(web.db, ids).created == 0
    assert named_projects_with_sessions(web.db, "acme") == []


def test_a_second_look_within_a_minute_does_nothing(web: Telling, clock: ManualClock) -> None:
    web.tell(update(1))
    assert look(web, "web") == (1, 1, 0)
    web.tell(update(2, version="web@2"))
    clock.advance(seconds=45)
    put_off = discover(web.db, [web.acme.projects["web"]])
    assert put_off == Discovered(waiting={web.acme.projects["web"]: 15_000_000})
    assert versions(web) == {VERSION}
    clock.advance(seconds=15)
    assert look(web, "web") == (1, 1, 0)


def test_a_clock_that_was_set_back_stops_nobody(web: Telling, clock: ManualClock) -> None:
    look(web)
    web.tell(update(1))
    look(web)
    clock.jump(seconds=-3600)
    web.tell(update(2, version="web@2", start_time=clock.now_us()))
    assert look(web) == (1, 1, 0)


def test_projects_wait_each_for_itself(web: Telling) -> None:
    web.tell(update(1), update(2, project="api"))
    assert look(web, "web") == (1, 1, 0)
    assert look(web, "web", "api") == (0, 1, 0)
    assert [project.slug for project in release(web).projects] == ["api", "web"]


def test_an_existing_release_is_linked_and_keeps_all_that_was_said_of_it(web: Telling, clock: ManualClock) -> None:
    made = web.acme.release(VERSION, "web", owner="ada", ref="main").details.release
    clock.advance(seconds=60)
    web.tell(update(1))
    assert look(web) == (0, 1, 0)
    assert release(web) == made
    assert places(web) == {("web", "production", 0)}


def test_a_release_of_another_project_is_extended(web: Telling) -> None:
    made = web.acme.release(VERSION, "api").details.release
    web.tell(update(1))
    assert look(web) == (0, 1, 0)
    found = release(web)
    assert ([project.slug for project in found.projects], found.id) == (["api", "web"], made.id)
    assert found.revision == made.revision + 1
    assert web.acme.activities("web") == [("release_created", VERSION, START_US)]
    assert [row.status for row in web.acme.rows_in_projects(made.id)] == [ReleaseStatus.OPEN] * 2


def test_an_archived_release_stays_archived(web: Telling) -> None:
    web.acme.release(VERSION, "api")
    update_release(
        web.db,
        web.acme.everybody,
        "acme",
        VERSION,
        changes=ReleaseChanges(frozenset({"status"}), status=ReleaseStatus.ARCHIVED),
    )
    web.tell(update(1))
    look(web)
    assert release(web).status == ReleaseStatus.ARCHIVED
    assert {row.status for row in web.acme.rows_in_projects(release(web).id)} == {ReleaseStatus.ARCHIVED}


def test_a_release_with_a_hundred_projects_takes_no_more(web: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    web.acme.release(VERSION, "api")
    monkeypatch.setattr("store.health.linking.MAX_PROJECTS", 1)
    web.tell(update(1))
    assert look(web) == (0, 0, 1)
    assert [project.slug for project in release(web).projects] == ["api"]


def test_a_project_may_forbid_it_and_existing_releases_are_linked_all_the_same(
    web: Telling, clock: ManualClock
) -> None:
    forbid(web, True)
    web.acme.release("web@2", "api")
    web.tell(update(1), update(2, version="web@2"))
    assert look(web) == (0, 1, 1)
    assert versions(web) == {"web@2"}
    assert [project.slug for project in release(web, "web@2").projects] == ["api", "web"]
    forbid(web, False)
    clock.advance(seconds=60)
    assert look(web) == (1, 1, 0)
    assert versions(web) == {VERSION, "web@2"}


def forbid(web: Telling, forbidden: bool) -> None:
    update_project(web.db, OPERATOR, "acme", "web", ProjectChanges(manual_releases=forbidden))


def test_sessions_without_an_environment_are_in_one_that_no_list_shows(web: Telling) -> None:
    web.tell(update(1, environment=""), update(2))
    assert look(web) == (1, 2, 0)
    assert places(web) == {("web", "", 0), ("web", "production", 0)}
    for access in (OPERATOR, web.acme.member_of("web")):
        for projects in ((), ("web",)):
            _, page = list_environments(web.db, access, "acme", PageRequest(10), projects=projects)
            assert [row.display_name for row in page.items] == ["production"]
    first = list_environments(web.db, OPERATOR, "acme", PageRequest(1))[1]
    assert ([row.display_name for row in first.items], first.next) == (["production"], None)


def test_of_many_projects_too_no_list_shows_it(web: Telling) -> None:
    for number in range(40):
        web.acme.add_project(f"p-{number:02}")
    web.tell(*(update(number, project=f"p-{number:02}", environment="") for number in range(40)), update(99))
    look(web)
    access = web.acme.member_of("web", *(f"p-{number:02}" for number in range(40)))
    _, page = list_environments(web.db, access, "acme", PageRequest(10))
    assert [row.display_name for row in page.items] == ["production"]


def test_a_new_environment_of_a_linked_version_is_linked_too(web: Telling, clock: ManualClock) -> None:
    web.tell(update(1))
    look(web)
    web.tell(update(2, environment="staging"))
    clock.advance(seconds=60)
    assert look(web) == (0, 1, 0)
    assert places(web) == {("web", "production", 0), ("web", "staging", 0)}


def test_many_versions_are_linked_some_at_a_time(web: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MOST_VERSIONS", 3)
    web.tell(*(counts(number, exited_count=1, version=f"web@{number}") for number in range(20)))
    assert look(web) == (20, 20, 0)
    assert versions(web) == {f"web@{number}" for number in range(20)}


def test_whoever_is_stopped_leaves_the_rest_to_the_next_look(web: Telling, clock: ManualClock) -> None:
    web.tell(*(counts(number, exited_count=1, version=f"web@{number}") for number in range(120)))
    asked: Iterator[bool] = iter([False, False, True, True])
    done = discover(web.db, [web.acme.projects["web"]], stopped=lambda: next(asked))
    assert 0 < done.created < 120
    clock.advance(seconds=60)
    assert look(web)[0] == 120 - done.created
    assert len(versions(web)) == 100, "a page of them"


def test_a_release_that_is_deleted_while_it_is_linked_is_created_anew(
    web: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.tell(update(1))
    calls = []

    def lost(*args: Any, **named: Any) -> Any:
        """Somebody else's release was there, and is gone by the time it is read."""
        calls.append(1)
        return None if len(calls) == 1 else create.insert_release(*args, **named)

    monkeypatch.setattr("store.health.linking.insert_release", lost)
    assert look(web) == (1, 1, 0)


def test_projects_of_an_organization_are_found_by_their_names(web: Telling) -> None:
    web.tell(update(1), update(2, project="api", start_time=START_US - 3 * DAY_US - HOUR_US))
    ids = web.acme.projects
    assert named_projects_with_sessions(web.db, "acme") == [ids["web"]]
    assert set(named_projects_with_sessions(web.db, "acme", ("api", "web", "nobody"))) == set(ids.values())
    assert named_projects_with_sessions(web.db, "nobody") == []


def test_of_two_servers_at_once_one_creates_each_release(database_url: str, clock: ManualClock) -> None:
    with opened(database_url, clock) as here, opened_too(here, database_url, clock) as there:
        here.migrate()
        web = Telling(Acme(here, "web", "api"))
        told = [
            update(number, version=f"web@{number % 30}", project=("web", "api")[number % 2]) for number in range(60)
        ]
        web.tell(*told)
        ids = list(web.acme.projects.values())
        servers = [here, there] * 3
        # Each project of its own server, and then both of both: the same versions are made from two sides.
        done = at_once(6, lambda index: discover(servers[index], ids[::-1] if index % 2 else ids))
        assert errors_in(done) == []
        results = [found for found in done if isinstance(found, Discovered)]
        assert sum(found.created for found in results) == len(versions(web)) == 30
        unlinked = HealthSeries.select().where(HealthSeries.release_id.is_null(), HealthSeries.version != "")
        assert here.read(lambda reader: reader.fetch(unlinked)) == []


def opened_too(here: Database, url: str, clock: ManualClock) -> Any:
    """A second server of the same database; on SQLite a process has it to itself, and a second call stands for it."""
    return nullcontext(here) if here.engine == "sqlite" else opened(url, clock)
