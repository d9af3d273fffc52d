"""Whatever path a page takes to its releases, they are the same, in the same order.

`make drill-search` asks more of them (SEARCH_DATASETS).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.access.projects import ProjectSet
from store.database import Database, Reader
from store.organizations.lookup import find_organization
from store.paging import PageRequest
from store.releases.models import Release
from store.releases.rows import ReleaseStatus
from store.search import candidates, find
from store.search.bounds import Span
from store.search.candidates import ChosenReleases, KnownReleases, PathWalk
from store.search.conditions import condition_of, in_scope
from store.search.filters import ReleaseFilter, Scope
from store.search.find import find_releases
from store.search.language import Key
from store.search.latest import latest_releases
from store.search.orders import Direction, Order, ReleaseSort
from store.search.paths import AccessPath, paths_of
from store.search.resolve import resolve
from store.search.walks import Candidates, IndexWalk
from tests.contract.callers import OPERATOR
from tests.search.dataset import Dataset, write_dataset
from tests.search.page import rows
from tests.search.strategies import NOW, PROJECTS, expressions, release_lists, terms, times

ENOUGH = 1000
"""More rows than any index has of a data set."""

Choose = Callable[[Reader, Scope, Direction, AccessPath], Candidates | None]


def spans() -> st.SearchStrategy[tuple[int | None, int | None]]:
    whole = st.just((None, None))
    return st.one_of(whole, whole, st.tuples(times(), st.none()), st.tuples(st.none(), times()))


@st.composite
def scopes_of(draw: st.DrawFn) -> Callable[[Reader, Dataset], Scope]:
    """How a list is asked for, names not looked up yet."""
    projects = draw(st.one_of(st.none(), st.sets(st.sampled_from(PROJECTS), min_size=1, max_size=2)))
    statuses = draw(st.sampled_from(((1,), (2,), (1, 2))))
    expression = draw(st.one_of(expressions(), expressions(), terms(), st.none()))
    created, released = draw(spans()), draw(spans())

    def scope(reader: Reader, data: Dataset) -> Scope:
        organization = find_organization(reader, OPERATOR, data.slug)
        chosen = ProjectSet(projects is None, frozenset(data.projects[slug] for slug in projects or ()))
        return Scope(
            organization,
            chosen,
            statuses,
            NOW,
            expression=expression,
            created=created,
            released=released,
            latest=latest_releases(reader, organization, chosen, None),
        )

    return scope


def found_by(reader: Reader, scope: Scope) -> set[bytes]:
    """All that a scope finds, read with no path at all."""
    condition = condition_of(scope, reader.engine)
    query = Release.select(Release.id).where(
        in_scope(scope, reader.engine), *([] if condition is None else [condition])
    )
    return {release_id for (release_id,) in reader.fetch(query.tuples())}


def pages(reader: Reader, scope: Scope, order: Order, size: int) -> list[bytes]:
    """The ids of all pages of a list, one behind the other."""
    found: list[bytes] = []
    request = PageRequest(size)
    while True:
        shown = find_releases(reader, scope, order, request).page(request, descending=order.descending)
        found += [row.key[-1] for row in shown.items]  # type: ignore[misc]
        if shown.next is None:
            return found
        request = PageRequest(size, shown.next)


QUICK = settings(
    max_examples=int(os.environ.get("SEARCH_DATASETS", "30")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(releases=release_lists(), scopes=st.lists(scopes_of(), min_size=8, max_size=8))
def test_every_path_has_all_that_is_found(
    database: Database, releases: list[dict[str, Any]], scopes: list[Callable[[Reader, Dataset], Scope]]
) -> None:
    data = write_dataset(database, releases)

    def check(reader: Reader) -> None:
        for make in scopes:
            scope = make(reader, data)
            found = found_by(reader, scope)
            for path in paths_of(reader, scope):
                ids, complete = path.some_ids(reader, ENOUGH)
                assert complete
                assert found <= ids, path.key
                few, _ = path.some_ids(reader, 2)
                assert few <= ids

    database.read(check)


@QUICK
@given(
    releases=release_lists(),
    scopes=st.lists(scopes_of(), min_size=8, max_size=8),
    size=st.integers(1, 4),
    falling=st.booleans(),
)
def test_an_ordered_path_has_each_of_its_releases_once_in_order(
    database: Database,
    releases: list[dict[str, Any]],
    scopes: list[Callable[[Reader, Dataset], Scope]],
    size: int,
    falling: bool,
) -> None:
    data = write_dataset(database, releases)

    def check(reader: Reader) -> None:
        for make in scopes:
            for path in paths_of(reader, make(reader, data)):
                if path.is_ordered:
                    everything = sorted(path.some_ids(reader, ENOUGH)[0], reverse=falling)
                    assert walked(reader, path, size, falling=falling) == everything
                    some = sorted(everything[1:-1])
                    if some:
                        inner = path.next_ids(reader, None, ENOUGH, span=Span(some[0], some[-1]), falling=falling)
                        assert inner == everything[1:-1]

    database.read(check)


WEB_1, WEB_1_1, WEB_2 = "web@1.0.0+40", "web@1.1.0+45", "web@2.0.0-rc.1"
API, TOOLS, SPRING, HASH = "api@1.1.0", "1.10", "Spring Release (final)", "a86d127c4b2f"

SERVED: dict[str, tuple[str, set[str]]] = {
    "release:web@1.1.0+45": (Key.RELEASE, {WEB_1_1}),
    "release:web@*": (Key.RELEASE, {WEB_1, WEB_1_1, WEB_2}),
    "release:[1.10, api*]": (Key.RELEASE, {TOOLS, API}),
    "release:latest": ("latest", {WEB_2, API, TOOLS}),
    "release.version:>=1.1 release.version:<2": ("version_key", {WEB_1_1, WEB_2, API, TOOLS}),
    "release.version:1.1": ("version_key", {WEB_1_1, API}),
    "release.version:web@1.1": (Key.VERSION, {WEB_1, WEB_1_1, WEB_2}),
    "release.package:web": (Key.PACKAGE, {WEB_1, WEB_1_1, WEB_2}),
    "release.build:45": ("build_key", {WEB_1_1}),
    "release.build:>40": ("build_key", {WEB_1_1}),
    "release.created:2026-11-20": ("id", {WEB_2}),
    "release.released:>=2026-11-03": ("sort_time", {WEB_1_1, WEB_2, API, HASH}),
    "ref:main": (Key.REF, {WEB_1, WEB_1_1, API}),
    "owner:PAY*": (Key.OWNER, {WEB_1_1}),
    "has:owner": (Key.OWNER, {WEB_1_1, API, SPRING}),
    "label.team:payments": (Key.LABEL, {WEB_1_1, WEB_2}),
    "has:label.team": (Key.LABEL, {WEB_1_1, WEB_2, API}),
    "has:label": (Key.LABEL, {WEB_1_1, WEB_2, API}),
    'author:"ANN ünal"': (Key.AUTHOR, {WEB_1, WEB_1_1, WEB_2}),
    "author:bo@example.com": (Key.AUTHOR, {WEB_1_1}),
    "author:[bo@*, ann@*]": (Key.AUTHOR, {WEB_1, WEB_1_1, WEB_2}),
    "commit:8f3c2a": (Key.COMMIT, {WEB_1_1, API}),
    "repository:core": (Key.REPOSITORY, {API, HASH}),
    "reference:web-12": (Key.REFERENCE, {WEB_1_1}),
    "has:reference": (Key.REFERENCE, {WEB_1_1, HASH}),
    "project:api": (Key.PROJECT, {API, SPRING, HASH}),
    "environment:production": (Key.ENVIRONMENT, {WEB_1, WEB_1_1, API, HASH}),
    "deployed:-3d": (Key.DEPLOYED, {WEB_2, API}),
    "deployed.production:>=2026-11-05": (Key.DEPLOYED, {API}),
    'has:deployed."Staging EU"': (Key.DEPLOYED, {WEB_2}),
    "commits:>=2": ("commit_count", {WEB_1_1}),
    "has:commit": ("commit_count", {WEB_1, WEB_1_1, WEB_2, API, HASH}),
    "deploys:1": ("deploy_count", {WEB_1_1, WEB_2, API}),
    "label.team:search OR commit:8f3c2a17": (Key.LABEL, {WEB_1_1, API}),
    "(label.team:search finalized:true) OR ref:next": (Key.LABEL, {API, WEB_2, HASH}),
}
"""Queries over the releases of docs/search.md, the path of each, and what it has."""

SERVED_BY_NONE = ("!ref:main", "web", "finalized:true", 'ref:""', "author:*com", "ref:main OR web", "file:app.js.map")


def test_each_key_has_a_path_with_no_more_than_its_index_tells(database: Database) -> None:
    data = write_dataset(database, rows(), projects=("web", "api", "tools"))
    versions = {data.id_of(release): release["version"] for release in data.releases}

    def paths(reader: Reader, query: str) -> dict[str, set[str]]:
        wanted = ReleaseFilter(query, statuses=(ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED))
        scope = resolve(reader, data.access(), data.slug, wanted, now_us=NOW)
        return {
            path.key: {versions[each] for each in path.some_ids(reader, ENOUGH)[0]} for path in paths_of(reader, scope)
        }

    def check(reader: Reader) -> None:
        for query, (key, expected) in SERVED.items():
            assert paths(reader, query).get(key) == expected, query
        for query in SERVED_BY_NONE:
            assert paths(reader, query) == {}, query

    database.read(check)


def walked(reader: Reader, path: AccessPath, size: int, *, falling: bool) -> list[bytes]:
    found: list[bytes] = []
    while True:
        some = path.next_ids(reader, found[-1] if found else None, size, span=Span(), falling=falling)
        found += some
        if len(some) < size:
            return found


def by_index(_reader: Reader, scope: Scope, direction: Direction, _path: AccessPath) -> Candidates:
    return IndexWalk(scope, direction)


def by_path(_reader: Reader, _scope: Scope, direction: Direction, path: AccessPath) -> Candidates | None:
    return PathWalk(path, direction, Span()) if path.is_ordered and direction.column is None else None


def by_ids(reader: Reader, _scope: Scope, direction: Direction, path: AccessPath) -> Candidates:
    return KnownReleases(reader, path.some_ids(reader, ENOUGH)[0], direction)


def by_choice(_reader: Reader, scope: Scope, direction: Direction, path: AccessPath) -> Candidates:
    return ChosenReleases(scope, direction, [path])


@pytest.fixture(params=[False, True], ids=["as measured", "all at once"])
def thresholds(request: pytest.FixtureRequest) -> Iterator[None]:
    """What decides between paths, also so low that a dozen releases pass each of them."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            for name, value in {"FEW": 2, "MANY": 5, "QUITE_MANY": 5, "PATIENCE": 1, "AHEAD": 1}.items():
                patch.setattr(candidates, name, value)
            patch.setattr(find, "_FEWEST_AT_ONCE", 1)
        yield


@pytest.mark.usefixtures("thresholds")
@QUICK
@given(
    releases=release_lists(),
    scopes=st.lists(scopes_of(), min_size=3, max_size=3),
    sort=st.sampled_from(ReleaseSort),
    descending=st.booleans(),
    size=st.integers(1, 5),
)
def test_whatever_path_is_taken_the_pages_are_the_same(
    database: Database,
    releases: list[dict[str, Any]],
    scopes: list[Callable[[Reader, Dataset], Scope]],
    sort: ReleaseSort,
    descending: bool,
    size: int,
) -> None:
    data = write_dataset(database, releases)
    order = Order(sort, descending=descending)

    def check(reader: Reader) -> None:
        for make in scopes:
            scope = make(reader, data)
            found = found_by(reader, scope)
            for choose in (None, by_index, by_path, by_ids, by_choice):
                for shown in taken(reader, scope, order, size, choose):
                    if choose is None:
                        expected = shown
                        assert set(shown) == found
                    assert shown == expected, choose

    database.read(check)


def taken(reader: Reader, scope: Scope, order: Order, size: int, choose: Choose | None) -> Iterator[list[bytes]]:
    """The pages as they come when this is chosen, for each path; None: as the product chooses."""
    if choose is None:
        yield pages(reader, scope, order, size)
        return
    for path in paths_of(reader, scope):
        if choose(reader, scope, Direction(order), path) is None:
            continue

        def forced(reader: Reader, scope: Scope, direction: Direction, path: AccessPath = path) -> Candidates | None:
            return choose(reader, scope, direction, path)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(find, "candidates_of", forced)
            yield pages(reader, scope, order, size)
