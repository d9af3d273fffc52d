"""DeleteRelease over the wire."""

from __future__ import annotations

import uuid

import grpc
import pytest
from releaseregistry.v1 import releases_pb2

from tests.rpc.wire import Metadata, Served, bearer, raises_reason

PARENT = "organizations/acme"
NAME = f"{PARENT}/releases/1.0.0"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("api", "web"))
    return server


def delete(
    acme: Served,
    *,
    etag: str = "",
    request_id: str = "",
    validate_only: bool = False,
    metadata: Metadata | None = None,
) -> None:
    request = releases_pb2.DeleteReleaseRequest(
        name=NAME, etag=etag, request_id=request_id, validate_only=validate_only
    )
    acme.releases.DeleteRelease(request, metadata=metadata or acme.operator)


def get(acme: Served) -> releases_pb2.Release:
    return acme.releases.GetRelease(releases_pb2.GetReleaseRequest(name=NAME), metadata=acme.operator).release


def test_a_deleted_release_is_gone_and_its_version_free(acme: Served) -> None:
    first = acme.make_release(PARENT, "1.0.0", "web")
    delete(acme)

    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        get(acme)
    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        delete(acme)
    second = acme.make_release(PARENT, "1.0.0", "web")
    assert second.uid != first.uid


def test_an_etag_of_before_is_refused(acme: Served) -> None:
    before = acme.make_release(PARENT, "1.0.0", "web")
    now = acme.make_release(PARENT, "1.0.0", "api")
    with raises_reason("ETAG_MISMATCH", grpc.StatusCode.ABORTED) as refusal:
        delete(acme, etag=before.etag)
    assert refusal.metadata == {"etag": now.etag}
    delete(acme, etag=now.etag)


def test_a_token_of_one_of_its_projects_cannot_delete(acme: Served) -> None:
    acme.make_release(PARENT, "1.0.0", "web", "api")
    caller = bearer(acme.make_token(PARENT, "release:admin", projects=("web",)))
    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        delete(acme, metadata=caller)


def test_deleting_needs_the_scope_of_its_own(acme: Served) -> None:
    acme.make_release(PARENT, "1.0.0", "web")
    caller = bearer(acme.make_token(PARENT, "release:write", projects=("web",)))
    with raises_reason("SCOPE_MISSING", grpc.StatusCode.PERMISSION_DENIED):
        delete(acme, metadata=caller)


def test_a_repeated_request_id_does_not_delete_the_next_release_of_the_version(acme: Served) -> None:
    acme.make_release(PARENT, "1.0.0", "web")
    request_id = str(uuid.uuid4())
    delete(acme, request_id=request_id)
    second = acme.make_release(PARENT, "1.0.0", "web")
    delete(acme, request_id=request_id)
    assert get(acme) == second


def test_a_rehearsal_deletes_nothing(acme: Served) -> None:
    created = acme.make_release(PARENT, "1.0.0", "web")
    delete(acme, validate_only=True)
    assert get(acme) == created
