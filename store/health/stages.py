"""How far a release has come in each environment of its projects (behaviour.md, Adoption)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

import peewee

from store.access.projects import ProjectSet
from store.database import Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.models import Environment, ReleaseEnvironment
from store.paging import wire_bytes

SHOWN_STAGES: Final = 100
"""How many environments of a release in a project lists tell the stages of."""
_ROW_BYTES: Final = 64
"""What a stage takes on the wire beside its texts, at most."""
_ENVIRONMENTS_AT_ONCE: Final = 100


class AdoptionStage(IntEnum):
    """How far a release has come in an environment of a project."""

    LOW_ADOPTION = 1
    ADOPTED = 2
    REPLACED = 3


class StageRow(NamedTuple):
    """The stage of a release in an environment of a project. adopted_time is when it was first found to be adopted,
    unadopted_time since when it is not any more; microseconds UTC."""

    environment: str
    stage: AdoptionStage
    adopted_time: int | None
    unadopted_time: int | None


def stage_of(adopted_time: int | None, unadopted_time: int | None) -> AdoptionStage:
    """The stage that these times mean; that of a release that never was adopted where there are none."""
    if adopted_time is None:
        return AdoptionStage.LOW_ADOPTION
    return AdoptionStage.ADOPTED if unadopted_time is None else AdoptionStage.REPLACED


def stage_row(environment: str, adopted_time: int | None, unadopted_time: int | None) -> StageRow:
    """The row of an environment with these times."""
    return StageRow(environment, stage_of(adopted_time, unadopted_time), adopted_time, unadopted_time)


def read_stages(
    reader: Reader,
    release_ids: Sequence[bytes],
    projects: ProjectSet,
    environment_ids: Collection[bytes] | None,
    *,
    most: int = SHOWN_STAGES,
) -> dict[tuple[bytes, bytes], tuple[StageRow, ...]]:
    """The stages of these releases, by (release, project) among these projects, each by environment, `most` at most.

    Told are environments to which a release was deployed from the project, or where it had sessions, of these ids
    (None: of all; at most 100); never the empty one. A pair without any is absent. A query for up to 500 releases.
    """
    found: dict[tuple[bytes, bytes], list[StageRow]] = {}
    if environment_ids is not None and not environment_ids:
        return {}
    places = [] if environment_ids is None else sorted(set(environment_ids))
    if len(places) > _ENVIRONMENTS_AT_ONCE:
        raise ValueError(f"{len(places)} environments, more than {_ENVIRONMENTS_AT_ONCE}")
    # What fills the list of environments up is there already.
    (there,) = batches(places) if places else ((),)
    asked = {f"there_{index}": environment_id for index, environment_id in enumerate(there)}
    for batch in batches(list(dict.fromkeys(release_ids))):
        query = _stages(len(batch), len(there))
        for release_id, project_id, *columns in reader.rows(query, **filled(batch), **asked, most=most):
            if projects.allows(project_id):
                found.setdefault((release_id, project_id), []).append(stage_row(*columns))
    return {pair: tuple(rows) for pair, rows in found.items()}


def stages_bytes(rows: Sequence[StageRow], organization_slug: str, project_slug: str) -> int:
    """What the stages of a release in a project take in a message, at most."""
    name = wire_bytes(organization_slug, project_slug)
    return sum(_ROW_BYTES + name + wire_bytes(row.environment) for row in rows)


@query_shape
def _stages(releases: int, environments: int) -> Query[tuple[Any, ...]]:
    """Release, project, environment and both times, by release, project and environment; the first of each pair."""
    row = ReleaseEnvironment
    place = peewee.fn.ROW_NUMBER().over(
        partition_by=[row.release_id, row.project_id], order_by=[Environment.display_name]
    )
    rows = (
        row.select(
            row.release_id,
            row.project_id,
            Environment.display_name,
            row.adopted_time,
            row.unadopted_time,
            place.alias("place"),
        )
        .join(Environment, on=(Environment.id == row.environment_id))
        .where(row.release_id.in_(holes(row.release_id, releases)), Environment.display_name != "")
    )
    if environments:
        there = [hole(row.environment_id, f"there_{index}") for index in range(environments)]
        rows = rows.where(row.environment_id.in_(there))
    every = rows.alias("every")
    columns = (
        every.c.release_id,
        every.c.project_id,
        every.c.display_name,
        every.c.adopted_time,
        every.c.unadopted_time,
    )
    return Query(
        peewee.Select([every], columns)
        .where(every.c.place <= hole(row.deploy_count, "most"))
        .order_by(every.c.release_id, every.c.project_id, every.c.display_name)
    )
