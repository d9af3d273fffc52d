"""How the databases find what upkeep, deletions and discovery look for: by indexes, never by looking at everything."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat

import pytest

from store.database import Database, new_id
from store.database.query import BoundRows
from store.health import drain, upkeep
from store.health.discovery import discover, named_projects_with_sessions
from store.health.items import SessionLimits
from store.health.linking import UnlinkedSeries, link_series
from store.health.models import CountedSessions, HealthSeries, Session
from store.health.upkeep import keep_up
from store.health.windows import DAY_US, HOUR_US, day_of
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR
from tests.contract.plans import Executed, executed, plans_of
from tests.contract.rollups import Project, Told, write_sessions

VERSIONS = 60
DAYS = 12
MOST_ROWS = 1_000
"""Of one release there are fewer rows, of all together there are some 18,000."""
LIMITS = SessionLimits(session_days=5, hour_days=10, days=11)


@pytest.fixture
def acme(database: Database, clock: ManualClock) -> Acme:
    clock.advance(seconds=15 * 3600)
    acme = Acme(database, "web", "api")
    now = clock.now_us()
    told = [
        Told(now - ago * 2 * HOUR_US, version=f"app@{version}", environment=place)
        for version in range(VERSIONS)
        for place in ("production", "staging")
        for ago in range(DAYS * 12)
    ]
    for project in acme.projects.values():
        write_sessions(database, Project(acme.id, project), told, days_until=day_of(now) - DAY_US)
    web = acme.projects["web"]
    rows = [
        {"project_id": web, "hour": now - number * HOUR_US, "session_id": new_id(), "series_id": new_id()}
        for number in range(5000)
    ]
    states = dict.fromkeys(("sequence", "status", "error_count", "timed"), 1)
    counted = [{"project_id": row["project_id"], "hour": row["hour"], "counts_id": row["session_id"]} for row in rows]
    for start in range(0, len(rows), 500):
        some, other = [row | states for row in rows[start : start + 500]], counted[start : start + 500]
        database.write(lambda tx, some=some: tx.execute(Session.insert_many(some)))  # type: ignore[misc]
        database.write(lambda tx, other=other: tx.execute(CountedSessions.insert_many(other)))  # type: ignore[misc]
    return acme


@pytest.fixture
def some(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write removes few rows, so that a plan that looks at all of them is seen."""
    for module in (upkeep, drain):
        for name in ("MOST_ROLLUPS", "MOST_SESSIONS", "MOST_ROWS"):
            monkeypatch.setattr(module, name, 100, raising=False)


@pytest.mark.usefixtures("some")
def test_nothing_looks_at_more_than_it_has_to(acme: Acme, database_url: str, clock: ManualClock) -> None:
    db = acme.db
    web = acme.projects["web"]
    acme.release("app@7", "web", "api")
    series = db.read(lambda reader: reader.fetch(HealthSeries.select().where(HealthSeries.version == "app@9")))
    of_web = [UnlinkedSeries(row.id, row.version, row.environment) for row in series if row.project_id == web]
    late = HealthSeries.update(days_until=day_of(clock.now_us()) - 3 * DAY_US).where(HealthSeries.version == "app@3")
    db.write(lambda tx: tx.execute(late))
    works: dict[str, Callable[[], object]] = {
        "projects": lambda: named_projects_with_sessions(db, "acme"),
        "discovery": lambda: discover(db, [web], stopped=chain([False] * 2, repeat(True)).__next__),
        "linking": lambda: db.write(lambda tx: link_series(tx, web, of_web)),
        "deletion": lambda: delete_release(db, OPERATOR, "acme", "app@7", force=True),
        "drain": lambda: drain_deleted_releases(db),
        "upkeep": lambda: keep_up(db, LIMITS),
    }
    found: dict[str, Executed] = {name: executed(work) for name, work in works.items()}
    with plans_of(db, database_url, most=MOST_ROWS) as plans:
        for name, statements in found.items():
            of_health = {text: values for text, values in statements.items() if '"health_' in text or "session" in text}
            assert len(of_health) >= 1, name
            for statement, values in of_health.items():
                if statement.startswith(("INSERT", "ROLLBACK")):
                    continue
                # Of a statement that was executed many times the first one tells.
                first = next(iter(values)) if isinstance(values, BoundRows) else values
                problems = plans.problems(statement, first)
                assert not problems, f"{name}: {statement}\n" + "\n".join(problems)
