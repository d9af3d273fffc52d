"""What is told of a release's adoption: where, in which order, to whom, and who runs it there."""

from __future__ import annotations

import pytest

from store.access.projects import EVERY_PROJECT, ProjectSet
from store.database import Database, QueryEvent, Reader
from store.deploys.create import DeployDraft, create_deploy
from store.deploys.environments import environment_ids
from store.errors import OrganizationNotFound, ProjectForbidden, ReleaseNotFound
from store.health import get_adoption as module
from store.health.get_adoption import get_adoption
from store.health.shares import Shares
from store.health.stages import AdoptionStage, StageRow, read_stages, stage_of
from store.releases.read import get_release
from tests.clocks import ManualClock
from tests.contract.adopting import ADOPTED, DAY, HOUR, LOW, REPLACED, Days


@pytest.fixture
def days(database: Database, clock: ManualClock) -> Days:
    return Days(database, clock, "web", "api", "cli")


def deploy(days: Days, version: str, *environments: str, projects: tuple[str, ...] = ()) -> None:
    create_deploy(days.db, days.everybody, "acme", version, DeployDraft(environments, projects=projects))


def told(days: Days, version: str, **asked: object) -> list[tuple[str, str, AdoptionStage]]:
    access = asked.pop("access", days.everybody)
    found = get_adoption(days.db, access, "acme", version, **asked)  # type: ignore[arg-type]
    assert found.organization_slug == "acme"
    return [(row.project_slug, row.stage.environment, row.stage.stage) for row in found.adoptions]


@pytest.mark.parametrize(
    ("times", "stage"),
    [((None, None), LOW), ((5, None), ADOPTED), ((5, 6), REPLACED), ((None, 6), LOW), ((0, None), ADOPTED)],
)
def test_the_times_say_the_stage(times: tuple[int | None, int | None], stage: AdoptionStage) -> None:
    assert stage_of(*times) is stage


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_told_is_where_it_was_deployed_or_had_sessions_by_project_and_environment(
    days: Days, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    days.release("1.0.0", "web", "api", "cli")
    deploy(days, "1.0.0", "b", "A", projects=("api", "web"))
    days.sessions("1.0.0", 1, "c")
    days.sessions("1.0.0", 1, "", project="cli")
    days.run()
    days.link()
    everywhere = [
        ("api", "A", LOW),
        ("api", "b", LOW),
        ("web", "A", LOW),
        ("web", "b", LOW),
        ("web", "c", ADOPTED),
    ]
    assert told(days, "1.0.0") == everywhere
    assert told(days, "1.0.0", projects=["web"]) == everywhere[2:]
    assert told(days, "1.0.0", environments=["c", "A", "nowhere"]) == [everywhere[0], everywhere[2], everywhere[4]]
    assert told(days, "1.0.0", environments=["nowhere"]) == []
    assert told(days, "1.0.0", access=days.member_of("api")) == everywhere[:2]
    assert told(days, "1.0.0", access=days.member_of("cli")) == []
    monkeypatch.setattr(module, "MOST_ADOPTIONS", 3)
    assert told(days, "1.0.0") == everywhere[:3]


def test_who_may_not_see_a_release_or_a_project_is_told_nothing_of_it(days: Days) -> None:
    days.release("1.0.0", "web")
    with pytest.raises(ReleaseNotFound):
        told(days, "1.0.0", access=days.member_of("api"))
    with pytest.raises(ReleaseNotFound):
        told(days, "2.0.0")
    days.release("3.0.0", "web", "api")
    with pytest.raises(ProjectForbidden):
        told(days, "3.0.0", projects=["web"], access=days.member_of("api"))
    with pytest.raises(ProjectForbidden):
        told(days, "3.0.0", projects=["nothing"])
    with pytest.raises(OrganizationNotFound):
        get_adoption(days.db, days.everybody, "elsewhere", "3.0.0")


def test_shares_are_of_each_environment_of_each_project_over_a_day(days: Days, clock: ManualClock) -> None:
    days.release("1.0.0", "web", "api")
    deploy(days, "1.0.0", "idle", projects=("web",))
    days.sessions("1.0.0", 1000)  # a day and an hour before
    clock.advance(seconds=DAY)
    days.sessions("1.0.0", 30, user="ann")
    days.sessions("1.0.0", 15, user="bo", hours_ago=22)
    days.sessions("2.0.0", 60, user="ann")
    days.sessions("2.0.0", 45, user="cy")
    days.sessions("1.0.0", 5, "staging", user="ann")
    days.sessions("1.0.0", 7, project="api")
    days.link()
    found = get_adoption(days.db, days.everybody, "acme", "1.0.0")
    shares = {(row.project_slug, row.stage.environment): row.shares for row in found.adoptions}
    assert shares == {
        ("api", "production"): Shares(0, 7, 0, 7),
        ("web", "idle"): Shares(0, 0, 0, 0),
        ("web", "production"): Shares(2, 45, 3, 150),
        ("web", "staging"): Shares(1, 5, 1, 5),
    }
    assert shares["web", "production"].session_adoption == 30
    assert (shares["web", "idle"].session_adoption, shares["api", "production"].user_adoption) == (None, None)


def test_the_stages_of_many_releases_are_one_query(days: Days) -> None:
    for number in range(4):
        days.sessions(f"{number}.0.0", 10)
        days.sessions(f"{number}.0.0", 10 + 100 * number, "staging")
        days.sessions(f"{number}.0.0", 10, "", project="web")
    days.sessions("0.0.0", 1, project="api")
    days.link()
    days.run()
    ids = {f"{number}.0.0": release_id(days, f"{number}.0.0") for number in range(4)}
    web, api = days.projects["web"], days.projects["api"]
    since = days.clock.now_us()
    adopted = StageRow("production", ADOPTED, since, None)
    events: list[QueryEvent] = []
    days.db.hooks.append(events.append)
    found = days.db.read(lambda reader: read_stages(reader, list(ids.values()), EVERY_PROJECT, None))
    assert len(events) == 1
    assert found == {
        (ids["0.0.0"], api): (adopted,),
        (ids["0.0.0"], web): (adopted, StageRow("staging", LOW, None, None)),
        **{(ids[f"{number}.0.0"], web): (adopted, StageRow("staging", ADOPTED, since, None)) for number in (1, 2, 3)},
    }
    first = days.db.read(lambda reader: read_stages(reader, list(ids.values()), EVERY_PROJECT, None, most=1))
    assert set(first.values()) == {(adopted,)}


def test_stages_are_told_of_the_projects_and_environments_that_were_asked_for(days: Days) -> None:
    days.sessions("1.0.0", 10)
    days.sessions("1.0.0", 10, "staging")
    days.sessions("1.0.0", 10, "")
    days.sessions("1.0.0", 10, project="api")
    days.link()
    release = release_id(days, "1.0.0")
    web, api = days.projects["web"], days.projects["api"]

    def asked(projects: ProjectSet, *environments: str) -> dict[bytes, list[str]]:
        def read(reader: Reader) -> dict[tuple[bytes, bytes], tuple[StageRow, ...]]:
            ids = environment_ids(reader, days.id, environments)
            return read_stages(reader, [release, release], projects, frozenset(ids.values()))

        return {place[1]: [row.environment for row in rows] for place, rows in days.db.read(read).items()}

    assert asked(EVERY_PROJECT, "production", "staging", "") == {web: ["production", "staging"], api: ["production"]}
    assert asked(EVERY_PROJECT, "staging") == {web: ["staging"]}
    assert asked(ProjectSet(everything=False, ids=frozenset({api})), "production", "staging") == {api: ["production"]}
    assert asked(EVERY_PROJECT) == {}


def release_id(days: Days, version: str) -> bytes:
    return get_release(days.db, days.everybody, "acme", version).release.id


def test_a_day_is_this_hour_and_the_twenty_three_before(days: Days, clock: ManualClock) -> None:
    days.sessions("1.0.0", 5)
    days.run()
    clock.advance(seconds=DAY - HOUR)
    (row,) = get_adoption(days.db, days.everybody, "acme", "1.0.0").adoptions
    assert row.shares == Shares(0, 5, 0, 5)
    clock.advance(seconds=HOUR)
    (row,) = get_adoption(days.db, days.everybody, "acme", "1.0.0").adoptions
    assert row.shares == Shares()
