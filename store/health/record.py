"""Recording sessions: what clients tell of them, each update once (behaviour.md, Sessions).

A call is cut into parts of some thousand items, each of them one transaction: sent again, what was kept is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final, NamedTuple

from store.access import Access
from store.access.projects import ProjectSlugText, member_projects, projects_named, standing_projects
from store.crashpoints import crashpoint
from store.database import Database, Reader, Transaction
from store.errors import InvalidField, ProjectForbidden
from store.health import sketches
from store.health.items import AHEAD_US, Recorded, Refusal, SessionCounts, SessionLimits, SessionUpdate
from store.health.record_project import ProjectItems, lock_health, make_health, record_of_project
from store.health.users import user_numbers, users_key
from store.health.windows import DAY_US
from store.metrics import SESSION_ITEMS, SESSION_ITEMS_REFUSED
from store.organizations.lookup import find_organization

PART: Final = 2000
"""So many items are one transaction."""

UPDATES: Final = "updates"
COUNTS: Final = "counts"

_PROJECT: Final = attrgetter("project")
_USER: Final = attrgetter("user")
_START: Final = attrgetter("start_time")

_FORBIDDEN: Final = "is not there, or you are no member of it"


class _Where(NamedTuple):
    organization_id: bytes
    projects: Mapping[ProjectSlugText, bytes]


class _Part(NamedTuple):
    """What one transaction did, or would have: the projects that were deleted meanwhile are left out."""

    recorded: int
    known: int
    unlinked: frozenset[bytes]
    gone: frozenset[bytes]


def record_sessions(
    db: Database,
    access: Access,
    organization_slug: str,
    updates: Sequence[SessionUpdate],
    counts: Sequence[SessionCounts],
    *,
    limits: SessionLimits,
    update_places: Sequence[int] | None = None,
    counts_places: Sequence[int] | None = None,
    wait_seconds: float | None = None,
) -> Recorded:
    """Record updates in their order, then counts; each item is on stable storage, or known, or refused by its place.

    Places are those in the caller's lists, 0 and up unless they are given. Refused is what begins too early or too late
    by `limits`, and what names a project that is not there, another organization's, or not one of the caller's
    membership: all alike. Whoever gets an error sends all of it again. Raises OrganizationNotFound, and what `db.write`
    raises.
    """
    named = {*map(_PROJECT, updates), *map(_PROJECT, counts)}
    where = db.read(lambda reader: _resolved(reader, access, organization_slug, named))
    sketches.load()  # here, where nobody waits for it but this caller
    users = user_numbers(users_key(db, where.organization_id), {*map(_USER, updates), *map(_USER, counts)})
    now = db.clock.now_us()
    earliest, latest = now - limits.session_days * DAY_US, now + AHEAD_US
    refused: list[Refusal] = []
    places = range(len(updates)) if update_places is None else update_places
    good_updates, places = _checked(UPDATES, updates, places, where, earliest, latest, limits, refused)
    others = range(len(counts)) if counts_places is None else counts_places
    good_counts, others = _checked(COUNTS, counts, others, where, earliest, latest, limits, refused)
    recorded = known = 0
    unlinked: set[bytes] = set()
    for part in _parts(good_updates, places, good_counts, others):
        by_project = _by_project(part, where)
        done: _Part = db.write(partial(_recorded, where.organization_id, by_project, users), wait_seconds=wait_seconds)
        crashpoint("sessions.recorded")
        SESSION_ITEMS.labels("recorded").inc(done.recorded)
        SESSION_ITEMS.labels("known").inc(done.known)
        recorded, known = recorded + done.recorded, known + done.known
        unlinked |= done.unlinked
        for project_id in sorted(done.gone):
            gone = by_project[project_id]
            refused += [_forbidden(UPDATES, place) for place in gone.update_places]
            refused += [_forbidden(COUNTS, place) for place in gone.counts_places]
    for reason, count in Counter(refusal.reason for refusal in refused).items():
        SESSION_ITEMS_REFUSED.labels(reason).inc(count)
    return Recorded(recorded, known, tuple(refused), frozenset(unlinked))


def _resolved(reader: Reader, access: Access, slug: str, named: Iterable[ProjectSlugText]) -> _Where:
    organization = find_organization(reader, access, slug)
    allowed = member_projects(access)
    found = projects_named(reader, organization.id, named)
    return _Where(organization.id, {name: row.id for name, row in found.items() if allowed.allows(row.id)})


def _checked(
    kind: str,
    items: Sequence[Any],
    places: Sequence[int],
    where: _Where,
    earliest: int,
    latest: int,
    limits: SessionLimits,
    refused: list[Refusal],
) -> tuple[Sequence[Any], Sequence[int]]:
    """Those of the items that can be kept, and their places; what is wrong with each of the others is added."""
    if not items:
        return items, places
    starts = list(map(_START, items))
    projects = where.projects
    if earliest <= min(starts) and max(starts) <= latest and projects.keys() >= set(map(_PROJECT, items)):
        return items, places
    kept: list[Any] = []
    kept_places: list[int] = []
    for item, place in zip(items, places, strict=True):
        problem = None
        if item.start_time < earliest:
            problem = f"is more than {limits.session_days} days ago, and nothing is kept of what began then"
        elif item.start_time > latest:
            problem = "is more than an hour ahead of the server's clock"
        if problem is not None:
            refused.append(Refusal(kind, place, "start_time", InvalidField.reason, problem))
        elif item.project not in projects:
            refused.append(_forbidden(kind, place))
        else:
            kept.append(item)
            kept_places.append(place)
    return kept, kept_places


def _forbidden(kind: str, place: int) -> Refusal:
    return Refusal(kind, place, "project", ProjectForbidden.reason, _FORBIDDEN)


def _parts(
    updates: Sequence[SessionUpdate],
    update_places: Sequence[int],
    counts: Sequence[SessionCounts],
    counts_places: Sequence[int],
) -> Iterator[ProjectItems]:
    if len(updates) + len(counts) <= PART:
        if updates or counts:
            yield ProjectItems(updates, update_places, counts, counts_places)
        return
    for start in range(0, len(updates), PART):
        some = slice(start, start + PART)
        yield ProjectItems(updates[some], update_places[some], (), ())
    for start in range(0, len(counts), PART):
        some = slice(start, start + PART)
        yield ProjectItems((), (), counts[some], counts_places[some])


def _by_project(part: ProjectItems, where: _Where) -> dict[bytes, ProjectItems]:
    names = {*map(_PROJECT, part.updates), *map(_PROJECT, part.counts)}
    if len(names) == 1:
        return {where.projects[names.pop()]: part}
    found: dict[bytes, ProjectItems] = {}
    for name in names:
        found.setdefault(where.projects[name], ProjectItems([], [], [], []))
    for update, place in zip(part.updates, part.update_places, strict=True):
        items = found[where.projects[update.project]]
        items.updates.append(update)  # type: ignore[attr-defined]
        items.update_places.append(place)  # type: ignore[attr-defined]
    for told, place in zip(part.counts, part.counts_places, strict=True):
        items = found[where.projects[told.project]]
        items.counts.append(told)  # type: ignore[attr-defined]
        items.counts_places.append(place)  # type: ignore[attr-defined]
    return found


def _recorded(
    organization_id: bytes, by_project: Mapping[bytes, ProjectItems], users: Mapping[str, int], tx: Transaction
) -> _Part:
    # The health before the project: who waits for the one holds no share of the other. Shares that always overlap would
    # keep out for ever whoever changes or deletes the project, who waits for no health.
    last_times = lock_health(tx, sorted(by_project))
    standing = sorted(standing_projects(tx, sorted(by_project)))
    last_times |= make_health(tx, organization_id, [id_ for id_ in standing if id_ not in last_times])
    recorded = known = 0
    unlinked: set[bytes] = set()
    for project_id in standing:
        done = record_of_project(tx, organization_id, project_id, last_times[project_id], by_project[project_id], users)
        recorded, known = recorded + done.recorded, known + done.known
        if done.unlinked:
            unlinked.add(project_id)
    crashpoint("sessions.in_rows")
    return _Part(recorded, known, frozenset(unlinked), frozenset(by_project) - frozenset(standing))
