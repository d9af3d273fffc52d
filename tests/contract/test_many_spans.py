"""Figures of many spans at once are those of each by itself, with days that were built and hours that went."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from store.database import Database
from store.health.figures import NO_FIGURES, Figures, read_figures
from store.health.items import SessionLimits, SessionStatus
from store.health.many_spans import PairSpan, outward, read_spans
from store.health.upkeep import keep_up
from store.health.windows import Window, day_of, hour_of
from tests.clocks import ManualClock
from tests.contract.watched import DAY, HOUR, Watched

LIMITS = SessionLimits(hour_days=3, session_days=1)


@pytest.fixture
def acme(database: Database, clock: ManualClock) -> Watched:
    """With sessions of all kinds at all hours of ten days, the last of which is now."""
    acme = Watched(database, "web", clock=clock)
    chance = Random(7)
    clock.advance(seconds=10 * 86_400)
    for _ in range(400):
        acme.sessions(
            chance.choice(["a@1.0.0", "b@1.0.0"]),
            chance.randint(1, 3),
            status=chance.choice(list(SessionStatus)),
            errors=chance.randint(0, 2),
            after_us=-chance.randrange(10 * DAY),
            environment=chance.choice(["", "qa", "production"]),
            users=[f"user-{chance.randrange(40)}" for _ in range(3)],
        )
    return acme


def some_spans(acme: Watched, chance: Random, count: int) -> list[PairSpan]:
    """Within and around those ten days, from an hour to two weeks long."""
    spans = []
    for _ in range(count):
        start = acme.clock.now_us() - chance.randrange(11 * DAY)
        length = chance.choice([chance.randrange(1, 30 * HOUR), chance.randrange(1, 14 * DAY)])
        pair = acme.projects["web"], chance.choice(["a@1.0.0", "b@1.0.0", "c@1.0.0"])
        spans.append(PairSpan(pair, chance.choice([None, "", "qa", "production"]), *outward(start, start + length)))
    return spans


def one_by_one(acme: Watched, spans: list[PairSpan]) -> dict[PairSpan, Figures]:
    told = {}
    for span in spans:
        window = Window(span.start_us, span.end_us, span.end_us - span.start_us)
        environments = None if span.environment is None else [span.environment]
        figures = acme.db.read(lambda reader: read_figures(reader, [span.pair], window, environments))  # noqa: B023
        told[span] = replace(figures.get(span.pair, NO_FIGURES), duration_p50=None, duration_p90=None)
    return told


def test_many_spans_are_told_as_each_by_itself(acme: Watched) -> None:
    spans = some_spans(acme, Random(8), 150)
    expected = one_by_one(acme, spans)
    assert len({figures.session_count for figures in expected.values()}) > 20
    assert acme.db.read(lambda reader: read_spans(reader, spans, with_users=set(spans))) == expected
    keep_up(acme.db, SessionLimits())
    assert (
        acme.db.read(lambda reader: read_spans(reader, spans, with_users=set(spans)))
        == expected
        == one_by_one(acme, spans)
    )


def test_users_are_read_only_of_spans_that_ask_for_them(acme: Watched) -> None:
    first, second = some_spans(acme, Random(9), 2)
    first = first._replace(pair=(acme.projects["web"], "a@1.0.0"), environment=None, end_us=first.start_us + 12 * DAY)
    second = first._replace(environment="qa")
    told = acme.db.read(lambda reader: read_spans(reader, [first, second], with_users={first}))
    assert told[first].user_count > told[first].crashed_user_count > 0
    assert (told[second].user_count, told[second].crashed_user_count) == (0, 0)
    assert told[second].session_count > 0


def test_where_hours_are_gone_the_whole_of_their_day_counts(acme: Watched) -> None:
    now, pair = acme.clock.now_us(), (acme.projects["web"], "a@1.0.0")
    old = day_of(now) - 7 * DAY
    whole = PairSpan(pair, None, old, old + DAY)
    spans = [
        whole,
        PairSpan(pair, None, old + HOUR, old + 2 * HOUR),
        PairSpan(pair, None, old + HOUR, old + DAY),
        PairSpan(pair, None, old - 5 * HOUR, old + 2 * HOUR),
        PairSpan(pair, None, old - 5 * HOUR, old + DAY + HOUR),
        PairSpan(pair, None, old, hour_of(now)),
    ]
    before = acme.db.read(lambda reader: read_spans(reader, spans, with_users=set(spans)))
    keep_up(acme.db, LIMITS)
    after = acme.db.read(lambda reader: read_spans(reader, spans, with_users=set(spans)))

    def of_days(first: int, count: int) -> Figures:
        span = PairSpan(pair, None, old + first * DAY, old + (first + count) * DAY)
        return acme.db.read(lambda reader: read_spans(reader, [span], with_users={span}))[span]

    one_day = of_days(0, 1)
    assert one_day == before[whole]
    assert [after[span] for span in spans[:5]] == [one_day, one_day, one_day, of_days(-1, 2), of_days(-1, 3)]
    assert after[spans[1]] != before[spans[1]]
    assert after[spans[5]] == before[spans[5]]  # its end is of an hour that is still there


def test_whole_hours_hold_what_lies_between_two_times() -> None:
    assert outward(10 * HOUR, 12 * HOUR) == (10 * HOUR, 12 * HOUR)
    assert outward(10 * HOUR + 1, 12 * HOUR + 1) == (10 * HOUR, 13 * HOUR)
    assert outward(11 * HOUR - 1, 11 * HOUR) == (10 * HOUR, 11 * HOUR)
