"""How many releases a list has on all its pages together."""

from __future__ import annotations

from dataclasses import dataclass

from store.database import Reader
from store.search.candidates import candidates_of
from store.search.filters import Scope
from store.search.find import MOST_TESTED, Test, chunks, projects_of
from store.search.orders import NEWEST_FIRST, Direction, Place
from store.search.walks import IndexWalk


@dataclass(frozen=True, slots=True)
class Total:
    """How many there are; with `is_least`, or more."""

    count: int
    is_least: bool


def count_releases(reader: Reader, scope: Scope, *, flatten: bool = False) -> Total:
    """How many rows a list of the scope has, whatever its order: exactly, unless more than 10,000 releases would have
    to be looked at for it."""
    direction = Direction(NEWEST_FIRST)
    test = Test(reader, scope)
    candidates = IndexWalk(scope, direction) if test.lets_all_through else candidates_of(reader, scope, direction)
    count = 0
    start: Place | None = None
    ended = False
    for chunk, passing, ended in chunks(reader, candidates, test, None, MOST_TESTED):  # noqa: B007 - asked for below
        if flatten:
            count += sum(map(len, projects_of(reader, scope, [place[-1] for place in passing]).values()))
        else:
            count += len(passing)
        start = chunk[-1] if chunk else start
    # The last chunk was full: it may have been all there is.
    return Total(count, is_least=not ended and bool(candidates.after(reader, start, 1)))
