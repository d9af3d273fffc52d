"""How the databases find what common queries ask for: by indexes, and no more of them than a page may look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw
import pytest

from store.database import Database
from store.paging import PageRequest
from store.search import candidates, find
from store.search.filters import ReleaseFilter, TimeSpan
from store.search.list import ListedReleases, list_releases
from store.search.orders import NEWEST_FIRST, Order, ReleaseSort
from tests.clocks import ManualClock
from tests.contract.plans import Plans, executed, plans_of
from tests.search.dataset import Dataset, write_dataset
from tests.search.evaluator import MINUTE, Release

RELEASES: Final = 6000
MOST: Final = 1500
"""Rows that any step of a plan may take."""
FIRST: Final = 1_790_000_000_000_000

QUERIES: Final = (
    "release.version:>=1.1000 release.version:<1.1300",
    "release.version:>=1.1000 release.version:<1.4900",
    "release.version:1.401.*",
    "release.version:web@1.*",
    "release.version:1.501",
    "release.package:web",
    "release.package:package3",
    "release.package:[package3, package5]",
    "release:web@1.1*",
    "release:web@1.12+12",
    "release.build:>5900",
    "release.build:77",
    "author:main@example.com",
    "author:author7@example.com",
    "author:author1*",
    "commit:000004d",
    "commit:000004d2",
    "label.team:payments",
    "label.team:team7",
    "label.team:[payments, team7]",
    "has:label.team",
    "ref:main",
    "ref:release/7",
    'owner:"owner 7"',
    "reference:web-9",
    "repository:shop",
    "repository:seldom",
    "environment:production",
    "deployed.production:-1d",
    "label.team:team7 OR author:author7@example.com",
    "label.team:payments release.version:<1.300",
    "label.team:payments !ref:main",
    "project:sparse label.team:payments",
    "commits:>0",
    "release.created:-1h",
)
"""Of what most releases have, of what some have and of what hardly any has."""

NOWHERE: Final = ("zzz", "file:zzz*", "owner:*zzz*")
"""What is found nowhere, and no index tells so: all that a page may look at is looked at."""

ORDERS: Final = (NEWEST_FIRST, Order(ReleaseSort.VERSION, descending=False), Order(ReleaseSort.NAME))


@pytest.fixture(autouse=True)
def _few_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 6,000 releases, so few that it shows where more are."""
    for name, value in {"FEW": 500, "MANY": MOST - 1, "QUITE_MANY": MOST - 1, "PATIENCE": 200}.items():
        monkeypatch.setattr(candidates, name, value)
    monkeypatch.setattr(find, "MOST_TESTED", 300)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(FIRST + RELEASES * MINUTE)


def releases() -> Iterator[Release]:
    for number in range(RELEASES):
        project = "dense" if number % 53 else "sparse"
        often = number % 2 == 0
        author = "main@example.com" if often else f"author{number % 2000}@example.com"
        yield {
            "id": number,
            "version": f"{'web' if often else f'package{number % 97}'}@1.{number}+{number}",
            "status": "open" if number % 10 else "archived",
            "created": FIRST + number * MINUTE,
            "released": FIRST + number * MINUTE if number % 3 else None,
            "ref": "main" if often else f"release/{number % 200}",
            "owner": f"Owner {number % 500}",
            "labels": {"team": "payments" if number % 5 < 2 else f"team{number % 200}"},
            "projects": [project],
            "commits": [
                {
                    "repository": "shop" if number % 41 else "seldom",
                    "id": f"{number:08x}",
                    "name": None,
                    "email": author,
                    "fixes": [f"WEB-{number % 300}"] if number % 3 == 0 else [],
                }
            ],
            "heads": [],
            "deploys": [
                {"environment": "production", "finished": FIRST + number * MINUTE, "projects": [project]}
                for _ in range(1 if number % 4 == 0 else 0)
            ],
            "files": [{"name": f"app{number % 100}.js", "project": None}],
            "stays": [],
        }


def check(database: Database, plans: Plans, data: Dataset, wanted: ReleaseFilter, order: Order) -> ListedReleases:
    """A page, of which every statement was carried out well."""
    found: list[ListedReleases] = []

    def read() -> None:
        found.append(list_releases(database, data.access(), data.slug, wanted, order=order, page=PageRequest(10)))

    for statement, values in executed(read).items():
        problems = plans.problems(statement, values)
        assert not problems, f"{wanted}, {order}: {statement}\n" + "\n".join(problems)
    return found[0]


def test_pages_of_common_queries_read_indexes_and_little_of_them(database: Database, database_url: str) -> None:
    data = write_dataset(database, releases(), projects=("dense", "sparse"))
    with plans_of(database, database_url, most=MOST) as plans:
        for query in QUERIES:
            for order in ORDERS:
                listed = check(database, plans, data, ReleaseFilter(query), order)
                assert listed.page.items, query
                assert not listed.incomplete, query
                check(database, plans, data, ReleaseFilter(query, projects=("sparse",)), order)


def test_a_page_that_finds_nothing_reads_as_much_as_it_may_and_no_more(database: Database, database_url: str) -> None:
    data = write_dataset(database, releases(), projects=("dense", "sparse"))
    with plans_of(database, database_url, most=MOST) as plans:
        for query in NOWHERE:
            for order in ORDERS:
                assert not check(database, plans, data, ReleaseFilter(query), order).page.items


def test_pages_of_filters_beside_the_query_read_indexes_and_little_of_them(
    database: Database, database_url: str
) -> None:
    data = write_dataset(database, releases(), projects=("dense", "sparse"))
    hour = TimeSpan(FIRST + 100 * MINUTE, FIRST + 160 * MINUTE)
    filters = (
        ReleaseFilter(environments=("production",)),
        ReleaseFilter(created=hour),
        ReleaseFilter(released=hour),
        ReleaseFilter(created=TimeSpan(ago_us=300 * MINUTE), environments=("production",)),
    )
    with plans_of(database, database_url, most=MOST) as plans:
        for wanted in filters:
            for sort in ReleaseSort:
                listed = check(database, plans, data, wanted, Order(sort))
                assert listed.page.items, wanted
                assert not listed.incomplete, wanted


def test_a_beginning_is_sought_where_it_begins(sqlite: Database, tmp_path: Path) -> None:
    """Of two lower bounds SQLite seeks by the first that it reads: the plan is the same, not the way to it."""
    data = write_dataset(sqlite, releases(), projects=("dense", "sparse"))

    def steps(query: str) -> int:
        def read() -> None:
            listed = list_releases(sqlite, data.access(), data.slug, ReleaseFilter(query), page=PageRequest(10))
            assert listed.page.items

        counted = 0

        def count() -> bool:
            nonlocal counted
            counted += 1
            return False

        statements = executed(read)
        file = apsw.Connection(f"{tmp_path}/registry.db", flags=apsw.SQLITE_OPEN_READONLY)
        file.set_progress_handler(count, 10)
        for sql, values in statements.items():
            if "release_package" in str(file.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()):
                file.execute(sql, values).fetchall()
        file.close()
        return counted

    assert 0 < steps("release.package:package9*") < 2 * steps("release.package:package1*")
