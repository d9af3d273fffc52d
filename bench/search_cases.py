"""What the benchmark of lists and searches asks for, and where it takes the values from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import peewee
from releaseregistry.v1 import releases_pb2 as pb

from bench.bulk import PARENT, Installation
from bench.population import (
    BUSY_AUTHORS,
    DENSE,
    FIRST_US,
    SPAN_US,
    SPARSE,
    TEAMS,
    busy_author,
    other_author,
    other_authors,
    team,
    train,
)
from server.mapping.times import to_timestamp
from store.commits.models import Commit, CommitReference
from store.database import Database
from store.releases.models import Release, ReleaseProject
from store.releases.rows import ReleaseStatus

VARIETY: Final = 50
"""So many requests of each case take turns, each for a value or a page of its own."""

_PROJECTS: Final = {"every project": None, "dense project": DENSE, "sparse project": SPARSE}
_COLUMNS: Final = {
    pb.RELEASE_SORT_DATE: None,
    pb.RELEASE_SORT_RELEASED: "sort_time",
    pb.RELEASE_SORT_VERSION: "version_key",
    pb.RELEASE_SORT_BUILD: "build_key",
    pb.RELEASE_SORT_NAME: "version",
    pb.RELEASE_SORT_COMMITS: "commit_count",
    pb.RELEASE_SORT_DEPLOYS: "deploy_count",
}
_ASCENDING: Final = (pb.RELEASE_SORT_VERSION, pb.RELEASE_SORT_BUILD)
"""Releases without come last in either direction: both are measured."""
_MIDDLE, _HIGH = 0.5, 0.05
"""Which share of a list lies above the places where middle pages begin. Most releases have neither version nor build:
in the lists ascending by these the pages lie higher, among those that have."""

_DAY_US: Final = 24 * 3600 * 1_000_000

Place = tuple[Any, ...]


class Samples:
    """What to ask one installation for: its i-th commit, page, and so on."""

    def __init__(self, target: Installation, database: Database, releases: int) -> None:
        self.releases: Final = releases
        self.projects: Final = target.projects
        self._organization_id: Final = target.organization.id
        self._database: Final = database
        draw = random.Random(releases)
        beginnings = [f"{draw.getrandbits(64):016x}" for _ in range(VARIETY)]
        self.commits: Final = [self._above(Commit, "key", beginning) for beginning in beginnings]
        self.hashes: Final = [self._above(Release, "version", beginning) for beginning in beginnings]
        query = CommitReference.select(CommitReference.reference).limit(VARIETY).tuples()
        self.references: Final = [text for (text,) in self._fetch(query)]
        self._places: dict[Any, Sequence[Place]] = {}

    def places(self, sort: pb.ReleaseSort, project: str | None, share: float) -> Sequence[Place]:
        """Places in a list of open releases as positions have them: such a share below its top, and from there on."""
        known = sort, project, share
        if known not in self._places:
            self._places[known] = self._around(sort, project, share)
        return self._places[known]

    def _above(self, model: Any, name: str, least: str) -> str:
        """The lowest text that is not below this."""
        column = getattr(model, name)
        query = model.select(column).where(model.organization_id == self._organization_id, column >= least)
        rows = self._fetch(query.order_by(column).limit(1).tuples())
        return str(rows[0][0]) if rows else least

    def _around(self, sort: pb.ReleaseSort, project: str | None, share: float) -> Sequence[Place]:
        model: Any = Release if project is None else ReleaseProject
        if project is None:
            id_column, chosen = Release.id, Release.organization_id == self._organization_id
        else:
            id_column, chosen = ReleaseProject.release_id, ReleaseProject.project_id == self.projects[project]
        name = _COLUMNS[sort]
        columns = [id_column] if name is None else [getattr(model, name), id_column]
        chosen &= model.status == ReleaseStatus.OPEN
        ((count,),) = self._fetch(model.select(peewee.fn.COUNT(peewee.SQL("*"))).where(chosen).tuples())
        listed = model.select(*columns).where(chosen).order_by(*[column.desc() for column in columns]).tuples()
        some = self._fetch(listed.offset(int(count * share)).limit(max(count // 100, 1)))
        return some[:: max(len(some) // VARIETY, 1)][:VARIETY]

    def _fetch(self, query: Any) -> Sequence[Any]:
        return self._database.read(lambda reader: reader.fetch(query))


Request = pb.ListReleasesRequest
Make = Callable[[Samples, int], Request]


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked for, the i-th time, and behind which place; and how many times as long a call may take with the
    most releases as with the fewest, of the store and through the wire. None: there is no goal."""

    name: str
    make: Make
    place: Callable[[Samples, int], Place] | None = None
    at_most: tuple[float, float] | None = None


def order_cases() -> Iterator[Case]:
    """The first page and middle ones of each order, of every project, a dense and a sparse one."""
    for sort in _COLUMNS:
        name = pb.ReleaseSort.Name(sort).removeprefix("RELEASE_SORT_").lower()
        for direction in (pb.SORT_DIRECTION_UNSPECIFIED, pb.SORT_DIRECTION_ASCENDING):
            rising = direction == pb.SORT_DIRECTION_ASCENDING
            if rising and sort not in _ASCENDING:
                continue
            share = _HIGH if rising else _MIDDLE
            for where, project in _PROJECTS.items():
                base = Request(parent=PARENT, sort=sort, direction=direction)
                base.projects.extend([f"{PARENT}/projects/{project}"] if project else [])
                place = partial(_place, sort, project, share)
                listed = f"{name}{' ascending' if rising else ''}, {where}"
                yield Case(f"{listed}, first page", partial(_same, base), at_most=(2.0, 1.5))
                yield Case(f"{listed}, middle page", partial(_same, base), place, at_most=(2.0, 1.5))


def search_cases() -> Iterator[Case]:
    """The first page of what queries find: by what few releases have, and by what many have."""
    for name, write in _INDEXED.items():
        yield Case(name, partial(_queried, write), at_most=(3.0, 3.0))
    for name, write in _OTHERS.items():
        yield Case(name, partial(_queried, write))
    yield Case("deployed to one environment", _deployed, at_most=(3.0, 3.0))
    yield Case("created within a day", _created, at_most=(3.0, 3.0))
    for name in ("label, few", "label, many"):
        write = _INDEXED[name]
        yield Case(f"{name}, by version", partial(_queried, write, sort=pb.RELEASE_SORT_VERSION))
        yield Case(f"{name}, in a sparse project", partial(_queried, write, project=SPARSE))
    yield Case("label, many, all counted", partial(_queried, _INDEXED["label, many"], count_total=True))
    yield Case("every release, all counted", partial(_queried, lambda *_: "", count_total=True))


def _same(base: Request, _samples: Samples, _number: int) -> Request:
    request = Request()
    request.CopyFrom(base)
    return request


def _place(sort: pb.ReleaseSort, project: str | None, share: float, samples: Samples, number: int) -> Place:
    places = samples.places(sort, project, share)
    return places[number % len(places)]


Write = Callable[[Samples, int], str]


def _queried(
    write: Write,
    samples: Samples,
    number: int,
    *,
    sort: pb.ReleaseSort = pb.RELEASE_SORT_UNSPECIFIED,
    project: str | None = None,
    count_total: bool = False,
) -> Request:
    request = Request(parent=PARENT, query=write(samples, number), sort=sort, count_total=count_total)
    request.projects.extend([f"{PARENT}/projects/{project}"] if project else [])
    return request


def _deployed(_samples: Samples, number: int) -> Request:
    return Request(parent=PARENT, environments=["production" if number % 2 else "qa"])


def _created(_samples: Samples, number: int) -> Request:
    first = FIRST_US + SPAN_US // VARIETY * number
    span = pb.TimeRange(start_time=to_timestamp(first), end_time=to_timestamp(first + _DAY_US))
    return Request(parent=PARENT, created=span)


def _hash(samples: Samples, number: int) -> str:
    """As long a beginning of a version as some ten releases or more have."""
    return samples.hashes[number][: {4: 2, 5: 3, 6: 4}.get(len(str(samples.releases)) - 1, 4)]


_INDEXED: Final[dict[str, Write]] = {
    "version range": lambda _, number: f"release.version:>=0.{number % 40} release.version:<0.{number % 40 + 1}",
    "version range of a package": lambda _, number: (
        f"release.package:package-00 release.version:>=0.{number % 40} release.version:<0.{number % 40 + 1}"
    ),
    "version in any package": lambda _, number: f"release.version:0.{number % 5}.{number % 20}",
    "package, dense": lambda *_: "release.package:package-00",
    "package, sparse": lambda *_: "release.package:package-30",
    "version prefix, few": lambda samples, number: f"release:{_hash(samples, number)}*",
    "version prefix, many": lambda _, number: f"release:package-0{number % 3}*",
    "author, few": lambda samples, number: (
        f"author:{other_author(number * other_authors(samples.releases) // VARIETY)}"
    ),
    "author, many": lambda _, number: f"author:{busy_author(number % BUSY_AUTHORS)}",
    "commit": lambda samples, number: f"commit:{samples.commits[number]}",
    "commit prefix": lambda samples, number: f"commit:{samples.commits[number][:8]}",
    "label, few": lambda samples, number: f"label.train:{train(number * samples.releases // VARIETY // 20)}",
    "label, many": lambda _, number: f"label.team:{team(number % TEAMS)}",
}
"""What the index of a key finds."""

_OTHERS: Final[dict[str, Write]] = {
    "reference": lambda samples, number: f"reference:{samples.references[number]}",
    "build": lambda _, number: f"release.build:{100 + number}",
    "ref, few": lambda samples, number: f"ref:feature/{number * samples.releases // VARIETY}",
    "ref, many": lambda *_: "ref:main",
    "environment": lambda _, number: f"environment:{'canary' if number % 2 else 'staging'}",
    "repository": lambda _, number: f"repository:acme/repository-{number % 5}",
    "finalized": lambda *_: "finalized:true",
    "label and author, many": lambda _, number: (
        f"label.team:{team(number % TEAMS)} author:{busy_author(number % BUSY_AUTHORS)}"
    ),
    "label, few, or commit": lambda samples, number: (
        f"label.train:{train(number * samples.releases // VARIETY // 20)} OR commit:{samples.commits[number]}"
    ),
    "label, many, or author, many": lambda _, number: (
        f"label.team:{team(number % TEAMS)} OR author:{busy_author(number % BUSY_AUTHORS)}"
    ),
    "not a label": lambda _, number: f"!label.team:{team(number % TEAMS)}",
    "contains, many": lambda *_: "nightly",
    "contains, none": lambda _, number: f"nothing-{number}",
}
"""What is a test of each release looked at, or joins several. At most 10,000 are looked at for a page."""
