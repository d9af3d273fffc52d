"""Lists by release health read no table from its beginning to its end: by adoption a stretch of an index, by sessions
what the projects of the list had in the period."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Final

import pytest

from store.database import Database
from store.health.windows import Period
from store.paging import PageRequest
from store.search.filters import ReleaseFilter
from store.search.health_orders import HealthOrder, HealthSort
from store.search.list import list_releases
from tests.clocks import ManualClock
from tests.contract.plans import executed, plans_of
from tests.contract.test_plans_of_lists import PROJECTS, STEPS, costly
from tests.search.dataset import Dataset, write_dataset
from tests.search.evaluator import MINUTE, Release
from tests.search.sessions import Session, write_sessions
from tests.search.small_set import release
from tests.search.strategies import DAY, NOW

RELEASES: Final = 4000
RECENT: Final = 300
"""Releases with sessions in the last two weeks: so many have any of late, of however many there are."""
PAGE: Final = 10
MOST: Final = 32 * 64
"""Rows that any step of a plan may take: as many as are read at least, in each of the ranges that are merged."""

LISTS: Final = {
    "every project": ReleaseFilter(every_project=True, environments=("production",)),
    "a dense project": ReleaseFilter(projects=("dense",), environments=("production",)),
    "a sparse project": ReleaseFilter(projects=("sparse",), environments=("production",)),
    "all projects by name": ReleaseFilter(projects=PROJECTS, environments=("production",)),
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def releases() -> Iterator[Release]:
    """All were in production, half of them adopted there."""
    for number in range(RELEASES):
        projects = ["dense", f"some{number % 30}"] if number % 97 else ["dense", "sparse"]
        stays = [
            {
                "environment": "production",
                "project": project,
                "adopted": NOW - (RELEASES - number) * MINUTE if number % 2 else None,
                "unadopted": NOW - number if number % 3 else None,
            }
            for project in projects
        ]
        yield release(
            f"app@1.{number}.0", id=number, created=NOW - (RELEASES - number) * MINUTE, projects=projects, stays=stays
        )


def sessions() -> Iterator[Session]:
    """Most of the releases had their last sessions long ago."""
    for number in range(RELEASES):
        recent = number >= RELEASES - RECENT
        yield {
            "pair": (number, "dense"),
            "environment": "production",
            "time": NOW - (number % 13) * DAY - (0 if recent else 60 * DAY),
            "user": number,
            "crashed": number % 5 == 0,
        }


def pages(database: Database, data: Dataset, wanted: ReleaseFilter, order: HealthOrder, *, flatten: bool) -> None:
    """The first two pages of a list, and back."""
    position = None
    for _ in range(3):
        listed = list_releases(
            database,
            data.access(),
            data.slug,
            wanted,
            order=order,
            page=PageRequest(PAGE, position),
            flatten=flatten,
        )
        assert len(listed.page.items) == PAGE
        assert listed.page.next is not None
        position = listed.page.next if position is None else listed.page.previous


def problems_of(
    database: Database, database_url: str, data: Dataset, orders: list[tuple[HealthOrder, bool]], *, most: int
) -> list[str]:
    found = []
    with plans_of(database, database_url, most=most) as plans:
        for (name, wanted), (order, flatten) in product(LISTS.items(), orders):
            read = executed(partial(pages, database, data, wanted, order, flatten=flatten))
            for statement, values in read.items():
                if database.engine == "sqlite":
                    problems = costly(database_url, statement, values, most=STEPS * 64)
                else:
                    problems = plans.problems(statement, values)
                found += [f"{name}, {order}: {statement}", *problems] if problems else []
    return found


def test_a_page_by_adoption_reads_a_stretch_of_an_index(database: Database, database_url: str) -> None:
    data = write_dataset(database, releases(), projects=PROJECTS)
    orders = [
        (HealthOrder(HealthSort.ADOPTION, descending=descending), flatten)
        for descending, flatten in product((True, False), (True, False))
    ]
    problems = problems_of(database, database_url, data, orders, most=MOST)
    assert not problems, "\n".join(problems)


def test_a_page_by_sessions_reads_what_the_period_had(database: Database, database_url: str) -> None:
    data = write_dataset(database, releases(), projects=PROJECTS)
    write_sessions(database, data, sessions())
    orders = [(HealthOrder(sort, period=Period.LAST_14D), True) for sort in HealthSort if sort < HealthSort.ADOPTION]
    problems = problems_of(database, database_url, data, orders, most=MOST)
    assert not problems, "\n".join(problems)
