"""UpdateRelease over the wire."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import releases_pb2

from tests.rpc.wire import Served, bearer, raises_reason

PARENT = "organizations/acme"
NAME = f"{PARENT}/releases/1.0.0"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("api", "web"))
    release = releases_pb2.Release(
        version="1.0.0",
        projects=[f"{PARENT}/projects/web", f"{PARENT}/projects/api"],
        ref="main",
        owner="someone",
        release_time=Timestamp(seconds=5),
    )
    request = releases_pb2.CreateReleaseRequest(parent=PARENT, release=release)
    server.releases.CreateRelease(request, metadata=server.operator)
    return server


def update(acme: Served, *paths: str, metadata: Any = None, **fields: Any) -> releases_pb2.Release:
    own = {name: fields.pop(name) for name in ("request_id", "validate_only") if name in fields}
    release = releases_pb2.Release(name=NAME, **fields)
    request = releases_pb2.UpdateReleaseRequest(release=release, update_mask=FieldMask(paths=paths), **own)
    return acme.releases.UpdateRelease(request, metadata=metadata or acme.operator).release


def read(acme: Served) -> releases_pb2.Release:
    return acme.releases.GetRelease(releases_pb2.GetReleaseRequest(name=NAME), metadata=acme.operator).release


def test_without_a_mask_what_is_populated_changes(acme: Served) -> None:
    release = update(acme, ref="v1", status=releases_pb2.RELEASE_STATUS_ARCHIVED)
    assert (release.ref, release.owner) == ("v1", "someone")
    assert release.status == releases_pb2.RELEASE_STATUS_ARCHIVED
    assert read(acme) == release


def test_named_fields_that_are_empty_are_cleared(acme: Served) -> None:
    update(acme, status=releases_pb2.RELEASE_STATUS_ARCHIVED)
    release = update(acme, "ref", "release_time", "status")
    assert release.ref == ""
    assert not release.HasField("release_time")
    assert release.status == releases_pb2.RELEASE_STATUS_OPEN
    assert release.owner == "someone"


def test_a_star_replaces_everything(acme: Served) -> None:
    release = update(acme, "*", url="https://example.com")
    assert (release.ref, release.owner, release.url) == ("", "", "https://example.com")
    assert not release.HasField("release_time")


@pytest.mark.parametrize("path", ["versoin", "version", "projects", "etag", "release_time.seconds"])
def test_a_path_that_cannot_be_changed_is_refused(acme: Served, path: str) -> None:
    with raises_reason("INVALID_MASK", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        update(acme, path, ref="x")
    assert refusal.metadata["path"] == path


def test_what_the_server_fills_in_is_ignored(acme: Served) -> None:
    release = update(acme, "ref", "commit_count", ref="v1", commit_count=5)
    assert (release.ref, release.commit_count) == ("v1", 0)


def test_an_etag_of_before_is_refused_with_the_one_of_now(acme: Served) -> None:
    before = read(acme)
    now = update(acme, etag=before.etag, ref="v1")
    with raises_reason("ETAG_MISMATCH", grpc.StatusCode.ABORTED) as refusal:
        update(acme, etag=before.etag, ref="v2")
    assert refusal.metadata == {"etag": now.etag}
    assert read(acme) == now


def test_a_token_of_one_of_its_projects_cannot_update(acme: Served) -> None:
    caller = bearer(acme.make_token(PARENT, "release:write", projects=("web",)))
    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        update(acme, ref="v1", metadata=caller)


def test_a_repeated_request_id_has_one_effect(acme: Served) -> None:
    request_id = str(uuid.uuid4())
    first = update(acme, ref="v1", request_id=request_id)
    update(acme, ref="v2")
    assert update(acme, ref="v1", request_id=request_id) == first
    assert read(acme).ref == "v2"


def test_a_rehearsal_changes_nothing(acme: Served) -> None:
    before = read(acme)
    assert update(acme, ref="v1", validate_only=True).ref == "v1"
    assert read(acme) == before
