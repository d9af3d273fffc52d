"""A server that does not listen, and the doors to its handlers, once on each engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from releaseregistry.v1 import organizations_pb2, releases_pb2

from server.app import assembled
from store.access.operators import ensure_operator_token
from store.database import Database
from tests.handlers.driving import Doors
from tests.rpc.sending import RELEASE
from tests.rpc.serving import settings_of
from tests.rpc.wire import OPERATOR_TOKEN, bearer


@pytest.fixture
def doors(database: Database, tmp_path: Path) -> Iterator[Doors]:
    """An organization with a project and a release is there."""
    settings = settings_of(tmp_path)
    settings.data.mkdir(exist_ok=True)
    ensure_operator_token(database, OPERATOR_TOKEN)
    server = assembled(settings, database)
    doors = Doors(server, database, bearer(OPERATOR_TOKEN))
    doors.play(
        "OrganizationService/CreateOrganization",
        [
            organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="acme")),
        ],
    )
    project = organizations_pb2.Project(slug="web")
    doors.play(
        "OrganizationService/CreateProject",
        [organizations_pb2.CreateProjectRequest(parent="organizations/acme", project=project)],
    )
    release = releases_pb2.Release(version=RELEASE.rpartition("/")[2], projects=["organizations/acme/projects/web"])
    doors.play(
        "ReleaseService/CreateRelease",
        [releases_pb2.CreateReleaseRequest(parent="organizations/acme", release=release)],
    )
    yield doors
    server.store.blobs.close()
