"""Which releases keep the thresholds of their projects (behaviour.md, Thresholds)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final, NamedTuple

from store.access import Access
from store.access.projects import ProjectSet, ProjectSlugText, project_slugs
from store.database import Database, Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.environments import environment_ids
from store.deploys.models import ReleaseEnvironment
from store.errors import PageTokenInvalid
from store.health.figures import Figures
from store.health.many_spans import PairSpan, outward, read_spans
from store.health.models import Threshold
from store.health.thresholds import ThresholdMetric, ThresholdRow, ThresholdTrigger, thresholds_of
from store.paging import PAGE_BYTES, Key, Page, PageRequest, Position, fitting, page_of, wire_bytes
from store.releases.rows import RELEASE_COLUMNS, ReleaseStatus
from store.search.filters import ReleaseFilter, Scope, TimeSpan
from store.search.find import MOST_WALKED, FoundRow, find_releases
from store.search.language.tree import Comparison, In, Operator, Text
from store.search.language.tree import Key as QueryKey
from store.search.orders import NEWEST_FIRST
from store.search.resolve import resolve

MOST_STATUSES: Final = 1000
"""A page ends before it tells more than so many: each is measured in a span of time of its own."""
MOST_LOOKED_UP: Final = 5000
"""Of as many thresholds it is looked up whose they are, and just the releases of those projects are walked."""
MOST_PROJECTS: Final = 256
"""The same of projects: of more, all releases are walked, and those that none watches are left out."""

FEWEST_WALKED: Final = 500
"""So many rows are then looked at together, at least."""

_AT_ONCE: Final = 64
"""Rows of a page that are told together."""
_STATUS_BYTES: Final = 220
"""What a status takes on the wire beside the text that callers wrote: its times, its numbers and the uids."""
_ROW_BYTES: Final = 60

_ID, _VERSION, _CREATE_TIME = (
    [column.name for column in RELEASE_COLUMNS].index(name) for name in ("id", "version", "create_time")
)  # by name: fields have an == of their own


class ThresholdState(IntEnum):
    """Whether a release keeps a threshold; numbers as in the contract."""

    HEALTHY = 1
    UNHEALTHY = 2
    NO_DATA = 3


@dataclass(frozen=True, slots=True)
class StatusFilter:
    """Which releases and thresholds are asked for.

    `created`: when the releases were. `environments`: only thresholds of these; none: all. `projects`, `every_project`:
    as in `ReleaseFilter`. `versions`: only these; none: all.
    """

    created: TimeSpan
    environments: tuple[str, ...] = ()
    projects: tuple[ProjectSlugText, ...] = ()
    every_project: bool = False
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ThresholdStatus:
    """How a release keeps a threshold; measured None where there is nothing to measure. Times in microseconds UTC."""

    threshold: ThresholdRow
    start_time: int
    end_time: int
    state: ThresholdState
    measured: float | None


@dataclass(frozen=True, slots=True)
class ReleaseThresholds:
    """A release in a project, and how it keeps each of the project's thresholds, oldest threshold first."""

    version: str
    project_slug: str
    statuses: tuple[ThresholdStatus, ...]


@dataclass(frozen=True, slots=True)
class ListedStatuses:
    """A page of them, and the slug of their organization."""

    organization_slug: str
    page: Page[ReleaseThresholds]


class _Watch(NamedTuple):
    """A threshold, and when it watches a release."""

    threshold: ThresholdRow
    start_time: int
    end_time: int


def get_threshold_status(
    db: Database, access: Access, organization_slug: str, sought: StatusFilter, page: PageRequest
) -> ListedStatuses:
    """A page of the releases, open and archived, in those of their projects that have thresholds: newest release first.

    A page ends before it passes 1 MiB on the wire or 1,000 statuses, and before more than 10,000 releases were looked
    at for it.

    Raises `OrganizationNotFound`, `ProjectForbidden`, `InvalidField` (a span of time that ends before it begins),
    `PageTokenInvalid`.
    """
    now_us = db.clock.now_us() if page.position is None else _now_in(page.position)
    wanted = ReleaseFilter(
        projects=sought.projects,
        every_project=sought.every_project,
        statuses=(ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED),
        created=sought.created,
    )

    def read(reader: Reader) -> ListedStatuses:
        scope = _of_versions(resolve(reader, access, organization_slug, wanted, now_us=now_us), sought.versions)
        rows, wall = _rows(reader, scope, sought.environments, page)
        telling = _Telling(reader, scope, sought.environments)
        fits = fitting(page, telling.weights(rows), most=PAGE_BYTES)
        shown = page_of(rows[: fits.limit], fits, lambda row: row.key, descending=True, wall=wall)
        items = tuple(telling.told[row.key] for row in shown.items)
        return ListedStatuses(scope.organization.slug, Page(items, shown.next, shown.previous))

    return db.read(read)


def _now_in(position: Position) -> int:
    """What periods reckon from on all pages of a list: when the first one was asked for."""
    now_us = position.key[0]
    if not isinstance(now_us, int):
        raise PageTokenInvalid
    return now_us


def _of_versions(scope: Scope, versions: Sequence[str]) -> Scope:
    """The scope, for releases of these versions only; of none all."""
    texts = tuple(Text(version) for version in dict.fromkeys(versions))
    if not texts:
        return scope
    if len(texts) == 1:
        return replace(scope, expression=Comparison(QueryKey.RELEASE, Operator.EQUAL, texts[0]))
    return replace(scope, expression=In(QueryKey.RELEASE, texts))


def _rows(
    reader: Reader, scope: Scope, environments: Sequence[str], page: PageRequest
) -> tuple[list[FoundRow], Key | None]:
    """The rows of a page and one more, in walking direction; and where the search ended before there were as many, if
    it did not come to the end."""
    watched = _watched(reader, scope, environments)
    if watched is not None:
        if not watched:
            return [], None
        scope = replace(scope, projects=ProjectSet(everything=False, ids=watched))
    found: list[FoundRow] = []
    position = page.position
    left = MOST_WALKED
    # Where each row need not be one of the page, a small page looks at more of them at once.
    size = page.size if watched is not None else max(page.size, FEWEST_WALKED)
    while True:
        asked = PageRequest(min(size, left), position)
        some = find_releases(reader, scope, NEWEST_FIRST, asked, flatten=True)
        passed = some.page(asked, descending=True)
        position = passed.previous if page.backward else passed.next
        rows = some.rows if position is None else some.rows[: asked.size]
        found += rows if watched is not None else _of_watched(reader, rows, environments)
        left -= len(rows)
        if len(found) >= page.limit:
            return found[: page.limit], None
        if position is None:
            return found, None
        if some.incomplete or left <= 0:
            return found, position.key


def _watched(reader: Reader, scope: Scope, environments: Sequence[str]) -> frozenset[bytes] | None:
    """The projects of the scope that have thresholds; None where they are too many to be looked up."""
    found: list[tuple[bytes, str | None]] = []
    if scope.projects.everything:
        found = reader.rows(_SOME_OF_ORGANIZATION, organization_id=scope.organization.id, limit=MOST_LOOKED_UP + 1)
    else:
        for batch in batches(sorted(scope.projects.ids)):
            left = MOST_LOOKED_UP + 1 - len(found)
            found += reader.rows(_some_of_projects(len(batch)), limit=left, **filled(batch))
            if len(found) > MOST_LOOKED_UP:
                break
    ids = frozenset(id_ for id_, environment in found if not environments or environment in environments)
    return None if len(found) > MOST_LOOKED_UP or len(ids) > MOST_PROJECTS else ids


def _of_watched(reader: Reader, rows: Sequence[FoundRow], environments: Sequence[str]) -> list[FoundRow]:
    """Those of the rows whose project has thresholds."""
    found: set[bytes] = set()
    for batch in batches(sorted({row.project_id for row in rows if row.project_id is not None})):
        found.update(
            id_
            for id_, environment in reader.rows(_kinds_of_projects(len(batch)), **filled(batch))
            if not environments or environment in environments
        )
    return [row for row in rows if row.project_id in found]


class _Telling:
    """Makes what is told of the rows of a page: `told`, by key, as far as `weights` was asked for."""

    def __init__(self, reader: Reader, scope: Scope, environments: Sequence[str]) -> None:
        self.told: dict[Key, ReleaseThresholds] = {}
        self._reader = reader
        self._organization = scope.organization
        self._environments = environments

    def weights(self, rows: Sequence[FoundRow]) -> Iterator[int]:
        """The bytes of each row on the wire; more than a page has for the first row that is one too many."""
        left = MOST_STATUSES
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            thresholds = self._thresholds(some)
            fitting_rows: list[FoundRow] = []
            for row in some:
                left -= len(thresholds[row.project_id])
                if left < 0:
                    break
                fitting_rows.append(row)
            yield from self._tell(fitting_rows, thresholds)
            if left < 0:
                yield PAGE_BYTES + 1
                return

    def _thresholds(self, rows: Sequence[FoundRow]) -> dict[bytes | None, list[ThresholdRow]]:
        found = thresholds_of(self._reader, [row.project_id for row in rows if row.project_id is not None])
        return {
            project_id: [
                each for each in thresholds if not self._environments or each.environment in self._environments
            ]
            for project_id, thresholds in found.items()
        }

    def _tell(self, rows: Sequence[FoundRow], thresholds: dict[bytes | None, list[ThresholdRow]]) -> Iterator[int]:
        slugs = project_slugs(self._reader, [row.project_id for row in rows if row.project_id is not None])
        finished = self._finish_times(rows, thresholds)
        watches = {row.key: [_watch(row, each, finished) for each in thresholds[row.project_id]] for row in rows}
        spans = {(row.key, watch.threshold.id): _span_of(row, watch) for row in rows for watch in watches[row.key]}
        figures = read_spans(
            self._reader,
            spans.values(),
            with_users={
                spans[row.key, watch.threshold.id]
                for row in rows
                for watch in watches[row.key]
                if watch.threshold.metric is ThresholdMetric.CRASH_FREE_USER_RATE
            },
        )
        for row in rows:
            assert row.project_id is not None
            statuses = tuple(_judged(watch, figures[spans[row.key, watch.threshold.id]]) for watch in watches[row.key])
            told = ReleaseThresholds(row.columns[_VERSION], slugs[row.project_id], statuses)
            self.told[row.key] = told
            yield _bytes_of(self._organization.slug, told)

    def _finish_times(
        self, rows: Sequence[FoundRow], thresholds: dict[bytes | None, list[ThresholdRow]]
    ) -> dict[tuple[bytes, bytes, str], int]:
        """When the newest deploy of (release, project, environment) was done, where there is one."""
        names = {each.environment for some in thresholds.values() for each in some if each.environment}
        known = {id_: name for name, id_ in environment_ids(self._reader, self._organization.id, sorted(names)).items()}
        found: dict[tuple[bytes, bytes, str], int] = {}
        for releases in batches(sorted({row.columns[_ID] for row in rows})):
            for places in batches(sorted(known)):
                values = {f"environment_{index}": id_ for index, id_ in enumerate(places)}
                query = _deploys(len(releases), len(places))
                for release_id, project_id, place, time in self._reader.rows(query, **filled(releases), **values):
                    found[release_id, project_id, known[place]] = time
        return found


def _watch(row: FoundRow, threshold: ThresholdRow, finished: dict[tuple[bytes, bytes, str], int]) -> _Watch:
    start: int = row.columns[_CREATE_TIME]
    if threshold.environment is not None:
        start = finished.get((row.columns[_ID], threshold.project_id, threshold.environment), start)
    return _Watch(threshold, start, start + threshold.window_seconds * 1_000_000)


def _span_of(row: FoundRow, watch: _Watch) -> PairSpan:
    start, end = outward(watch.start_time, watch.end_time)
    return PairSpan((watch.threshold.project_id, row.columns[_VERSION]), watch.threshold.environment, start, end)


def _judged(watch: _Watch, figures: Figures) -> ThresholdStatus:
    threshold = watch.threshold
    # Whole numbers are compared: a release that reaches 99.9 exactly is not failed by a rounding.
    if threshold.metric is ThresholdMetric.TOTAL_ERROR_COUNT:
        measured = float(figures.error_count)
        above = figures.error_count * 1000 - threshold.value_thousandths
    else:
        part, whole = _share(threshold.metric, figures)
        if not whole:
            return ThresholdStatus(threshold, watch.start_time, watch.end_time, ThresholdState.NO_DATA, None)
        measured = 100 * part / whole
        above = 100_000 * part - threshold.value_thousandths * whole
    keeps = above <= 0 if threshold.trigger is ThresholdTrigger.OVER else above >= 0
    state = ThresholdState.HEALTHY if keeps else ThresholdState.UNHEALTHY
    return ThresholdStatus(threshold, watch.start_time, watch.end_time, state, measured)


def _share(metric: ThresholdMetric, figures: Figures) -> tuple[int, int]:
    """The part that a rate is of, and the whole."""
    if metric is ThresholdMetric.CRASH_FREE_USER_RATE:
        # Of two estimates the part may come out larger than the whole.
        return max(figures.user_count - figures.crashed_user_count, 0), figures.user_count
    if metric is ThresholdMetric.CRASH_FREE_SESSION_RATE:
        return figures.session_count - figures.crashed_count, figures.session_count
    return figures.crashed_count + figures.abnormal_count + figures.errored_count, figures.session_count


def _bytes_of(organization_slug: str, told: ReleaseThresholds) -> int:
    """At least what it takes on the wire."""
    names = wire_bytes(organization_slug, told.project_slug)
    statuses = sum(_STATUS_BYTES + names + wire_bytes(each.threshold.environment or "") for each in told.statuses)
    return _ROW_BYTES + names + wire_bytes(organization_slug, told.version) + statuses


_LIMIT: Final = hole(Threshold.metric, "limit")
_SOME_OF_ORGANIZATION: Final[Query[Any]] = Query(
    Threshold.select(Threshold.project_id, Threshold.environment)
    .where(Threshold.organization_id == hole(Threshold.organization_id))
    .order_by(Threshold.id)
    .limit(_LIMIT)
)


@query_shape
def _some_of_projects(count: int) -> Query[Any]:
    return Query(
        Threshold.select(Threshold.project_id, Threshold.environment)
        .where(Threshold.project_id.in_(holes(Threshold.project_id, count)))
        .limit(_LIMIT)
    )


@query_shape
def _kinds_of_projects(count: int) -> Query[Any]:
    return Query(
        Threshold.select(Threshold.project_id, Threshold.environment)
        .where(Threshold.project_id.in_(holes(Threshold.project_id, count)))
        .distinct()
    )


@query_shape
def _deploys(releases: int, environments: int) -> Query[Any]:
    places = [hole(ReleaseEnvironment.environment_id, f"environment_{index}") for index in range(environments)]
    return Query(
        ReleaseEnvironment.select(
            ReleaseEnvironment.release_id,
            ReleaseEnvironment.project_id,
            ReleaseEnvironment.environment_id,
            ReleaseEnvironment.last_finish_time,
        ).where(
            ReleaseEnvironment.release_id.in_(holes(ReleaseEnvironment.release_id, releases)),
            ReleaseEnvironment.environment_id.in_(places),
            ReleaseEnvironment.last_finish_time.is_null(False),
        )
    )
