"""GetReleaseFile, UpdateReleaseFile and DeleteReleaseFile over the wire."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from releaseregistry.v1 import files_pb2 as pb
from releaseregistry.v1 import releases_pb2

from tests.rpc.sending import RELEASE, content_of, download, file_names, upload
from tests.rpc.wire import Served, bearer, raises_reason


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web", "api"])
    server.make_release("organizations/acme", "app@1.0.0", "web", "api")
    return server


def get(acme: Served, name: str, *, metadata: Any = None) -> pb.ReleaseFile:
    return acme.releases.GetReleaseFile(pb.GetReleaseFileRequest(name=name), metadata=metadata or acme.operator).file


def update(acme: Served, name: str, *paths: str, metadata: Any = None, **fields: Any) -> pb.ReleaseFile:
    own = {field: fields.pop(field) for field in ("request_id", "validate_only") if field in fields}
    file = pb.ReleaseFile(name=name, **fields)
    request = pb.UpdateReleaseFileRequest(file=file, update_mask=FieldMask(paths=paths), **own)
    return acme.releases.UpdateReleaseFile(request, metadata=metadata or acme.operator).file


def delete(acme: Served, name: str, *, metadata: Any = None, **fields: Any) -> None:
    request = pb.DeleteReleaseFileRequest(name=name, **fields)
    acme.releases.DeleteReleaseFile(request, metadata=metadata or acme.operator)


def test_a_file_is_answered_without_its_content(acme: Served) -> None:
    file = upload(acme, content_of(100_000), project="organizations/acme/projects/web").file

    assert get(acme, file.name) == file


def test_a_file_that_is_not_there_or_not_the_callers_is_not_found(acme: Served) -> None:
    file = upload(acme, b"abc", project="organizations/acme/projects/web").file
    api = bearer(acme.make_token("organizations/acme", "release:admin", projects=["api"]))

    for name, metadata in ((file.name, api), (f"{RELEASE}/files/{uuid.uuid4()}", acme.operator)):
        with raises_reason("FILE_NOT_FOUND", "NOT_FOUND") as refusal:
            get(acme, name, metadata=metadata)
        assert refusal.metadata == {"name": name}
    for attempt in (update, delete):
        with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
            attempt(acme, file.name, metadata=api)
        with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
            attempt(acme, f"{RELEASE}/files/1")
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        get(acme, RELEASE)


def test_without_a_mask_what_is_populated_changes(acme: Served) -> None:
    file = upload(acme, b"abc", headers={"a": "1"}).file

    renamed = update(acme, file.name, file_name="b.js")

    assert (renamed.file_name, dict(renamed.headers)) == ("b.js", {"a": "1"})
    assert renamed.name == file.name
    assert get(acme, file.name) == renamed == download(acme, file.name)[0]
    assert dict(update(acme, file.name, headers={"b": "2"}).headers) == {"b": "2"}


def test_a_mask_names_what_changes_and_clears(acme: Served) -> None:
    file = upload(acme, b"abc", headers={"a": "1"}).file

    assert update(acme, file.name, "file_name", file_name="b.js", headers={"x": "y"}).headers == {"a": "1"}
    assert dict(update(acme, file.name, "headers", file_name="c.js").headers) == {}
    assert get(acme, file.name).file_name == "b.js"
    assert update(acme, file.name, "*", file_name="d.js", headers={"z": "1"}).headers == {"z": "1"}
    assert update(acme, file.name, "size_bytes", size_bytes=7).size_bytes == 3
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        update(acme, file.name, "*", headers={"z": "1"})


@pytest.mark.parametrize("path", ["dist", "project", "sha256", "kind", "name", "nonsense"])
def test_nothing_else_can_be_changed(acme: Served, path: str) -> None:
    file = upload(acme, b"abc").file

    with raises_reason("INVALID_MASK", "INVALID_ARGUMENT"):
        update(acme, file.name, path)


def test_a_taken_name_is_refused(acme: Served) -> None:
    file = upload(acme, b"abc", "a").file
    upload(acme, b"abc", "b")

    with raises_reason("FILE_EXISTS", "ALREADY_EXISTS"):
        update(acme, file.name, file_name="b")
    assert file_names(acme) == ["a", "b"]


def test_a_request_id_has_one_effect_and_validating_none(acme: Served) -> None:
    file = upload(acme, b"abc", "a").file
    request_id = str(uuid.uuid4())

    assert update(acme, file.name, file_name="b", validate_only=True).file_name == "b"
    assert get(acme, file.name).file_name == "a"
    first = update(acme, file.name, file_name="c", request_id=request_id)
    update(acme, file.name, file_name="d")
    assert update(acme, file.name, file_name="c", request_id=request_id) == first
    assert get(acme, file.name).file_name == "d"
    delete(acme, file.name, validate_only=True)
    delete(acme, file.name, request_id=request_id)
    delete(acme, file.name, request_id=request_id)
    assert file_names(acme) == []


def test_a_deleted_file_is_gone(acme: Served) -> None:
    file = upload(acme, b"abc", "a").file
    upload(acme, b"abc", "b")

    delete(acme, file.name)

    assert file_names(acme) == ["b"]
    request = releases_pb2.GetReleaseRequest(name=RELEASE)
    assert acme.releases.GetRelease(request, metadata=acme.operator).release.file_count == 1
    for attempt in (get, delete, update, download):
        with raises_reason("FILE_NOT_FOUND", "NOT_FOUND"):
            attempt(acme, file.name)


def test_changing_needs_release_write(acme: Served) -> None:
    file = upload(acme, b"abc", "a").file
    reader = bearer(acme.make_token("organizations/acme", "release:read", projects=["web", "api"]))

    for attempt in (update, delete):
        with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
            attempt(acme, file.name, metadata=reader)
    assert get(acme, file.name, metadata=reader) == file
