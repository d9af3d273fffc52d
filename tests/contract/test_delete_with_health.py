"""Deleting what had sessions: refused without force, and nothing of it is left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import pytest

from store.database import Database, Terms
from store.errors import EtagMismatch, InvalidField, ReleaseHasHealth, ReleaseNotFound
from store.health import drain as health_drain
from store.health.discovery import discover
from store.health.items import SessionStatus
from store.health.models import (
    CountedSessions,
    HealthDay,
    HealthHour,
    HealthProject,
    HealthSeries,
    Session,
    Threshold,
)
from store.health.thresholds import ThresholdDraft, ThresholdMetric, ThresholdTrigger, create_threshold
from store.health.upkeep import keep_up
from store.health.windows import DAY_US
from store.organizations import delete as organizations_delete
from store.organizations.delete import delete_organization, delete_project
from store.organizations.drain import SETTLED_US, drain_deleted_organizations, drain_deleted_projects
from store.paging import PageRequest
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from store.releases.read import get_release
from store.search.bulk import BulkAction, BulkChange, BulkUpdated, bulk_update_releases
from store.search.filters import ReleaseFilter
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, half_done, second
from tests.contract.telling import Telling, counts, update

VERSION = "web@1.0.0"
OF_SESSIONS = (HealthProject, HealthSeries, HealthHour, HealthDay, Session, CountedSessions, Threshold)
DELETE = BulkChange(BulkAction.DELETE)


@pytest.fixture
def web(database: Database) -> Telling:
    return Telling(Acme(database, "web", "api"))


def remove(web: Telling, version: str = VERSION, **how: Any) -> None:
    delete_release(web.db, OPERATOR, "acme", version, **how)


def rows(web: Telling, model: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = web.db.read(lambda reader: reader.fetch(model.select().dicts()))
    return found


def is_there(web: Telling, version: str = VERSION) -> bool:
    try:
        get_release(web.db, OPERATOR, "acme", version)
    except ReleaseNotFound:
        return False
    return True


def look(web: Telling) -> int:
    return discover(web.db, web.acme.projects.values()).created


def test_one_with_sessions_of_the_last_90_days_is_refused(web: Telling, clock: ManualClock) -> None:
    web.acme.release(VERSION, "web")
    web.tell(update(1, start_time=START_US))
    clock.advance(seconds=90 * 86_400)
    with pytest.raises(ReleaseHasHealth) as refused:
        remove(web)
    assert refused.value.metadata == {"name": f"organizations/acme/releases/{VERSION}"}
    assert is_there(web)
    clock.advance(seconds=1)
    remove(web)
    assert not is_there(web)


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        (update(1, project="api"), True),
        (update(1, project="cli"), False),
        (update(1, version="web@1"), False),
        (update(1, environment=""), True),
        (counts(1, crashed_count=1), True),
    ],
)
def test_sessions_of_any_of_its_projects_refuse_it_and_no_others(web: Telling, told: Any, refused: bool) -> None:
    web.acme.add_project("cli")
    web.acme.release(VERSION, "web", "api")
    web.tell(told)
    if refused:
        with pytest.raises(ReleaseHasHealth):
            remove(web)
    else:
        remove(web)
    assert is_there(web) is refused


def test_who_may_not_delete_it_is_told_that_first(web: Telling) -> None:
    made = web.acme.release(VERSION, "web", "api").details.release
    web.tell(update(1))
    with pytest.raises(ReleaseNotFound):
        delete_release(web.db, web.acme.member_of("web"), "acme", VERSION)
    with pytest.raises(EtagMismatch):
        remove(web, etag=made.etag.replace("r1", "r2"))


def test_by_force_it_goes_with_all_that_was_said_of_it(web: Telling, clock: ManualClock) -> None:
    web.acme.release(VERSION, "web", "api")
    web.tell(
        update(1, start_time=START_US - 5 * DAY_US), update(2), update(3, project="api"), update(4, version="web@2")
    )
    keep_up(web.db, web.limits)
    look(web)
    kept = {project: web.sums("", project=project) for project in ("web", "api")}
    remove(web, force=True)
    assert web.series(VERSION) is None, "at once"
    assert web.sums("web@2") != {}
    assert drain_deleted_releases(web.db) == 1
    assert {row["version"] for row in rows(web, HealthSeries)} == {"", "web@2"}
    series = {row["id"] for row in rows(web, HealthSeries)}
    assert {row["series_id"] for model in (HealthHour, HealthDay) for row in rows(web, model)} <= series
    assert {project: web.sums("", project=project) for project in ("web", "api")} == kept, "the projects had them"


def test_with_validate_only_nothing_happens(web: Telling) -> None:
    web.acme.release(VERSION, "web")
    web.tell(update(1))
    with pytest.raises(ReleaseHasHealth):
        remove(web, terms=Terms(validate_only=True))
    before = rows(web, HealthSeries)
    remove(web, force=True, terms=Terms(validate_only=True))
    assert (is_there(web), rows(web, HealthSeries)) == (True, before)


def test_what_comes_later_of_such_a_session_is_known_and_counts_nowhere(web: Telling, clock: ManualClock) -> None:
    web.acme.release(VERSION, "web")
    web.tell(update(1))
    remove(web, force=True)
    assert web.answers(update(1, sequence=2, status=SessionStatus.CRASHED)) == (0, 1, 0)
    drain_deleted_releases(web.db)
    assert web.answers(update(1, sequence=3, status=SessionStatus.CRASHED)) == (0, 1, 0)
    assert web.series(VERSION) is None
    assert web.total("") == (1, 0, 0, 0, 0)


def test_a_new_session_begins_the_version_and_the_release_anew(web: Telling, clock: ManualClock) -> None:
    old = web.acme.release(VERSION, "web").details.release
    web.tell(update(1), update(2))
    look(web)
    remove(web, force=True)
    web.tell(update(3))
    clock.advance(seconds=60)
    assert look(web) == 1
    assert web.total() == (1, 0, 0, 0, 0)
    assert get_release(web.db, OPERATOR, "acme", VERSION).release.id != old.id
    drain_deleted_releases(web.db)
    assert web.total() == (1, 0, 0, 0, 0)
    # And again, while nothing of the first is drained.
    remove(web, force=True)
    web.tell(update(4))
    freed = {row["version"] for row in rows(web, HealthSeries)} - {"", VERSION}
    assert len(freed) == 1
    assert web.total() == (1, 0, 0, 0, 0)


def bulk(web: Telling, change: BulkChange = DELETE) -> dict[str, str]:
    updated: BulkUpdated = bulk_update_releases(
        web.db, OPERATOR, "acme", ReleaseFilter(query="release:*"), change, page=PageRequest(100)
    )
    return {result.version: result.outcome.name for result in updated.results}


def test_of_many_releases_those_with_sessions_stay(web: Telling) -> None:
    for number in range(3):
        web.acme.release(f"web@{number}", "web", *(["api"] if number == 1 else []))
    web.tell(update(1, version="web@1", project="api"))
    assert bulk(web) == {"web@2": "CHANGED", "web@1": "HAS_HEALTH", "web@0": "CHANGED"}
    assert [is_there(web, f"web@{number}") for number in range(3)] == [False, True, False]
    assert bulk(web) == {"web@1": "HAS_HEALTH"}
    assert bulk(web, replace(DELETE, force=True)) == {"web@1": "CHANGED"}
    assert drain_deleted_releases(web.db) == 3
    assert {row["version"] for row in rows(web, HealthSeries)} == {""}


def test_releases_with_many_environments_are_deleted_a_few_at_a_time(
    web: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        web.acme.release(f"web@{number}", "web")
        web.tell(*(update(10 * number + place, version=f"web@{number}", environment=f"e{place}") for place in range(9)))
    monkeypatch.setattr("store.search.bulk.MOST_ROWS", 2 * (2 + 2 + 9))
    force = replace(DELETE, force=True)
    assert [len(bulk(web, force)) for _ in range(3)] == [2, 2, 0]


@pytest.mark.parametrize("action", [BulkAction.ARCHIVE, BulkAction.RESTORE, BulkAction.LABEL])
def test_force_is_for_deleting_alone(web: Telling, action: BulkAction) -> None:
    change = BulkChange(action, {"a": "b"} if action is BulkAction.LABEL else {}, force=True)
    with pytest.raises(InvalidField) as refused:
        bulk(web, change)
    assert refused.value.violations[0].field == "force"


def fill(web: Telling) -> None:
    """Rows of every kind, of both projects."""
    for project in ("web", "api"):
        web.tell(
            *(
                update(1000 * number + len(project), start_time=START_US - number * DAY_US, project=project)
                for number in range(6)
            ),
            *(counts(number, project=project, exited_count=1) for number in range(6)),
        )
        draft = ThresholdDraft(ThresholdMetric.CRASH_FREE_SESSION_RATE, ThresholdTrigger.UNDER, 99_000, 3600)
        create_threshold(web.db, OPERATOR, web.acme.slug, project, draft)
    look(web)
    keep_up(web.db, web.limits)
    assert all(rows(web, model) for model in OF_SESSIONS)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write removes few rows."""
    for name in ("MOST_ROLLUPS", "MOST_ROWS", "MOST_SERIES"):
        monkeypatch.setattr(health_drain, name, 3)
    monkeypatch.setattr(organizations_delete, "AT_ONCE_SECONDS", 0.0)


@pytest.mark.usefixtures("few")
def test_with_a_project_goes_all_that_is_its_own(web: Telling, clock: ManualClock) -> None:
    fill(web)
    kept = {model: [row for row in rows(web, model) if is_of(web, row, "api")] for model in OF_SESSIONS}
    delete_project(web.db, OPERATOR, "acme", "web", force=True)
    clock.advance(seconds=SETTLED_US / 1_000_000)
    assert drain_deleted_projects(web.db) == 1
    drain_deleted_releases(web.db)
    assert {model: rows(web, model) for model in OF_SESSIONS} == kept


def is_of(web: Telling, row: dict[str, Any], project: str) -> bool:
    series = {found["id"] for found in rows(web, HealthSeries) if found["project_id"] == web.acme.projects[project]}
    return row.get("project_id") == web.acme.projects[project] or row.get("series_id") in series


@pytest.mark.usefixtures("few")
def test_with_an_organization_goes_all_that_is_its_own(web: Telling, clock: ManualClock) -> None:
    other = Telling(Acme(web.db, "web", "api", slug="other"))
    other.acme.release(VERSION, "web")
    other.tell(update(1), slug="other")
    kept = {model: rows(web, model) for model in OF_SESSIONS}
    fill(web)
    delete_organization(web.db, OPERATOR, "acme", force=True)
    clock.advance(seconds=SETTLED_US / 1_000_000)
    assert drain_deleted_organizations(web.db) == 1
    assert {model: rows(web, model) for model in OF_SESSIONS} == kept


@pytest.mark.usefixtures("few")
def test_a_drain_that_is_cut_is_gone_on_with(web: Telling) -> None:
    fill(web)
    remove(web, force=True)
    turns = chain([False, False], repeat(True))
    assert drain_deleted_releases(web.db, stopped=lambda: next(turns)) == 0
    assert any("\n" in row["version"] for row in rows(web, HealthSeries))
    assert drain_deleted_releases(web.db) == 1
    assert {row["version"] for row in rows(web, HealthSeries)} == {""}


def test_a_deletion_waits_for_sessions_that_are_being_told_and_takes_them_too(web: Telling) -> None:
    web.acme.release(VERSION, "web")
    web.tell(update(1))
    with ThreadPoolExecutor(1) as threads:
        with half_done(web.db, 'INSERT INTO "health_hour"', lambda: web.tell(update(2))):
            deleted = second(web.db, threads, lambda: remove(web, force=True))
        assert deleted.result(60) is None
    drain_deleted_releases(web.db)
    hours = rows(web, HealthHour)
    assert {row["series_id"] for row in hours} == {row["id"] for row in rows(web, HealthSeries)}
    assert web.total("")[0] == 2


@pytest.mark.parametrize("how", ["alone", "among others"])
def test_sessions_that_are_being_told_refuse_a_deletion(web: Telling, how: str) -> None:
    web.acme.release(VERSION, "web")
    web.tell(update(1, version="web@2"))

    def removed() -> str:
        if how == "among others":
            return bulk(web)[VERSION]
        with pytest.raises(ReleaseHasHealth):
            remove(web)
        return "HAS_HEALTH"

    with ThreadPoolExecutor(1) as threads:
        with half_done(web.db, 'INSERT INTO "health_hour"', lambda: web.tell(update(2))):
            deleted = second(web.db, threads, removed)
        assert deleted.result(60) == "HAS_HEALTH"
    assert is_there(web)
    assert web.total() == (1, 0, 0, 0, 0)


def test_sessions_wait_for_a_deletion_and_begin_anew(web: Telling) -> None:
    web.acme.release(VERSION, "web")
    web.tell(update(1))
    with ThreadPoolExecutor(1) as threads:
        with half_done(web.db, 'UPDATE "health_series"', lambda: remove(web, force=True)):
            told = second(web.db, threads, lambda: web.answers(update(2)))
        assert told.result(60) == (1, 0, 0)
    drain_deleted_releases(web.db)
    assert web.total() == (1, 0, 0, 0, 0)


def test_linking_waits_for_a_deletion_and_makes_nothing_of_what_it_took(web: Telling) -> None:
    old = web.acme.release(VERSION, "web").details.release
    web.tell(update(1), update(2, version="web@2"))
    with ThreadPoolExecutor(1) as threads:
        # It has the release, and not yet what sessions said of it.
        with half_done(web.db, 'UPDATE "release" ', lambda: remove(web, force=True)):
            found = second(web.db, threads, lambda: look(web))
        assert found.result(60) == 1
    assert (is_there(web), is_there(web, "web@2")) == (False, True)
    drain_deleted_releases(web.db)
    linked = {row["version"]: row["release_id"] for row in rows(web, HealthSeries)}
    assert old.id not in linked.values()
    assert linked.keys() == {"", "web@2"}


def test_days_that_are_being_built_are_drained_too(web: Telling) -> None:
    web.acme.release(VERSION, "web")
    web.tell(update(1, start_time=START_US - 5 * DAY_US))
    remove(web, force=True)
    with ThreadPoolExecutor(1) as threads:
        with half_done(web.db, 'INSERT INTO "health_day"', lambda: keep_up(web.db, web.limits)) as built:
            drained = second(web.db, threads, lambda: drain_deleted_releases(web.db))
        assert drained.result(60) == 1
        assert built.result(60).built == 2
    assert {row["series_id"] for row in rows(web, HealthDay)} == {row["id"] for row in rows(web, HealthSeries)}
