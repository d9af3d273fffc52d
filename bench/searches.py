"""Lists and searches of releases: what a page costs as an installation grows, on both databases.

The same kinds of releases in each, a hundred times as many in the largest: see bench/population.py. Asked for are the
first page and pages in the middle of each order, of every project, of a dense and of a sparse one; and the first page
of what queries find. Each is asked of the function of the store that serves it, and through the wire; calls of the
sizes take turns. The goals are for the 99th percentile.

    python -m bench.searches [--sizes 10000 100000 1000000] [--calls 1000] [--page-size 50] [--match "label*"]
                             [--folder kept] [--engines sqlite postgresql] [--ways store RPC] [--processor]

Data in `--folder` is kept for the next time: some 7 GB, which take five minutes to write. In the table are
milliseconds, of half and of 99 in 100 of the calls; how many times as long the largest size took as the smallest; and
how many releases the pages had, where that is fewer than they could have had. With `--processor` the times of the
store on SQLite, where the thread that calls does it all, are the processor's, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fnmatch import fnmatch
from functools import partial
from itertools import chain
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from releaseregistry.v1 import release_service_pb2_grpc, releases_pb2

from bench.bulk import SLUG, Times
from bench.figures import keep, tell
from bench.kept import populated
from bench.machine import load, machine
from bench.search_cases import VARIETY, Case, Samples, order_cases, search_cases
from server.edge.calls import Call
from server.mapping.filters import order_of, release_filter
from store.access.credentials import authenticate
from store.access.operators import ensure_operator_token
from store.database import Database, Engine
from store.paging import PageRequest, Position, open_page_tokens
from store.search.filters import ReleaseFilter
from store.search.health_orders import HealthOrder
from store.search.list import list_releases
from store.search.orders import Order
from tests.contract.callers import OPERATOR
from tests.server_process import OPERATOR_TOKEN

METHOD: Final = "/releaseregistry.v1.ReleaseService/ListReleases"
WARMING: Final = 20
"""Calls of each case that do not count: queries are compiled, caches filled."""


class Asked(NamedTuple):
    """One call of a case: as the store takes it, and as the wire does."""

    wanted: ReleaseFilter
    order: Order | HealthOrder
    page: PageRequest
    count_total: bool
    request: releases_pb2.ListReleasesRequest


class Answered(NamedTuple):
    """How many releases there were on the page, and whether there would have been more to look at."""

    releases: int
    incomplete: bool


Ask = Callable[[Asked], Answered]


def asked(database: Database, samples: Samples, cases: Sequence[Case], page_size: int) -> dict[str, list[Asked]]:
    """The calls of each case."""
    context: Any = SimpleNamespace()
    ensure_operator_token(database, OPERATOR_TOKEN)
    access = database.read(lambda reader: authenticate(reader, OPERATOR_TOKEN, database.clock.now_us()))
    call = Call(
        access=access,
        method=METHOD,
        user_agent="",
        request_id="",
        context=context,
        page_tokens=open_page_tokens(database),
        deadline=None,
        end=lambda _: None,
    )
    now_us = database.clock.now_us()

    def one(case: Case, number: int) -> Asked:
        request = case.make(samples, number)
        position = None if case.place is None else Position((now_us, *case.place(samples, number)))
        wanted, order = release_filter(request, SLUG), order_of(request)
        # The token that the server would have made, had somebody come this far.
        request.page_token = call.page_token(request, position)
        request.page_size = page_size
        return Asked(wanted, order, PageRequest(page_size, position), request.count_total, request)

    return {case.name: [one(case, number) for number in range(VARIETY)] for case in cases}


def by_store(database: Database, one: Asked) -> Answered:
    """What the function of the store finds."""
    found = list_releases(
        database, OPERATOR, SLUG, one.wanted, order=one.order, page=one.page, count_total=one.count_total
    )
    return Answered(len(found.page.items), found.incomplete)


def by_rpc(stub: release_service_pb2_grpc.ReleaseServiceStub, metadata: Any, one: Asked) -> Answered:
    """The same through the wire."""
    answer = stub.ListReleases(one.request, metadata=metadata)
    return Answered(len(answer.releases), answer.incomplete)


class Table:
    """Times of the cases of one way of asking, in a line a case."""

    def __init__(self, engine: Engine, way: str, sizes: Sequence[int], page_size: int) -> None:
        self._engine = engine
        self._way = way
        self._sizes = sizes
        self._page_size = page_size
        self._missed: list[str] = []
        self._late: dict[float, list[float]] = {}
        heads = "".join(f"{f'{size:,}':>16}" for size in sizes)
        print(f"{way:44}{heads}{'p50':>8}{'p99':>6}", flush=True)

    def tell(self, case: Case, times: Times, answered: dict[int, list[Answered]]) -> None:
        """Prints the line of a case."""
        names = [str(size) for size in self._sizes]
        figures = "".join(f"{times.at(name, 0.5) * 1000:9.2f}{times.at(name, 0.99) * 1000:7.2f}" for name in names)
        middle, late = (times.at(names[-1], share) / times.at(names[0], share) for share in (0.5, 0.99))
        goal = ""
        if case.at_most is not None:
            at_most = case.at_most[self._way != "store"]
            self._late.setdefault(at_most, []).append(late)
            goal = f" <= {at_most:g}"
            if late > at_most:
                goal += " MISSED"
                self._missed.append(case.name)
        print(f"{case.name:44}{figures}{middle:8.2f}{late:6.2f}{goal}{self._pages(answered)}", flush=True)

    def _pages(self, answered: dict[int, list[Answered]]) -> str:
        """What the pages had, unless all were full."""
        counts = [[answer.releases for answer in some] for some in answered.values()]
        if all(min(some) == self._page_size for some in counts):
            return ""
        told = " / ".join(f"{min(some)}-{max(some)}" if min(some) < max(some) else f"{max(some)}" for some in counts)
        stopped = [sum(answer.incomplete for answer in some) for some in answered.values()]
        of_them = f", incomplete {' / '.join(map(str, stopped))} of {VARIETY}" if any(stopped) else ""
        return f"  pages of {told}{of_them}"

    def end(self) -> None:
        """Prints how the p99 grew in the middle and in the worst of the cases with a goal, and what was missed."""
        for at_most, late in self._late.items():
            growth = f"p99 of ListReleases, {self._sizes[-1]:,} / {self._sizes[0]:,} releases, {self._way}"
            tell(f"{growth}, {self._engine}, slowest of {len(late)} cases", max(late), at_most=at_most)
            keep(f"{growth}, {self._engine}, middle of {len(late)} cases", late, unit="")
        print(f"{self._way}: {f'MISSED {len(self._missed)}' if self._missed else 'all goals reached'}", flush=True)


def measure_way(
    engine: Engine,
    way: str,
    cases: Sequence[Case],
    calls: dict[int, dict[str, list[Asked]]],
    asks: dict[int, Ask],
    options: Any,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Every case, the sizes in turns."""
    table = Table(engine, way, list(calls), options.page_size)
    for case in cases:
        times = Times(clock)
        answered = {size: [ask(one) for one in calls[size][case.name]] for size, ask in asks.items()}
        turns = list(asks.items())
        for number in range(-WARMING, options.calls if case.at_most else options.calls // 5):
            took = Times(clock) if number < 0 else times
            turns.append(turns.pop(0))
            for size, ask in turns:
                took.call(str(size), partial(ask, calls[size][case.name][number % VARIETY]))
        table.tell(case, times, answered)
    table.end()


def measure(engine: Engine, cases: Sequence[Case], options: argparse.Namespace) -> None:
    """One kind of database."""
    with populated(engine, options.sizes, folder=options.folder) as targets:
        print(f"== {engine}; load {load():.1f}", flush=True)
        calls: dict[int, dict[str, list[Asked]]] = {}
        asks: dict[int, Ask] = {}
        with ExitStack() as stack:
            for size, target in targets.items():
                database = stack.enter_context(target.database())
                calls[size] = asked(database, Samples(target, database, size), cases, options.page_size)
                asks[size] = partial(by_store, database)
            if "store" in options.ways:
                clock = time.thread_time if options.processor and engine == "sqlite" else time.perf_counter
                measure_way(engine, "store", cases, calls, asks, options, clock)
        if "RPC" in options.ways:
            with ExitStack() as stack:
                for size, target in targets.items():
                    stub = release_service_pb2_grpc.ReleaseServiceStub(stack.enter_context(target.served()))
                    asks[size] = partial(by_rpc, stub, target.metadata)
                measure_way(engine, "RPC", cases, calls, asks, options)
        print(f"{engine}: measured; load {load():.1f}")


def main() -> None:
    """Run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="numbers of releases"
    )
    parser.add_argument("--calls", type=int, default=1000, help="of each case, a fifth where there is no goal")
    parser.add_argument("--page-size", type=int, default=50)
    parser.add_argument("--match", default="*", help="only cases whose name is like this")
    parser.add_argument("--folder", default=None, help="where the data is kept; a temporary folder when not given")
    parser.add_argument("--engines", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--ways", nargs="+", default=["store", "RPC"], choices=["store", "RPC"])
    parser.add_argument("--processor", action="store_true", help="processor time of the store on SQLite")
    options = parser.parse_args()
    cases = [case for case in chain(order_cases(), search_cases()) if fnmatch(case.name, options.match)]
    print(machine())
    for engine in options.engines:
        measure(engine, cases, options)


if __name__ == "__main__":
    main()
