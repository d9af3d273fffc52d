"""Which releases hold a commit: what FindReleasesByCommit costs as histories grow, on both databases.

Histories of releases of 100 commits each, one database a size, are written past the product. Commits chosen at random
are then looked for, in turns: by their ids in full and by the first 8 characters, through the wire and by the function
of the store that serves it. Beside them a commit that thousands of releases hold, whose histories are cumulative.

    python -m bench.whereabouts [--sizes 10000 100000 400000] [--calls 500] [--holders 5000] [--sqlite-only]
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, NamedTuple

from releaseregistry.v1 import release_service_pb2_grpc, releases_pb2

from bench.bulk import PARENT, SLUG, History, Installation, Times, installations
from bench.machine import load, machine
from store.database import Database, Engine
from store.paging import PageRequest
from store.releases.holding import find_releases_by_commit
from tests.contract.callers import OPERATOR

COMMITS_EACH: Final = 100
SHORT: Final = 8
FULL_KEY, BEGINNING = "id in full", "beginning"
Finder = Callable[[str], int]


class Sought(NamedTuple):
    """Commits of one installation that are looked for."""

    keys: Sequence[str]
    held_by_all: str

    def key(self, number: int) -> str:
        """One of them."""
        return self.keys[number % len(self.keys)]


def written(target: Installation, size: int, holders: int) -> Sought:
    """The history of so many commits, and a commit that so many releases of another package hold."""
    history = History(target, files=0, authors=50)
    keys = []
    for number in range(size // COMMITS_EACH):
        commits = history.commits(COMMITS_EACH)
        history.release(f"app@1.{number}.0", [commit_id for commit_id, _ in commits], project="web")
        keys += [key for _, key in commits]
    ((first_id, first_key),) = history.commits(1)
    for number in range(holders):
        newest = history.commits(1) if number % COMMITS_EACH == 0 else []
        history.release(f"all@1.{number}.0", [*(commit_id for commit_id, _ in newest), first_id], project="web")
    history.write()
    target.settle()
    begun = Counter(key[:SHORT] for key in keys)
    sought = [key for key in keys if begun[key[:SHORT]] == 1]
    random.Random(2).shuffle(sought)
    return Sought(sought, first_key)


def by_store(database: Database, key: str) -> int:
    """How many releases the page has that the function of the store finds."""
    return len(find_releases_by_commit(database, OPERATOR, SLUG, key, PageRequest(100)).page.items)


def by_rpc(stub: release_service_pb2_grpc.ReleaseServiceStub, metadata: Any, key: str) -> int:
    """The same through the wire."""
    request = releases_pb2.FindReleasesByCommitRequest(parent=PARENT, commit_id=key)
    return len(stub.FindReleasesByCommit(request, metadata=metadata).releases)


def seek(times: Times, way: str, places: dict[int, Sought], finders: Sequence[Finder], options: Any) -> None:
    """Looks for commits of each size, in turns."""
    for number in range(-20, options.calls):  # the first ones compile queries and fill caches
        took = Times() if number < 0 else times
        for (size, sought), find in zip(places.items(), finders, strict=True):
            key = sought.key(number)
            for how, text in ((FULL_KEY, key), (BEGINNING, key[:SHORT])):
                assert took.call(f"{size:,} commits, {how}, {way}", partial(find, text)) == 1
            if number % 10 == 0:
                name = f"{size:,} commits, one in {options.holders:,} releases, {way}"
                assert took.call(name, partial(find, sought.held_by_all)) == min(options.holders, 100)


def measure(engine: Engine, options: argparse.Namespace) -> None:
    """One kind of database."""
    times = Times()
    with installations(engine, len(options.sizes), projects=["web"], folder=options.folder) as targets:
        places = {
            size: written(target, size, options.holders) for size, target in zip(options.sizes, targets, strict=True)
        }
        print(f"{engine}: written; load {load():.1f}", flush=True)
        with ExitStack() as stack:
            databases = [stack.enter_context(target.database()) for target in targets]
            seek(times, "store", places, [partial(by_store, database) for database in databases], options)
        with ExitStack() as stack:
            finders = []
            for target in targets:
                stub = release_service_pb2_grpc.ReleaseServiceStub(stack.enter_context(target.served()))
                finders.append(partial(by_rpc, stub, target.metadata))
            seek(times, "RPC", places, finders, options)
    print(f"{engine}: measured; load {load():.1f}")
    times.tell()
    base, most = options.sizes[-2:]
    for way in ("store", "RPC"):
        for how in (FULL_KEY, BEGINNING):
            names = [f"{size:,} commits, {how}, {way}" for size in (most, base)]
            times.tell_growth(f"{how}, {way}: {most:,} / {base:,} commits, {engine}", *names, at_most=1.5)


def main() -> None:
    """Run, and print the times and how they grow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 400_000], help="numbers of commits")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--holders", type=int, default=5_000, help="releases that hold one commit")
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    parser.add_argument("--sqlite-only", action="store_true")
    options = parser.parse_args()
    print(machine())
    measure("sqlite", options)
    if not options.sqlite_only:
        measure("postgresql", options)


if __name__ == "__main__":
    main()
