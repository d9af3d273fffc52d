"""Whatever a list is sorted by, a page reads a stretch of an index: no table, and not all of the list to sort it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, Final

import apsw
import pytest

from store.database import Database
from store.paging import PageRequest, Position
from store.releases.rows import ReleaseStatus
from store.search.filters import ReleaseFilter
from store.search.list import list_releases
from store.search.orders import FIRST_ID, LAST_ID, SORTS, Order, ReleaseSort
from tests.contract.plans import executed, plans_of
from tests.search.dataset import Dataset, write_dataset
from tests.search.evaluator import MINUTE, Release

RELEASES: Final = 4000
PAGE: Final = 10
MOST: Final = 32 * (PAGE + 1)
"""Rows that any step of a plan may take: what is asked for, in each of the ranges that are merged."""
STEPS: Final = 3_000
"""Of SQLite's machine, for the rows of one range; a sort of all releases takes ten times as many."""
FIRST: Final = 1_790_000_000_000_000

TABLE_SCAN: Final = re.compile(r"SCAN t\d")
"""Subqueries, which are limited, have other names."""

PROJECTS: Final = ("dense", "sparse", *(f"some{number}" for number in range(30)))
BOTH: Final = (ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED)
LISTS: Final = {
    "every project": ReleaseFilter(every_project=True),
    "every project, both statuses": ReleaseFilter(every_project=True, statuses=BOTH),
    "a dense project": ReleaseFilter(projects=("dense",)),
    "a sparse project": ReleaseFilter(projects=("sparse",)),
    "two projects, both statuses": ReleaseFilter(projects=("dense", "sparse"), statuses=BOTH),
    "all projects by name": ReleaseFilter(projects=PROJECTS),
    "all projects by name, both statuses": ReleaseFilter(projects=PROJECTS, statuses=BOTH),
}

RANGES: Final = {name: max(1, len(wanted.projects)) * max(1, len(wanted.statuses)) for name, wanted in LISTS.items()}


def releases() -> Iterator[Release]:
    """Half of them semantic, a third with a build; all sorts of one order have many that are alike."""
    for number in range(RELEASES):
        yield {
            "id": number,
            "version": f"app@1.{number}.0" + (f"+{number}" if number % 3 else "") if number % 2 else f"tag {number}",
            "status": "open" if number % 10 else "archived",
            "created": FIRST + number * MINUTE,
            "released": FIRST + number % 50 * MINUTE if number % 3 else None,
            "ref": "",
            "owner": "",
            "labels": {},
            "projects": ["dense", f"some{number % 30}"] if number % 97 else ["dense", "sparse"],
            "commits": [
                {"repository": "shop", "id": f"{each:08x}", "name": None, "email": None, "fixes": []}
                for each in range(number % 3)
            ],
            "heads": [],
            "deploys": [
                {"environment": "production", "finished": FIRST + number * MINUTE, "projects": ["dense"]}
                for _ in range(number % 2)
            ],
            "files": [],
            "stays": [],
        }


def pages(database: Database, data: Dataset, wanted: ReleaseFilter, order: Order, *, flatten: bool) -> None:
    """The first two pages of a list, the last two, and back."""

    def page(position: Position | None) -> tuple[int, Position | None, Position | None]:
        listed = list_releases(
            database,
            data.access(),
            data.slug,
            wanted,
            order=order,
            page=PageRequest(PAGE, position),
            flatten=flatten,
        )
        return len(listed.page.items), listed.page.next, listed.page.previous

    count, following, _ = page(None)
    assert count == PAGE
    count, following, preceding = page(following)
    assert count == PAGE
    assert page(preceding)[0] == PAGE
    count, _, preceding = page(Position((database.clock.now_us(), *end_of(order, flatten=flatten)), backward=True))
    assert count == PAGE
    assert page(preceding)[0] == PAGE


def end_of(order: Order, *, flatten: bool) -> tuple[Any, ...]:
    """Where a list ends: among the releases without such a value, where that is possible."""
    column = SORTS[order.sort]
    edge = FIRST_ID if order.descending else LAST_ID
    place = (edge, edge) if flatten else (edge,)
    if column is None:
        return place
    last = column.last if column.missing is None else column.missing
    return (column.first if order.descending else last, *place)


@pytest.mark.parametrize("flatten", [False, True], ids=["releases", "flattened"])
def test_a_page_of_any_list_reads_a_stretch_of_an_index(
    database: Database, database_url: str, *, flatten: bool
) -> None:
    data = write_dataset(database, releases(), projects=PROJECTS)
    with plans_of(database, database_url, most=MOST) as plans:
        for (name, wanted), sort, descending in product(LISTS.items(), ReleaseSort, (True, False)):
            order = Order(sort, descending=descending)
            read = executed(partial(pages, database, data, wanted, order, flatten=flatten))
            for statement, values in read.items():
                if database.engine == "sqlite":
                    problems = costly(database_url, statement, values, most=STEPS * RANGES[name])
                else:
                    problems = plans.problems(statement, values)
                assert not problems, f"{name}, {order}: {statement}\n" + "\n".join(problems)


def costly(database_url: str, statement: str, values: Sequence[Any], *, most: int) -> list[str]:
    """The tables that SQLite reads from beginning to end for a statement; and its steps, where they are too many."""
    steps = 0

    def told(event: dict[str, Any]) -> None:
        nonlocal steps
        steps += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

    connection = apsw.Connection(database_url.removeprefix("sqlite://"), flags=apsw.SQLITE_OPEN_READONLY)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, told)
    connection.execute(statement, values).fetchall()
    connection.close()
    return [line for line in plan if TABLE_SCAN.match(line)] + ([f"{steps} steps"] if steps > most else [])


def test_a_sort_of_all_releases_would_be_found(database: Database, database_url: str) -> None:
    """What these tests look for, there to be seen: an order that no index has."""
    data = write_dataset(database, releases(), projects=PROJECTS)
    statement = (
        f"SELECT id FROM release WHERE organization_id = {'?' if database.engine == 'sqlite' else '%s'}"
        " ORDER BY file_count, url, id LIMIT 11"
    )
    with plans_of(database, database_url, most=MOST) as plans:
        problems = plans.problems(statement, (data.organization_id,))
    if database.engine == "sqlite":
        problems = costly(database_url, statement, (data.organization_id,), most=STEPS)
    assert problems
