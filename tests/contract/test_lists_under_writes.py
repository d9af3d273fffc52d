"""Lists that are read page by page while releases come, go and change: what is there all along is shown just once."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from store.database import Database
from store.paging import Page, PageRequest, Position
from store.releases.delete import delete_release
from store.releases.details import ReleaseDetails
from store.releases.drain import drain_deleted_releases
from store.releases.rows import ReleaseStatus
from store.releases.update import ReleaseChanges, update_release
from store.search.filters import ReleaseFilter
from store.search.list import list_releases
from store.search.orders import Order, ReleaseSort
from tests.clocks import ManualClock
from tests.contract.acme import Acme

KEPT: Final = 24
PROJECTS: Final = (("web",), ("api",), ("web", "api"))
ORDERS: Final = [Order(sort, descending=descending) for sort in ReleaseSort for descending in (True, False)]
LISTS: Final = {
    "every": ReleaseFilter(every_project=True),
    "some": ReleaseFilter(projects=("web", "api")),
    "found": ReleaseFilter("kept OR coming"),
}


@pytest.fixture
def acme(database: Database, clock: ManualClock) -> Acme:
    """Releases that are there all along, with others between them that will go."""
    acme = Acme(database, "api", "web")
    for number in range(KEPT):
        acme.release(version_of("kept", number), *PROJECTS[number % 3])
        clock.advance(seconds=1)
        acme.release(version_of("going", number), *PROJECTS[number % 3])
        clock.advance(seconds=number % 2)
    return acme


def version_of(word: str, number: int) -> str:
    """Every third is no semantic version; of the others every second has a build."""
    if number % 3 == 0:
        return f"{number}-{word}"
    return f"{word}@1.{number}" + (f"+{number}" if number % 2 else "")


def page_at(
    acme: Acme, wanted: ReleaseFilter, order: Order, request: PageRequest, *, flatten: bool
) -> Page[ReleaseDetails]:
    return list_releases(acme.db, acme.everybody, "acme", wanted, order=order, page=request, flatten=flatten).page


def kept_of(page: Page[ReleaseDetails]) -> list[tuple[str, ...]]:
    """The rows of a page that are of releases which stay as they are."""
    return [
        (item.release.version, *(project.slug for project in item.release.projects))
        for item in page.items
        if "kept" in item.release.version
    ]


class Writing:
    """Creates, deletes and archives releases other than those that stay, a few between any two pages."""

    def __init__(self, acme: Acme, clock: ManualClock, seed: int) -> None:
        self._acme = acme
        self._clock = clock
        self._random = random.Random(seed)
        self._going = [version_of("going", number) for number in range(KEPT)]
        self._random.shuffle(self._going)
        self._coming = 0

    def some(self) -> None:
        for _ in range(3):
            if self._going and self._random.random() < 0.5:
                self.remove(self._going.pop())
            else:
                self._coming += 1
                self._clock.advance(seconds=self._random.choice((0.000001, 1, -3)))
                version = version_of("coming", self._random.randrange(1000) * 1000 + self._coming)
                self._acme.release(version, *self._random.choice(PROJECTS))

    def remove(self, version: str) -> None:
        acme = self._acme
        if self._random.random() < 0.5:
            delete_release(acme.db, acme.everybody, "acme", version)
        else:
            archived = ReleaseChanges(frozenset({"status"}), status=ReleaseStatus.ARCHIVED)
            update_release(acme.db, acme.everybody, "acme", version, changes=archived)


@pytest.mark.parametrize("wanted", LISTS.values(), ids=LISTS.keys())
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.sort.name}-{'down' if order.descending else 'up'}")
def test_what_stays_is_shown_once_there_and_back_whatever_is_written_between_pages(
    acme: Acme, clock: ManualClock, order: Order, wanted: ReleaseFilter
) -> None:
    flatten = order.sort % 2 == 0
    expected = kept_of(page_at(acme, wanted, order, PageRequest(1000), flatten=flatten))
    assert len(set(expected)) == len(expected) >= KEPT
    writing = Writing(acme, clock, seed=order.sort)

    page = page_at(acme, wanted, order, PageRequest(7), flatten=flatten)
    forward = kept_of(page)
    while page.next is not None:
        writing.some()
        page = page_at(acme, wanted, order, PageRequest(7, page.next), flatten=flatten)
        forward += kept_of(page)
    assert forward == expected

    backward = kept_of(page)
    while page.previous is not None:
        writing.some()
        page = page_at(acme, wanted, order, PageRequest(5, page.previous), flatten=flatten)
        backward = kept_of(page) + backward
    assert backward == expected


def write_until(ended: threading.Event, acme: Acme, clock: ManualClock) -> None:
    writing = Writing(acme, clock, seed=1)
    for _ in range(200):  # a list that grows for ever at its end would never be read to it
        if ended.is_set():
            return
        writing.some()
        drain_deleted_releases(acme.db, stopped=ended.is_set)


def read_all(acme: Acme, order: Order) -> list[tuple[str, ...]]:
    shown: list[tuple[str, ...]] = []
    position: Position | None = None
    while True:
        page = page_at(acme, LISTS["some"], order, PageRequest(5, position), flatten=False)
        shown += kept_of(page)
        position = page.next
        if position is None:
            return shown


def test_what_stays_is_shown_once_to_several_readers_beside_a_writer(acme: Acme, clock: ManualClock) -> None:
    whole = PageRequest(1000)
    expected = {order: kept_of(page_at(acme, LISTS["some"], order, whole, flatten=False)) for order in ORDERS}
    ended = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        writer = pool.submit(write_until, ended, acme, clock)
        readers = {order: pool.submit(read_all, acme, order) for order in ORDERS}
        try:
            shown = {order: reader.result() for order, reader in readers.items()}
        finally:
            ended.set()
        writer.result()
    assert shown == expected
