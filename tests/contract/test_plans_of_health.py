"""How the databases find what sessions come to: by indexes alone, and no row of another series."""

from __future__ import annotations

from collections.abc import Callable

from store.database import Database
from store.health.figures import read_figures, read_series
from store.health.read import HealthQuestion, get_release_health
from store.health.shares import read_shares
from store.health.spans import Span
from store.health.windows import DAY_US, HOUR_US, Period, Window, day_of, window_of
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.plans import executed, plans_of
from tests.contract.rollups import Project, Told, write_sessions

VERSIONS = 60
DAYS = 12
MOST_ROWS = 1_000
"""Of one release there are fewer rows, of all together there are some 18,000."""


def test_health_is_read_by_indexes_and_no_further_than_it_is_asked_for(
    database: Database, database_url: str, clock: ManualClock
) -> None:
    clock.advance(seconds=15 * 3600)
    acme = Acme(database, "web", "api")
    acme.release("app@7", "web")
    now = clock.now_us()
    told = [
        Told(now - ago * 2 * HOUR_US, version=f"app@{version}", environment=place)
        for version in range(VERSIONS)
        for place in ("production", "staging")
        for ago in range(DAYS * 12)
    ]
    web = acme.projects["web"]
    write_sessions(database, Project(acme.id, web), told, days_until=day_of(now) - 3 * DAY_US)
    pairs = [(web, f"app@{version}") for version in range(3)]
    fortnight = window_of(Period.LAST_14D, now)
    odd = Window(now - 5 * DAY_US, now, 5 * DAY_US)
    asked = HealthQuestion(environments=("production", "staging"), span=Span(Period.LAST_7D), milestones=True)
    works: dict[str, Callable[[], object]] = {
        "figures": lambda: read_figures(database, pairs, fortnight),
        "figures of hours and days": lambda: read_figures(database, pairs, odd, ("production",)),
        "series": lambda: read_series(database, pairs, window_of(Period.LAST_24H, now)),
        "shares": lambda: read_shares(database, pairs, now, ("staging",)),
        "release": lambda: get_release_health(database, acme.everybody, "acme", "app@7", asked, hour_days=35),
    }
    with plans_of(database, database_url, most=MOST_ROWS) as plans:
        for name, work in works.items():
            # Of releases there is just one here, which is best read without an index.
            statements = {text: values for text, values in executed(work).items() if '"health_' in text}
            assert len(statements) >= 2
            for statement, values in statements.items():
                problems = plans.problems(statement, values)
                assert not problems, f"{name}: {statement}\n" + "\n".join(problems)


def test_a_release_in_many_projects_is_read_with_as_few_statements_as_in_one(
    database: Database, clock: ManualClock
) -> None:
    clock.advance(seconds=15 * 3600)
    acme = Acme(database, "web", "api", "cli")
    acme.release("app@1", "web")
    acme.release("app@2", "web", "api", "cli")
    for slug in acme.projects:
        told = [Told(clock.now_us(), version=version, environment="production") for version in ("app@1", "app@2")]
        write_sessions(database, Project(acme.id, acme.projects[slug]), told[slug != "web" :])

    def statements(version: str) -> int:
        count = 0

        def counted(_: object) -> None:
            nonlocal count
            count += 1

        database.hooks.append(counted)
        get_release_health(database, acme.everybody, "acme", version, HealthQuestion(), hour_days=35)
        database.hooks.clear()
        return count

    assert statements("app@1") == statements("app@2") <= 6
