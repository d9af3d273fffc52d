"""What a caller asks for, its names looked up: once a call, before anything is sought."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from store.access import Access
from store.access.projects import ProjectSet, projects_to_list
from store.commits.models import Commit
from store.database import Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.environments import environment_ids
from store.errors import InvalidField, QueryInvalid
from store.organizations.lookup import find_organization
from store.organizations.models import Project
from store.organizations.rows import OrganizationRow
from store.releases.rows import ReleaseStatus
from store.search.filters import ReleaseFilter, Scope, TimeSpan
from store.search.language import (
    And,
    Comparison,
    Expression,
    In,
    Key,
    Latest,
    Not,
    Or,
    Prefix,
    Value,
    Wildcard,
    keys_of,
    parse_query,
    position_of,
)
from store.search.language.limits import MIN_COMMIT_PREFIX
from store.search.latest import latest_releases
from store.text import after_prefix

FEW_COMMITS: Final = 1000
"""As many commits of an organization with one beginning are sought first, and their releases then. Of more, each
release is asked for its own."""

_EVERY_STATUS: Final = (int(ReleaseStatus.OPEN), int(ReleaseStatus.ARCHIVED))


@query_shape
def _standing(count: int) -> Query[tuple[bytes]]:
    return Query(
        Project.select(Project.id).where(
            Project.organization_id == hole(Project.organization_id), Project.id.in_(holes(Project.id, count))
        )
    )


@query_shape
def _commits_with_prefix(*, bounded: bool) -> Query[tuple[bytes]]:
    query = Commit.select(Commit.id).where(
        Commit.organization_id == hole(Commit.organization_id), Commit.key >= hole(Commit.key, "first")
    )
    if bounded:
        query = query.where(Commit.key < hole(Commit.key, "beyond"))
    return Query(query.limit(FEW_COMMITS + 1))


def resolve(
    reader: Reader,
    access: Access,
    organization_slug: str,
    wanted: ReleaseFilter,
    *,
    now_us: int,
    default_status: ReleaseStatus = ReleaseStatus.OPEN,
) -> Scope:
    """The filter as a scope for this caller.

    `now_us` is what periods reckon from. Without statuses in the filter, `default_status` is the only one, unless the
    query says `status` anywhere: then it is on the query alone.

    Raises `OrganizationNotFound`, `ProjectForbidden`, `QueryInvalid`, `InvalidField` (a span that ends before it
    begins).
    """
    expression = parse_query(wanted.query)
    created = _span(wanted.created, now_us, field="created")
    released = _span(wanted.released, now_us, field="released")
    organization = find_organization(reader, access, organization_slug)
    chosen = projects_to_list(reader, access, organization, wanted.projects, everything=wanted.every_project)
    # Those that are named were just looked up.
    named = wanted.projects and not wanted.every_project
    projects = chosen if chosen.everything or named else _still_there(reader, organization, chosen)
    environments = (
        frozenset(environment_ids(reader, organization.id, wanted.environments).values())
        if wanted.environments
        else None
    )
    if expression is not None and Key.STAGE in keys_of(expression) and not names_one(wanted.environments):
        raise QueryInvalid(
            position=position_of(Key.STAGE, wanted.query),
            found=f"`{Key.STAGE}`",
            expected="exactly one environment beside the query, and not the empty one",
            hint="A release has its stages by environment: name one in the field environments.",
        )
    values = tuple(_values_of(expression)) if expression is not None else ()
    return Scope(
        organization,
        projects,
        _statuses(wanted, expression, default_status),
        now_us,
        expression=expression,
        environments=tuple(dict.fromkeys(wanted.environments)),
        environment_ids=environments,
        created=created,
        released=released,
        latest=latest_releases(reader, organization, projects, environments)
        if any(isinstance(value, Latest) for _, value in values)
        else frozenset(),
        rare_prefixes=frozenset(_rare_prefixes(reader, organization, values)),
    )


def names_one(environments: Sequence[str]) -> bool:
    """Whether these are one environment with a name: what adoption can be told of."""
    return len(set(environments)) == 1 and "" not in environments


def _span(span: TimeSpan, now_us: int, *, field: str) -> tuple[int | None, int | None]:
    if span.ago_us is not None:
        return now_us - span.ago_us, None
    if span.first_us is not None and span.beyond_us is not None and span.beyond_us < span.first_us:
        raise InvalidField(f"{field}.end_time", "is before start_time")
    return span.first_us, span.beyond_us


def _still_there(reader: Reader, organization: OrganizationRow, chosen: ProjectSet) -> ProjectSet:
    """Without those that were deleted, whose rows may wait for the drain: a token may still list them."""
    found: set[bytes] = set()
    for batch in batches(sorted(chosen.ids)):
        rows = reader.rows(_standing(len(batch)), organization_id=organization.id, **filled(batch))
        found.update(project_id for (project_id,) in rows)
    return ProjectSet(everything=False, ids=frozenset(found))


def _statuses(wanted: ReleaseFilter, expression: Expression | None, default_status: ReleaseStatus) -> tuple[int, ...]:
    if wanted.statuses:
        return tuple(sorted({int(status) for status in wanted.statuses}))
    if expression is not None and Key.STATUS in keys_of(expression):
        return _EVERY_STATUS
    return (int(default_status),)


def _values_of(expression: Expression) -> Iterator[tuple[Key, Value]]:
    """All values of a query with the keys that they stand behind."""
    match expression:
        case And(conditions) | Or(conditions):
            for condition in conditions:
                yield from _values_of(condition)
        case Not(condition):
            yield from _values_of(condition)
        case Comparison(key=key, value=value):
            yield key, value
        case In(key=key, values=values):
            for value in values:
                yield key, value
        case _:
            return


def _rare_prefixes(reader: Reader, organization: OrganizationRow, values: Sequence[tuple[Key, Value]]) -> Iterator[str]:
    """The beginnings of commit ids in a query that at most FEW_COMMITS commits have."""
    prefixes = {
        value.prefix
        for key, value in values
        if key is Key.COMMIT and isinstance(value, Prefix | Wildcard) and len(value.prefix) >= MIN_COMMIT_PREFIX
    }
    for prefix in sorted(prefixes):
        beyond = after_prefix(prefix)
        bounds = {"first": prefix} if beyond is None else {"first": prefix, "beyond": beyond}
        found = reader.rows(_commits_with_prefix(bounded=beyond is not None), organization_id=organization.id, **bounds)
        if len(found) <= FEW_COMMITS:
            yield prefix
