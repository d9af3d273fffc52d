"""Adoption: what the store answers to messages."""

from __future__ import annotations

from typing import Final

from releaseregistry.v1 import health_pb2 as pb

from server.mapping.health import shares_message
from server.mapping.times import optional_timestamp
from server.names import project_name
from store.health.get_adoption import EnvironmentAdoption, ReleaseAdoptions
from store.health.stages import AdoptionStage, StageRow

_STAGES: Final = {
    AdoptionStage.LOW_ADOPTION: pb.ADOPTION_STAGE_LOW_ADOPTION,
    AdoptionStage.ADOPTED: pb.ADOPTION_STAGE_ADOPTED,
    AdoptionStage.REPLACED: pb.ADOPTION_STAGE_REPLACED,
}


def stage_message(organization: str, project_slug: str, row: StageRow) -> pb.ReleaseAdoption:
    """The stage of a release in an environment of a project, of the organization of this slug."""
    return pb.ReleaseAdoption(
        project=project_name(organization, project_slug),
        environment=row.environment,
        stage=_STAGES[row.stage],
        adopt_time=optional_timestamp(row.adopted_time),
        unadopt_time=optional_timestamp(row.unadopted_time),
    )


def adoptions_message(found: ReleaseAdoptions) -> pb.GetAdoptionResponse:
    """What GetAdoption answers."""
    return pb.GetAdoptionResponse(
        adoptions=[_environment_message(found.organization_slug, adoption) for adoption in found.adoptions]
    )


def _environment_message(organization: str, adoption: EnvironmentAdoption) -> pb.EnvironmentAdoption:
    return pb.EnvironmentAdoption(
        adoption=stage_message(organization, adoption.project_slug, adoption.stage),
        shares=shares_message(adoption.shares),
    )
