"""Adoption, through simulated days: which releases are adopted, which were replaced, and what never counts."""

from __future__ import annotations

import pytest

from store.database import Database
from store.deploys.create import DeployDraft, create_deploy
from store.deploys.environments import list_environments
from store.errors import ReleaseNotFound
from store.health import adoption
from store.health.adoption import run_adoption
from store.organizations.models import Project
from store.paging import PageRequest
from store.releases.delete import delete_release
from store.releases.read import get_release
from tests.clocks import ManualClock
from tests.contract.adopting import ADOPTED, DAY, HOUR, LOW, REPLACED, Days, told


@pytest.fixture
def days(database: Database, clock: ManualClock) -> Days:
    return Days(database, clock, "web", "api")


NOTHING_CHANGED = 3
"""So many transactions write what a run needs that changes nothing: it takes the lease, ends its turn, and lets go."""


def writes_of_a_run(days: Days) -> int:
    """How many transactions a run writes in."""
    writes: list[object] = []
    write = days.db.write

    def counted(*args: object, **named: object) -> object:
        writes.append(None)
        return write(*args, **named)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(days.db, "write", counted)
        days.run()
    return len(writes)


def test_a_release_is_adopted_then_replaced_then_adopted_again_since_its_first_date(
    days: Days, clock: ManualClock
) -> None:
    # The first day: the new version has one session in twenty.
    days.release("2.0.0", "web")
    days.sessions("1.0.0", 95)
    days.sessions("2.0.0", 5)
    create_deploy(days.db, days.everybody, "acme", "2.0.0", DeployDraft(("production",)))
    assert days.run() == (1, 1, 0, 1)
    assert days.stages("2.0.0") == {"production": (LOW, None, None)}
    assert days.stages("1.0.0") == {"production": (ADOPTED, clock.now_us(), None)}
    old_since = clock.now_us()

    # The second: it has half of them.
    clock.advance(seconds=DAY)
    days.sessions("1.0.0", 50)
    days.sessions("2.0.0", 50)
    since = clock.now_us()
    assert days.run() == (1, 1, 0, 0)
    assert days.stages("2.0.0") == {"production": (ADOPTED, since, None)}
    assert days.stages("1.0.0") == {"production": (ADOPTED, old_since, None)}

    # The third: it is rolled back.
    clock.advance(seconds=DAY)
    days.sessions("1.0.0", 100)
    gone = clock.now_us()
    assert days.run() == (1, 0, 1, 0)
    assert days.stages("2.0.0") == {"production": (REPLACED, since, gone)}

    # The fourth: as the third, and nothing changes.
    clock.advance(seconds=DAY)
    days.sessions("1.0.0", 100)
    assert days.run() == (1, 0, 0, 0)
    assert days.stages("2.0.0") == {"production": (REPLACED, since, gone)}

    # The fifth: it comes back, and was adopted when it first was.
    clock.advance(seconds=DAY)
    days.sessions("2.0.0", 100)
    assert days.run() == (1, 1, 1, 0)
    assert days.stages("2.0.0") == {"production": (ADOPTED, since, None)}
    assert days.stages("1.0.0") == {"production": (REPLACED, old_since, clock.now_us())}

    # The sixth: replaced again, at another time.
    clock.advance(seconds=DAY)
    days.sessions("1.0.0", 100)
    assert days.run() == (1, 1, 1, 0)
    assert days.stages("2.0.0") == {"production": (REPLACED, since, clock.now_us())}


@pytest.mark.parametrize(("sessions", "others", "adopted"), [(10, 90, True), (99, 901, False), (1, 9, True)])
def test_a_tenth_of_the_sessions_is_enough_and_less_is_not(
    days: Days, sessions: int, others: int, adopted: bool
) -> None:
    days.release("2.0.0", "web")
    create_deploy(days.db, days.everybody, "acme", "2.0.0", DeployDraft(("production",)))
    days.sessions("2.0.0", sessions)
    days.sessions("1.0.0", others)
    days.run()
    assert days.stage("2.0.0") is (ADOPTED if adopted else LOW)
    assert days.stage("1.0.0") is ADOPTED


def test_sessions_count_for_six_hours_this_one_and_the_five_before(days: Days, clock: ManualClock) -> None:
    clock.advance(seconds=59 * 60)
    days.sessions("1.0.0", 9, hours_ago=5.98)  # one minute past the sixth hour back
    days.sessions("2.0.0", 1, hours_ago=0)
    assert days.run() == (1, 2, 0, 2)
    assert days.stage("1.0.0") is ADOPTED

    clock.advance(seconds=60)
    assert days.run() == (1, 0, 1, 0)
    assert days.stage("1.0.0") is REPLACED
    assert days.stage("2.0.0") is ADOPTED


def test_sessions_that_begin_in_the_next_hour_do_not_count_yet(days: Days, clock: ManualClock) -> None:
    clock.advance(seconds=30 * 60)
    days.sessions("1.0.0", 100, hours_ago=-0.75)
    assert days.run() == (0, 0, 0, 0)
    clock.advance(seconds=HOUR)
    assert days.run() == (1, 1, 0, 1)


def test_a_project_without_sessions_in_six_hours_keeps_its_stages(days: Days, clock: ManualClock) -> None:
    days.sessions("1.0.0", 100)
    days.sessions("1.0.0", 100, project="api")
    assert days.run() == (2, 2, 0, 1)
    since = clock.now_us()

    clock.advance(seconds=3 * DAY)
    days.sessions("2.0.0", 100, project="api")
    assert days.run() == (1, 1, 1, 1)
    assert days.stages("1.0.0") == {"production": (ADOPTED, since, None)}
    assert days.stage("1.0.0", project="api") is REPLACED


def test_an_environment_without_sessions_of_a_project_with_some_is_left_by_all(days: Days, clock: ManualClock) -> None:
    days.sessions("1.0.0", 100, "production")
    days.sessions("1.0.0", 100, "staging")
    days.run()
    clock.advance(seconds=DAY)
    days.sessions("1.0.0", 1, "production")
    assert days.run() == (1, 0, 1, 0)
    assert (days.stage("1.0.0", "production"), days.stage("1.0.0", "staging")) == (ADOPTED, REPLACED)


def test_sessions_without_an_environment_never_count(days: Days, clock: ManualClock) -> None:
    days.sessions("1.0.0", 1_000_000, "")
    days.sessions("1.0.0", 90, "production")
    days.sessions("2.0.0", 10, "production")
    assert days.run() == (1, 2, 0, 2)
    assert days.stages("1.0.0").keys() == days.stages("2.0.0").keys() == {"production"}
    names = list_environments(days.db, days.everybody, "acme", page=PageRequest(100))[1].items
    assert [environment.display_name for environment in names] == ["production"]

    # They are sessions of the project all the same: it is no quiet one.
    clock.advance(seconds=DAY)
    days.sessions("1.0.0", 5, "")
    assert days.run() == (1, 0, 2, 0)
    assert (days.stage("1.0.0"), days.stage("2.0.0")) == (REPLACED, REPLACED)


def test_a_version_that_no_release_can_have_counts_in_the_whole_and_is_never_adopted(days: Days) -> None:
    days.sessions("latest", 910)
    days.sessions("1.0.0", 90)
    assert days.run() == (1, 0, 0, 0)
    assert writes_of_a_run(days) == NOTHING_CHANGED
    for version in ("latest", "1.0.0"):
        with pytest.raises(ReleaseNotFound):
            get_release(days.db, days.everybody, "acme", version)


def test_what_is_missing_is_created_and_adopted_at_once(days: Days, clock: ManualClock) -> None:
    days.release("2.0.0", "api")
    began = clock.now_us()
    days.sessions("1.0.0", 50)
    days.sessions("2.0.0", 50)
    clock.advance(seconds=HOUR)
    assert days.run() == (1, 2, 0, 1)
    created = get_release(days.db, days.everybody, "acme", "1.0.0").release
    assert (created.create_time, [project.slug for project in created.projects]) == (began, ["web"])
    extended = get_release(days.db, days.everybody, "acme", "2.0.0").release
    assert [project.slug for project in extended.projects] == ["api", "web"]
    for version in ("1.0.0", "2.0.0"):
        assert days.stages(version) == {"production": (ADOPTED, clock.now_us(), None)}
        assert days.stages(version, "api") == {}


def test_a_project_that_forbids_it_gets_no_releases_but_those_there_are_are_adopted(days: Days) -> None:
    manual = Project.update({Project.manual_releases: True}).where(Project.id == days.projects["web"])
    days.db.write(lambda tx: tx.execute(manual))
    days.release("2.0.0", "api")
    days.sessions("1.0.0", 50)
    days.sessions("2.0.0", 50)
    assert days.run() == (1, 1, 0, 0)
    assert days.stage("2.0.0") is ADOPTED
    with pytest.raises(ReleaseNotFound):
        get_release(days.db, days.everybody, "acme", "1.0.0")


def test_each_project_and_each_organization_has_stages_of_its_own(
    days: Days, database: Database, clock: ManualClock
) -> None:
    other = Days(database, clock, "web", slug="other")
    days.sessions("1.0.0", 95, project="web")
    days.sessions("2.0.0", 5, project="web")
    days.sessions("2.0.0", 5, project="api")
    other.sessions("2.0.0", 1)
    other.sessions("1.0.0", 19)
    days.release("2.0.0", "web")
    assert run_adoption(database).projects == 3
    assert days.stages("2.0.0", "web") == {}
    assert days.stages("2.0.0", "api") == {"production": (ADOPTED, clock.now_us(), None)}
    assert other.stages("1.0.0") == {"production": (ADOPTED, clock.now_us(), None)}
    with pytest.raises(ReleaseNotFound):
        other.stages("2.0.0")


def test_a_deleted_release_is_neither_adopted_nor_replaced(days: Days, clock: ManualClock) -> None:
    days.sessions("1.0.0", 100)
    days.run()
    clock.advance(seconds=DAY)
    days.sessions("2.0.0", 100)
    delete_release(days.db, days.everybody, "acme", "1.0.0", force=True)
    assert days.run() == (1, 1, 0, 1)


def test_many_releases_are_written_in_short_transactions(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "MOST_VERSIONS", 2)
    monkeypatch.setattr(adoption, "_SERIES_AT_ONCE", 2)
    monkeypatch.setattr(adoption, "_PROJECTS_AT_ONCE", 2)
    monkeypatch.setattr(adoption, "_REPLACED_AT_ONCE", 2)
    for project in ("one", "two", "three", "four"):
        days.add_project(project)
        days.sessions("1.0.0", 10, project=project)
    for number in range(5):
        days.sessions(f"{number}.0.0", 10)
    assert writes_of_a_run(days) == NOTHING_CHANGED + 4 + 3  # each of four projects, and five releases by two
    assert [days.stage(f"{number}.0.0") for number in range(5)] == [ADOPTED] * 5
    assert [days.stage("1.0.0", project=project) for project in ("one", "two", "three", "four")] == [ADOPTED] * 4
    assert writes_of_a_run(days) == NOTHING_CHANGED

    days.clock.advance(seconds=DAY)
    days.sessions("9.0.0", 10)
    assert writes_of_a_run(days) == NOTHING_CHANGED + 1 + 3
    assert [days.stage(f"{number}.0.0") for number in range(5)] == [REPLACED] * 5


def test_a_project_whose_sessions_go_on_during_a_run_is_looked_at_once(
    days: Days, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "_PROJECTS_AT_ONCE", 1)
    for project in ("web", "api"):
        clock.advance(seconds=1)
        days.sessions("1.0.0", 10, project=project)
    passed: list[str] = []

    def go_on(point: str) -> None:
        if point == "adoption.project_read" and not passed:
            passed.append(point)
            clock.advance(seconds=1)
            days.sessions("1.0.0", 10, project="web")  # which moves it behind the other

    monkeypatch.setattr(adoption, "crashpoint", go_on)
    assert days.run() == (2, 2, 0, 1)
    assert passed


def test_a_run_that_was_cut_is_gone_on_with_by_the_next(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "MOST_VERSIONS", 1)
    monkeypatch.setattr(adoption, "_REPLACED_AT_ONCE", 1)
    for number in range(4):
        days.sessions(f"{number}.0.0", 25)
    assert days.run() == (1, 4, 0, 4)
    since = days.clock.now_us()
    days.clock.advance(seconds=DAY)
    for number in range(2, 6):
        days.sessions(f"{number}.0.0", 25)
    asked = iter([False] * 3)  # before the project, before 4.0.0, before 5.0.0; then it is stopped

    cut = run_adoption(days.db, stopped=lambda: next(asked, True))
    assert told(cut) == (1, 2, 0, 2)
    assert [days.stage(f"{number}.0.0") for number in range(6)] == [ADOPTED] * 6

    # Meanwhile one came back, which the cut run had not come to.
    days.clock.advance(seconds=60)
    days.sessions("0.0.0", 25)
    assert days.run() == (1, 0, 1, 0)
    assert [days.stage(f"{number}.0.0") for number in range(6)] == [ADOPTED, REPLACED, *[ADOPTED] * 4]
    assert days.stages("0.0.0") == {"production": (ADOPTED, since, None)}
