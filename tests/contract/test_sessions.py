"""Recording sessions: what counts, and what is known."""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from store.database import Database
from store.health.items import SessionStatus
from store.health.models import HealthDay, HealthSeries, Session
from store.health.users import user_numbers, users_key
from store.health.windows import DAY_US, HOUR_US
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import at_once, errors_in
from tests.contract.telling import MINUTE_US, Telling, counts, session_id, update

OK, EXITED, ABNORMAL, CRASHED = SessionStatus
LAST_HOUR = START_US - HOUR_US
"""The hour in which a session of the tests begins."""


@pytest.fixture
def web(database: Database) -> Telling:
    return Telling(Acme(database, "web", "api"))


def test_sessions_count_by_how_they_ended(web: Telling) -> None:
    states = [
        (OK, 0),
        (OK, 3),
        (EXITED, 0),
        (EXITED, 1),
        (ABNORMAL, 0),
        (ABNORMAL, 5),
        (CRASHED, 0),
        (CRASHED, 7),
    ]
    told = [update(number, status=status, error_count=errors) for number, (status, errors) in enumerate(states)]
    assert web.answers(*told) == (8, 0, 0)
    assert web.sums("web@1.0.0") == {LAST_HOUR: (8, 2, 2, 2, 16)}
    assert web.sums("") == web.sums("web@1.0.0")
    assert web.users() == web.users("") == (8, 2)


def test_an_update_that_comes_twice_counts_once(web: Telling) -> None:
    told = [update(number, status=CRASHED, error_count=2) for number in range(5)]
    assert web.answers(*told) == (5, 0, 0)
    before = web.everything()
    assert web.answers(*told) == (0, 5, 0)
    assert web.answers(*told, *told) == (0, 10, 0)
    assert web.everything() == before
    assert web.total() == (5, 5, 0, 0, 10)


def test_within_one_batch_too(web: Telling) -> None:
    begun, ended = update(1), update(1, sequence=2, status=EXITED, error_count=1, duration=2_000_000)
    assert web.answers(ended, begun, ended, update(1, sequence=2, status=EXITED)) == (1, 3, 0)
    assert web.total() == (1, 0, 0, 1, 1)
    assert web.durations() == [2.0, 2.0, 2.0]


def test_a_session_goes_from_one_state_to_the_next(web: Telling) -> None:
    for sequence, status, errors, total in (
        (1, OK, 0, (1, 0, 0, 0, 0)),
        (2, OK, 2, (1, 0, 0, 1, 2)),
        (3, EXITED, 3, (1, 0, 0, 1, 3)),
        (4, ABNORMAL, 3, (1, 0, 1, 0, 3)),
        (5, CRASHED, 4, (1, 1, 0, 0, 4)),
        (6, OK, 0, (1, 0, 0, 0, 0)),
    ):
        assert web.answers(update(1, sequence=sequence, status=status, error_count=errors)) == (1, 0, 0)
        assert web.total() == web.total("") == total


def test_any_order_of_updates_comes_to_the_same(web: Telling) -> None:
    told = [(1, OK, 0), (2, OK, 4), (3, CRASHED, 5), (3, EXITED, 9)]
    for number, order in enumerate(permutations(told)):
        for sequence, status, errors in order:
            web.tell(update(number, user="one", sequence=sequence, status=status, error_count=errors))
    assert web.total() == (24, 24, 0, 0, 24 * 5)
    assert web.users() == (1, 1)


def test_of_one_sequence_the_graver_status_counts_and_then_more_errors(web: Telling) -> None:
    assert web.answers(update(1, status=ABNORMAL, error_count=2)) == (1, 0, 0)
    assert web.answers(update(1, status=EXITED, error_count=9)) == (0, 1, 0)
    assert web.answers(update(1, status=ABNORMAL, error_count=1)) == (0, 1, 0)
    assert web.total() == (1, 0, 1, 0, 2)
    assert web.answers(update(1, status=ABNORMAL, error_count=3)) == (1, 0, 0)
    assert web.answers(update(1, status=CRASHED)) == (1, 0, 0)
    assert web.total() == (1, 1, 0, 0, 0)


def test_an_older_update_still_brings_its_user(web: Telling) -> None:
    web.tell(update(1, user="late", sequence=9, status=EXITED))
    assert web.answers(update(1, user="early", sequence=1, status=CRASHED)) == (0, 1, 0)
    assert web.total() == (1, 0, 0, 0, 0)
    assert web.users() == web.users("") == (2, 1)


def test_unknown_users_are_not_counted(web: Telling) -> None:
    web.tell(update(1, user=""), update(2, user="", status=CRASHED), counts(3, crashed_count=4))
    assert web.total() == (6, 5, 0, 0, 4)
    assert web.users() == (0, 0)


def test_a_duration_counts_once_when_the_session_is_first_told_to_have_exited(web: Telling) -> None:
    web.tell(update(1, duration=9_000_000), update(2, status=CRASHED, duration=8_000_000))
    assert web.durations() == [None, None, None]
    web.tell(update(1, sequence=2, status=EXITED))
    web.tell(update(1, sequence=3, status=EXITED, duration=1_500_000))
    web.tell(update(1, sequence=4, status=EXITED, duration=7_000_000))
    assert web.durations() == [1.5, 1.5, 1.5]
    web.tell(update(2, sequence=0, status=EXITED, duration=500_000), update(3, status=EXITED, duration=0))
    assert web.durations() == [0.0, 0.5, 1.5]


def test_a_duration_of_an_update_that_is_known_otherwise_counts_once_too(web: Telling) -> None:
    web.tell(update(1, sequence=2, status=CRASHED))
    late = update(1, sequence=1, status=EXITED, duration=1_500_000)
    assert web.answers(late) == (0, 1, 0)
    assert web.durations() == [1.5, 1.5, 1.5]
    told = web.everything()
    assert web.answers(late) == (0, 1, 0)
    assert web.everything() == told


def test_a_session_counts_where_it_was_told_first(web: Telling) -> None:
    web.tell(update(1))
    elsewhere = {"version": "web@2.0.0", "environment": "staging", "start_time": START_US - 5 * DAY_US}
    assert web.answers(update(1, sequence=2, status=CRASHED, **elsewhere)) == (1, 0, 0)
    assert web.sums("web@1.0.0") == web.sums("") == {LAST_HOUR: (1, 1, 0, 0, 0)}
    assert web.series("web@2.0.0", "staging") is None
    assert web.series("", "staging") is None


def test_one_session_id_in_two_projects_is_two_sessions(web: Telling) -> None:
    assert web.answers(update(1), update(1, project="api")) == (2, 0, 0)
    assert web.total() == web.total(project="api") == (1, 0, 0, 0, 0)


def test_versions_and_environments_are_told_apart_and_added_up(web: Telling) -> None:
    told = [
        update(number, version=version, environment=environment, start_time=start)
        for number, (version, environment, start) in enumerate(
            (version, environment, start)
            for version in ("web@1.0.0", "web@2.0.0", "anything at all")
            for environment in ("production", "")
            for start in (START_US, START_US - 1, START_US - HOUR_US)
        )
    ]
    web.tell(*told)
    for environment in ("production", ""):
        for version in ("web@1.0.0", "web@2.0.0", "anything at all"):
            assert web.sums(version, environment) == {LAST_HOUR: (2, 0, 0, 0, 0), START_US: (1, 0, 0, 0, 0)}
        assert web.sums("", environment) == {LAST_HOUR: (6, 0, 0, 0, 0), START_US: (3, 0, 0, 0, 0)}


def test_a_user_of_two_versions_is_one_user_of_the_project(web: Telling) -> None:
    web.tell(update(1, user="one"), update(2, user="one", version="web@2.0.0"), update(3, user="two"))
    assert (web.users()[0], web.users("web@2.0.0")[0], web.users("")[0]) == (2, 1, 2)


def test_series_know_when_their_first_and_last_session_began(web: Telling) -> None:
    web.tell(update(1, start_time=START_US - HOUR_US), update(2, start_time=START_US - 3 * HOUR_US))
    web.tell(update(3, start_time=START_US + 5, version="web@2.0.0"), update(2, sequence=2, start_time=START_US))
    for version, first, last in (
        ("web@1.0.0", START_US - 3 * HOUR_US, START_US - HOUR_US),
        ("web@2.0.0", START_US + 5, START_US + 5),
        ("", START_US - 3 * HOUR_US, START_US + 5),
    ):
        series = web.series(version)
        assert series is not None
        assert (series.first_time, series.last_time) == (first, last)
        assert series.release_id is None
    assert web.last_time() == START_US + 5
    web.tell(update(4, start_time=START_US - 20 * DAY_US))
    series = web.series("")
    assert series is not None
    assert series.first_time == START_US - 20 * DAY_US
    assert web.last_time() == START_US + 5


def test_late_sessions_change_their_hour_and_the_day_that_was_built_already(web: Telling) -> None:
    today = START_US  # its first moment
    web.tell(update(1, start_time=today))
    web.days_from(today)
    late = [update(number, start_time=today - DAY_US + number * HOUR_US, status=CRASHED) for number in (2, 3)]
    web.tell(*late, update(4, start_time=today))
    hours = {today - DAY_US + number * HOUR_US: (1, 1, 0, 0, 0) for number in (2, 3)}
    assert web.sums("web@1.0.0") == web.sums("") == {**hours, today: (2, 0, 0, 0, 0)}
    assert web.sums("web@1.0.0", model=HealthDay) == {today - DAY_US: (2, 2, 0, 0, 0)}
    assert web.sums("", model=HealthDay) == {today - DAY_US: (2, 2, 0, 0, 0)}
    assert web.users(model=HealthDay) == (2, 2)
    web.tell(late[0]._replace(sequence=2, status=EXITED))
    assert web.sums("", model=HealthDay) == {today - DAY_US: (2, 1, 0, 0, 0)}


def test_counts_are_added_once(web: Telling) -> None:
    told = counts(1, exited_count=10, errored_count=3, abnormal_count=2, crashed_count=4, user="one")
    assert web.answers(told, counts(2, exited_count=1, user="two"), told) == (2, 1, 0)
    assert web.total() == web.total("") == (20, 4, 2, 3, 7)
    assert web.users() == (2, 1)
    before = web.everything()
    assert web.answers(told._replace(exited_count=99)) == (0, 1, 0)
    assert web.everything() == before
    assert web.answers(told._replace(project="api")) == (1, 0, 0)


def test_counts_of_no_session_are_known_afterwards_and_change_nothing(web: Telling) -> None:
    assert web.answers(counts(1)) == (1, 0, 0)
    assert web.answers(counts(1, exited_count=5)) == (0, 1, 0)
    assert web.series("web@1.0.0") is None


def test_updates_and_counts_of_one_hour_add_up(web: Telling) -> None:
    web.tell(update(1, status=CRASHED), counts(1, exited_count=2, user="user-1"))
    assert web.total() == (3, 1, 0, 0, 0)
    assert web.users() == (1, 1)


def test_a_call_of_nothing_says_nothing_new(web: Telling) -> None:
    assert web.answers() == (0, 0, 0)


def test_many_callers_at_once_count_each_session_and_user_once(web: Telling) -> None:
    told = [
        update(number, project=project, user=f"user-{number % 20}", status=CRASHED)
        for number in range(100)
        for project in ("web", "api")
    ]

    def tell(place: int) -> int:
        # Each sends nine tenths of all, in an order of its own.
        return web.tell(*random.Random(place).sample(told, k=180)).recorded

    outcomes = at_once(6, tell)
    assert not errors_in(outcomes)
    web.tell(*told)
    for project in ("web", "api"):
        assert web.total(project=project) == web.total("", project=project) == (100, 100, 0, 0, 0)
        assert web.users(project=project) == web.users("", project=project) == (20, 20)
    assert web.answers(*told) == (0, 200, 0)


def test_a_long_call_is_kept_whole(web: Telling) -> None:
    source = random.Random(6)
    numbers = [source.randrange(3_000) for _ in range(4_500)]
    told = [
        update(number, project=source.choice(("web", "api")), sequence=place, user="one")
        for place, number in enumerate(numbers)
    ]
    wrong = update(9_999, start_time=0)
    told.insert(4_200, wrong)
    counted = [counts(number, exited_count=1, project="api") for number in range(2_500)]
    recorded = web.tell(*told, *counted)
    assert recorded.recorded == 4_500 + 2_500
    assert [refusal.path for refusal in recorded.refused] == ["updates[4200].start_time"]
    distinct = {(item.project, item.session_id) for item in told if item is not wrong}
    of_web = sum(project == "web" for project, _ in distinct)
    assert web.total()[0] == of_web
    assert web.total(project="api")[0] == len(distinct) - of_web + 2_500
    assert web.answers(*told, *counted) == (0, 7_000, 1)
    assert web.total()[0] == of_web


def test_many_hours_of_many_versions_in_one_call(web: Telling) -> None:
    told = [
        update(number, version=f"web@{number % 40}.0", start_time=START_US - number * 7 * HOUR_US // 10)
        for number in range(600)
    ]
    assert web.answers(*told) == (600, 0, 0)
    assert web.answers(*(item._replace(sequence=2, status=CRASHED) for item in told)) == (600, 0, 0)
    assert web.total("") == (600, 600, 0, 0, 0)
    assert [web.total(f"web@{number}.0") for number in range(40)] == [(15, 15, 0, 0, 0)] * 40


def test_many_environments_of_one_version_in_one_call(web: Telling) -> None:
    told = [update(number, environment=f"env-{number}") for number in range(70)]
    assert web.answers(*told, *told) == (70, 70, 0)
    for environment in ("env-0", "env-69"):
        assert web.total("web@1.0.0", environment) == web.total("", environment) == (1, 0, 0, 0, 0)


def test_updates_of_a_session_whose_series_is_gone_are_known_and_count_nowhere(web: Telling) -> None:
    web.tell(update(1), update(2, version="web@2.0.0"))
    gone = web.series("web@1.0.0")
    assert gone is not None
    freed = HealthSeries.update({HealthSeries.version: "web@1.0.0\n00", HealthSeries.release_id: session_id(9)})
    web.db.write(lambda tx: tx.execute(freed.where(HealthSeries.id == gone.id)))
    before = web.everything()
    ended = [update(1, sequence=2, status=CRASHED), update(1, user="other", status=CRASHED)]
    assert web.answers(*ended) == (0, 2, 0)
    web.db.write(lambda tx: tx.execute(HealthSeries.delete().where(HealthSeries.id == gone.id)))
    assert web.answers(*ended) == (0, 2, 0)
    assert web.everything() == before
    assert web.series("web@1.0.0") is None
    assert web.answers(update(3), *ended) == (1, 2, 0)
    fresh = web.series("web@1.0.0")
    assert fresh is not None
    assert fresh.id != gone.id
    assert web.total() == (1, 0, 0, 0, 0)


def test_projects_with_versions_that_are_no_releases_are_told(web: Telling) -> None:
    web_id, api_id = web.acme.projects["web"], web.acme.projects["api"]
    assert web.tell(update(1), update(2, project="api")).unlinked_projects == {web_id, api_id}
    linked = HealthSeries.update({HealthSeries.release_id: session_id(9)}).where(HealthSeries.project_id == web_id)
    web.db.write(lambda tx: tx.execute(linked))
    assert web.tell(update(1), update(2, project="api")).unlinked_projects == {api_id}
    assert web.tell(update(3, version="web@2.0.0")).unlinked_projects == {web_id}


def test_users_are_kept_as_keyed_digests_alone(web: Telling, clock: ManualClock) -> None:
    rival = Acme(web.db, "web", slug="rival")
    ours = user_numbers(users_key(web.db, web.acme.id), ["alice@example.com", "", "bob"])
    theirs = user_numbers(users_key(web.db, rival.id), ["alice@example.com"])
    assert ours.keys() == {"alice@example.com", "bob"}
    assert len({*ours.values(), *theirs.values()}) == 3
    assert all(-(2**63) <= number < 2**63 for number in ours.values())
    web.tell(update(1, user="alice@example.com"))
    clock.advance(seconds=60)
    web.tell(update(2, user="alice@example.com", start_time=START_US))
    assert web.users() == (1, 0)
    rows = [row for query in (Session, HealthSeries) for row in _texts(web.db, query)]
    assert not any("alice" in row for row in [*rows, repr(web.everything())])


def _texts(db: Database, model: type[Session | HealthSeries]) -> list[str]:
    return [repr(row) for row in db.read(lambda reader: reader.fetch(model.select().tuples()))]


def test_a_session_of_the_first_minute_of_an_hour_counts_in_that_hour(web: Telling) -> None:
    web.tell(update(1, start_time=START_US - HOUR_US), update(2, start_time=START_US - HOUR_US - MINUTE_US))
    assert web.sums("web@1.0.0") == {LAST_HOUR - HOUR_US: (1, 0, 0, 0, 0), LAST_HOUR: (1, 0, 0, 0, 0)}
