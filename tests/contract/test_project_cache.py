"""Projects by id, remembered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.database import Database, QueryEvent, Terms
from store.organizations.delete import delete_organization, delete_project
from store.organizations.project_cache import ProjectCache, projects_of
from store.organizations.projects import ProjectChanges, get_project, update_project
from store.organizations.rows import ProjectDetails
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, WAIT, at_once, errors_in, held_at


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "web", "api", "cli")


@pytest.fixture
def cache(acme: Acme) -> ProjectCache:
    return projects_of(acme.db)


@pytest.fixture
def asked(acme: Acme) -> Iterator[list[str]]:
    """What the database is asked."""
    seen: list[str] = []

    def note(event: QueryEvent) -> None:
        if event.sql.startswith("SELECT"):
            seen.append(event.sql)

    acme.db.hooks.append(note)
    yield seen
    acme.db.hooks.remove(note)


def stored(acme: Acme, *slugs: str) -> list[ProjectDetails]:
    return by_id(get_project(acme.db, OPERATOR, "acme", slug)[1] for slug in slugs)


def many(acme: Acme, cache: ProjectCache, *ids: bytes) -> list[ProjectDetails]:
    return by_id(cache.get_many(acme.db, ids))


def by_id(projects: Iterable[ProjectDetails]) -> list[ProjectDetails]:
    return sorted(projects, key=lambda row: row.id)


def change(acme: Acme, slug: str, **changes: Any) -> None:
    update_project(acme.db, OPERATOR, "acme", slug, ProjectChanges(**changes))


def test_all_that_there_are_are_answered_and_no_others(acme: Acme, cache: ProjectCache) -> None:
    web, api = acme.projects["web"], acme.projects["api"]
    assert many(acme, cache, web, bytes(16), api, web) == stored(acme, "web", "api")
    assert cache.get_many(acme.db, []) == []


def test_what_is_remembered_is_not_asked_for_again(acme: Acme, cache: ProjectCache, asked: list[str]) -> None:
    web, api, cli = acme.projects.values()
    many(acme, cache, web, api)
    assert len(asked) == 1, "one query for all of them"
    assert {project.slug for project in many(acme, cache, web, api)} == {"web", "api"}
    assert len(asked) == 1
    many(acme, cache, web, api, cli)
    assert len(asked) == 2
    many(acme, cache, bytes(16))
    many(acme, cache, bytes(16))
    assert len(asked) == 4, "what is not there is not remembered"


def test_a_changed_project_is_read_anew(acme: Acme, cache: ProjectCache) -> None:
    web = acme.projects["web"]
    many(acme, cache, *acme.projects.values())
    change(acme, "web", display_name="The web", manual_releases=True)
    (found,) = many(acme, cache, web)
    assert (found.display_name, found.manual_releases) == ("The web", True)
    assert many(acme, cache, web) == stored(acme, "web")


def test_a_change_that_was_only_tried_changes_nothing(acme: Acme, cache: ProjectCache, asked: list[str]) -> None:
    web = acme.projects["web"]
    before = many(acme, cache, web)
    update_project(acme.db, OPERATOR, "acme", "web", ProjectChanges(platform="c"), Terms(validate_only=True))
    asked.clear()
    assert many(acme, cache, web) == before
    assert asked == []


def test_a_deleted_project_is_gone(acme: Acme, cache: ProjectCache) -> None:
    ids = list(acme.projects.values())
    many(acme, cache, *ids)
    delete_project(acme.db, OPERATOR, "acme", "web")
    assert {project.slug for project in many(acme, cache, *ids)} == {"api", "cli"}


def test_with_an_organization_its_projects_are_forgotten_and_no_others(
    acme: Acme, cache: ProjectCache, asked: list[str]
) -> None:
    other = Acme(acme.db, "web", slug="other")
    many(acme, cache, *acme.projects.values(), *other.projects.values())
    delete_organization(acme.db, OPERATOR, "acme", force=True)
    asked.clear()
    many(acme, cache, *other.projects.values())
    assert asked == []
    many(acme, cache, *acme.projects.values())
    assert len(asked) == 1


@pytest.mark.parametrize("wrong", ["another project's", "no project at all"])
def test_a_wrong_entry_is_dropped_and_read_again(acme: Acme, cache: ProjectCache, wrong: str) -> None:
    web, api = acme.projects["web"], acme.projects["api"]
    (others,) = many(acme, cache, api)
    cache._kept[web] = others if wrong == "another project's" else "web"  # type: ignore[assignment]
    assert many(acme, cache, web) == stored(acme, "web")
    assert cache._kept[web] == stored(acme, "web")[0]


def test_what_another_server_wrote_is_seen_within_a_minute(acme: Acme, clock: ManualClock) -> None:
    theirs = ProjectCache(clock)
    web = acme.projects["web"]
    before = many(acme, theirs, web)
    change(acme, "web", platform="rust")
    assert many(acme, theirs, web) == before
    clock.advance(seconds=60)
    assert many(acme, theirs, web) == stored(acme, "web")


def test_no_more_are_remembered_than_there_is_room_for(acme: Acme, clock: ManualClock, asked: list[str]) -> None:
    cache = ProjectCache(clock, most=2)
    assert len(many(acme, cache, *acme.projects.values())) == 3
    assert len(cache._kept) == 2
    assert len(many(acme, cache, *acme.projects.values())) == 3
    assert len(asked) == 2


def test_what_was_read_before_a_change_is_not_remembered_after_it(acme: Acme, cache: ProjectCache) -> None:
    web = acme.projects["web"]
    with ThreadPoolExecutor(1) as threads, held_at(acme.db, "SELECT") as held:
        read = threads.submit(lambda: many(acme, cache, web))
        assert held.wait(WAIT)
        change(acme, "web", platform="rust")
    assert read.result()[0].platform == "", "it was read before"
    assert many(acme, cache, web)[0].platform == "rust"


def test_many_threads_see_what_was_last_written(acme: Acme, cache: ProjectCache) -> None:
    web = acme.projects["web"]

    def work(index: int) -> None:
        for round_ in range(10):
            if index % 2:
                assert len(many(acme, cache, web)) == 1
            else:
                change(acme, "web", platform=f"{index}-{round_}")

    assert errors_in(at_once(6, work)) == []
    assert many(acme, cache, web) == stored(acme, "web")


def test_each_database_has_one_cache(acme: Acme, cache: ProjectCache) -> None:
    assert projects_of(acme.db) is cache
