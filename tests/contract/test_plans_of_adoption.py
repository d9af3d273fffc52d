"""What a run of adoption, and its answers, read of a project with a long past: what is of now, and little else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
from peewee import Model

from store.access.projects import EVERY_PROJECT
from store.database import Database, new_id
from store.deploys.environments import get_or_create_environments
from store.deploys.models import ReleaseEnvironment
from store.health.adoption import run_adoption
from store.health.get_adoption import get_adoption
from store.health.models import HealthHour, HealthSeries
from store.health.stages import read_stages
from store.releases.models import Release
from tests.clocks import ManualClock
from tests.contract.adopting import ADOPTED, DAY, Days
from tests.contract.plans import Plans, executed, plans_of

OLD: Final = 3000
"""Releases that were replaced long ago, each with hours of its own."""
MOST: Final = 1000
"""Rows that any step of a plan may take."""
_HOUR: Final = dict.fromkeys(("crashed_count", "abnormal_count", "errored_count", "error_count"), 0)


@pytest.fixture
def days(database: Database, clock: ManualClock) -> Days:
    """A project of many releases, of which three are in use."""
    days = Days(database, clock, "web")
    for number in range(3):
        days.sessions(f"{number}.0.0", 10)
    days.run()
    past = clock.now_us() - 30 * DAY * 1_000_000
    series = [new_id() for _ in range(OLD)]
    environments: dict[str, bytes] = days.db.write(
        lambda tx: get_or_create_environments(tx, days.id, ["production"], project_ids=[days.projects["web"]])
    )
    write(
        days.db,
        HealthSeries,
        [
            {
                "id": id_,
                "project_id": days.projects["web"],
                "version": f"old{number}@1",
                "environment": "production",
                "organization_id": days.id,
                "release_id": id_,
                "first_time": past,
                "last_time": past + number,
                "days_until": past,
            }
            for number, id_ in enumerate(series)
        ],
    )
    (one,) = days.db.read(lambda reader: reader.fetch(Release.select().where(Release.version == "0.0.0").dicts()))
    write(
        days.db,
        Release,
        [one | {"id": id_, "version": f"old{number}@1"} for number, id_ in enumerate(series)],
    )
    write(days.db, HealthHour, [{"series_id": id_, "start_time": past, "session_count": 1, **_HOUR} for id_ in series])
    write(
        days.db,
        ReleaseEnvironment,
        [
            {
                "release_id": id_,
                "project_id": days.projects["web"],
                "environment_id": environments["production"],
                "deploy_count": 0,
                "adopted_time": past,
                "unadopted_time": past + 1,
            }
            for id_ in series
        ],
    )
    return days


def write(db: Database, model: type[Model], rows: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 500):
        insert = model.insert_many(rows[start : start + 500])
        db.write(lambda tx, insert=insert: tx.execute(insert))  # type: ignore[misc]


def check(plans: Plans, work: Callable[[], Any]) -> str:
    """Fails where a statement is not carried out well; all statements. What is adopted now has an index for itself,
    of which all is read that is a project's."""
    statements = executed(work)
    for statement, values in statements.items():
        if not statement.startswith("SELECT"):
            continue
        problems = plans.problems(statement, values)
        if problems and "release_environment_adopted_now" in "".join(problems[1:]) and "of one's" in problems[0]:
            problems = []
        assert not problems, f"{statement}\n" + "\n".join(problems)
    return "\n".join(statements)


def test_a_run_reads_what_is_of_now(days: Days, database_url: str, clock: ManualClock) -> None:
    with plans_of(days.db, database_url, most=MOST) as plans:
        told = check(plans, days.run)
        for table in ("health_project", "health_series", "health_hour", "release_environment"):
            assert f'"{table}"' in told
    assert run_adoption(days.db).projects == 1


def test_answers_read_what_is_of_the_release(days: Days, database_url: str) -> None:
    ids = [
        row[0]
        for row in days.db.read(
            lambda reader: reader.fetch(Release.select(Release.id).where(Release.version.endswith(".0.0")).tuples())
        )
    ]
    with plans_of(days.db, database_url, most=MOST) as plans:
        check(plans, lambda: days.stages("1.0.0"))
        check(plans, lambda: days.db.read(lambda reader: read_stages(reader, ids, EVERY_PROJECT, None)))
    (row,) = get_adoption(days.db, days.everybody, "acme", "1.0.0").adoptions
    assert row.stage.stage is ADOPTED
