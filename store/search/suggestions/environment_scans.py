"""Environments for suggestions, by name, each with whether a release that may be seen was deployed to it, or had
sessions there. The one without a name, of sessions without any, is none to suggest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any, Final

import peewee

from store.database import Query, Reader, hole, query_shape
from store.deploys.environments import MOST_RANGES
from store.deploys.models import Environment, EnvironmentProject, ReleaseEnvironment
from store.organizations.models import Project
from store.releases.models import ReleaseProject
from store.search.filters import Scope
from store.search.suggestions.value_scans import MOST_ROWS, Place, Span, above, below, limit_of

_COUNTS: Final = (1, 4, 16, MOST_RANGES)
_NOWHERE: Final = b"\0" * 16


def scan_environments(reader: Reader, scope: Scope, span: Span, count: int) -> list[Place]:
    """The first `count` environments of the span, by name. Of certain projects only where these have releases is
    looked at."""
    if scope.projects.everything:
        query = every_environment(span.shape, limit_of(count))
        return reader.rows(query, organization_id=scope.organization.id, **span.params)[:count]
    project_ids = sorted(scope.projects.ids)
    texts: dict[str, str | None] = {}
    for start in range(0, len(project_ids), MOST_RANGES):
        for place, text in _of_some(reader, project_ids[start : start + MOST_RANGES], span, count):
            texts[place] = texts.get(place) or text
    return [Place(place, texts[place]) for place in sorted(texts)[:count]]


def _of_some(reader: Reader, project_ids: Sequence[bytes], span: Span, count: int) -> list[Place]:
    size = next(size for size in _COUNTS if size >= len(project_ids))
    filling = [*project_ids, *[_NOWHERE] * (size - len(project_ids))]
    projects = {f"project{index}": project_id for index, project_id in enumerate(filling)}
    return reader.rows(environments_of(size, span.shape, limit_of(count)), **span.params, **projects)


@query_shape
def every_environment(shape: tuple[bool, bool], limit: int) -> Query[Place]:
    """The query of `scan_environments` for all projects of an organization."""
    name = Environment.display_name
    some = (
        ReleaseEnvironment.select(ReleaseEnvironment.release_id, ReleaseEnvironment.project_id)
        .where(ReleaseEnvironment.environment_id == Environment.id)
        .order_by(ReleaseEnvironment.release_id.desc(), ReleaseEnvironment.project_id.desc())
        .limit(MOST_ROWS)
        .alias("some")
    )
    of_some = (ReleaseProject.release_id == some.c.release_id) & (ReleaseProject.project_id == some.c.project_id)
    seen = (
        ReleaseProject.select(peewee.SQL("1"))
        .join(some, on=of_some)
        .join(Project, on=(Project.id == ReleaseProject.project_id))
    )
    return Query(
        Environment.select(name, peewee.Case(None, [(peewee.fn.EXISTS(seen), name)]))
        .where(
            Environment.organization_id == hole(Environment.organization_id),
            name != "",
            above(name, shape),
            *below(name, shape),
        )
        .order_by(name)
        .limit(limit),
        row=Place,
    )


@query_shape
def environments_of(projects: int, shape: tuple[bool, bool], limit: int) -> Query[Place]:
    """The query of `scan_environments` for so many projects: a range of the index each, then merged."""
    members = [_of_project(f"project{index}", shape, limit) for index in range(projects)]
    every = reduce(add, members).alias("every") if projects > 1 else members[0].alias("every")
    return Query(
        peewee.Select([every], [every.c.place, peewee.fn.MAX(every.c.text)])
        .group_by(every.c.place)
        .order_by(every.c.place)
        .limit(limit),
        row=Place,
    )


def _of_project(project: str, shape: tuple[bool, bool], limit: int) -> Any:
    name, project_id = EnvironmentProject.display_name, hole(EnvironmentProject.project_id, project)
    some = (
        ReleaseEnvironment.select(ReleaseEnvironment.release_id)
        .where(
            ReleaseEnvironment.project_id == project_id,
            ReleaseEnvironment.environment_id == EnvironmentProject.environment_id,
        )
        .order_by(ReleaseEnvironment.last_finish_time.desc(), ReleaseEnvironment.last_deploy_id.desc())
        .limit(MOST_ROWS)
        .alias("some")
    )
    seen = (
        ReleaseProject.select(peewee.SQL("1"))
        .join(some, on=(some.c.release_id == ReleaseProject.release_id))
        .where(ReleaseProject.project_id == project_id)
    )
    return (
        EnvironmentProject.select(
            name.alias("place"), peewee.Case(None, [(peewee.fn.EXISTS(seen), name)]).alias("text")
        )
        .where(EnvironmentProject.project_id == project_id, name != "", above(name, shape), *below(name, shape))
        .order_by(name)
        .limit(limit)
    )
