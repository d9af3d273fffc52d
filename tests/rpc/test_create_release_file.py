"""CreateReleaseFile over the wire."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import pytest
from releaseregistry.v1 import files_pb2 as pb
from releaseregistry.v1 import organizations_pb2

from tests.rpc.sending import MIB, RELEASE, content_of, digest_of, download, file_names, upload
from tests.rpc.wire import Served, bearer, raises_reason


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web", "api"])
    server.make_release("organizations/acme", "app@1.0.0", "web", "api")
    return server


def create(
    acme: Served,
    content: bytes,
    file_name: str = "copy.js",
    *,
    metadata: Any = None,
    parent: str = RELEASE,
    **fields: Any,
) -> pb.CreateReleaseFileResponse:
    own = {name: fields.pop(name) for name in ("request_id", "validate_only", "replace") if name in fields}
    file = pb.ReleaseFile(**{"file_name": file_name, "sha256": digest_of(content), **fields})
    request = pb.CreateReleaseFileRequest(parent=parent, file=file, **own)
    return acme.releases.CreateReleaseFile(request, metadata=metadata or acme.operator)


def test_a_file_is_made_of_content_that_was_uploaded_before(acme: Served) -> None:
    content = content_of(3 * MIB)
    first = upload(acme, content).file
    acme.make_release("organizations/acme", "app@2.0.0", "web")

    made = create(
        acme,
        content,
        "lib/Copy.js",
        parent="organizations/acme/releases/app@2.0.0",
        project="organizations/acme/projects/web",
        dist="linux",
        headers={"Content-Type": "text/javascript"},
        kind=pb.FILE_KIND_ATTACHMENT,
    )

    file = made.file
    assert made.created
    assert file.name == f"organizations/acme/releases/app@2.0.0/files/{file.uid}"
    assert (file.file_name, file.project, file.dist) == ("lib/Copy.js", "organizations/acme/projects/web", "linux")
    assert (dict(file.headers), file.kind) == ({"Content-Type": "text/javascript"}, pb.FILE_KIND_ATTACHMENT)
    assert (file.size_bytes, file.sha256, list(file.file_name_issues)) == (len(content), first.sha256, [])
    assert download(acme, file.name) == (file, content)


def test_again_it_is_the_same_file(acme: Served) -> None:
    upload(acme, b"abc", "first.js")
    first = create(acme, b"abc")

    assert create(acme, b"abc", headers={"a": "1"}) == pb.CreateReleaseFileResponse(file=first.file, created=False)
    assert first.file.kind == pb.FILE_KIND_RELEASE_FILE


def test_content_that_the_organization_has_not_is_unknown_whoever_has_it(acme: Served) -> None:
    acme.make_organization("other", projects=["web"])
    acme.make_release("organizations/other", "app@1.0.0", "web")
    upload(acme, b"theirs", parent="organizations/other/releases/app@1.0.0")

    told = []
    for content in (b"theirs", b"nobody's"):
        with raises_reason("CONTENT_UNKNOWN", "FAILED_PRECONDITION") as refusal:
            create(acme, content)
        assert refusal.metadata == {"sha256": digest_of(content)}
        told.append(refusal.message)
    assert told[0] == told[1]
    assert file_names(acme) == []


def test_other_content_is_refused_unless_it_replaces(acme: Served) -> None:
    old = upload(acme, b"old", "app.js").file
    upload(acme, b"new", "other.js")

    with raises_reason("FILE_EXISTS", "ALREADY_EXISTS") as refusal:
        create(acme, b"new", "app.js")
    assert refusal.metadata == {"file_name": "app.js", "sha256": digest_of(b"old")}
    made = create(acme, b"new", "app.js", replace=True)

    assert made.created
    assert made.file.uid != old.uid
    assert file_names(acme) == ["app.js", "other.js"]
    with raises_reason("FILE_NOT_FOUND", "NOT_FOUND"):
        download(acme, old.name)


def test_a_request_id_has_one_effect_and_validating_none(acme: Served) -> None:
    upload(acme, b"abc", "first.js")
    request_id = str(uuid.uuid4())

    create(acme, b"abc", "a", validate_only=True)
    first = create(acme, b"abc", "b", request_id=request_id)
    again = create(acme, b"abc", "b", request_id=request_id)

    assert again == first
    assert again.created
    assert file_names(acme) == ["b", "first.js"]
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        create(acme, b"abc", "c", request_id=request_id)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("file.sha256", {"sha256": ""}),
        ("file.sha256", {"sha256": "x" * 64}),
        ("file.file_name", {"file_name": ""}),
        ("file.file_name", {"file_name": "a\\b"}),
        ("file.file_name", {"file_name": "é" * 513}),
        ("file.dist", {"dist": "x" * 65}),
        ("file.kind", {"kind": 9}),
    ],
)
def test_bad_fields_are_named(acme: Served, field: str, fields: dict[str, Any]) -> None:
    upload(acme, b"abc", "first.js")

    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        create(acme, b"abc", **fields)

    assert list(refusal.violations) == [field]


def test_projects_elsewhere_are_refused(acme: Served) -> None:
    upload(acme, b"abc", "first.js")
    acme.make_project("organizations/acme", "cli")

    for project in ("organizations/acme/projects/cli", "organizations/other/projects/web"):
        with raises_reason("PROJECT_NOT_IN_RELEASE", "FAILED_PRECONDITION"):
            create(acme, b"abc", project=project)


def test_names_that_trouble_some_disk_are_flagged(acme: Served) -> None:
    upload(acme, b"abc", "first.js")

    assert list(create(acme, b"abc", "C:/nul").file.file_name_issues) == [
        pb.FILE_NAME_ISSUE_PATH,
        pb.FILE_NAME_ISSUE_RESERVED,
        pb.FILE_NAME_ISSUE_CHARACTER,
    ]
    assert list(create(acme, b"abc", "First.js").file.file_name_issues) == [pb.FILE_NAME_ISSUE_COLLISION]
    assert list(create(acme, b"abc", "a. /" + "x" * 256).file.file_name_issues) == [
        pb.FILE_NAME_ISSUE_TRAILING,
        pb.FILE_NAME_ISSUE_LENGTH,
    ]


def test_downloading_a_kind_needs_the_scope_that_the_organization_names(acme: Served) -> None:
    file = upload(acme, b"abc", "app.debug", kind=pb.FILE_KIND_DEBUG_FILE).file
    organization = organizations_pb2.Organization(name="organizations/acme", debug_files_role="release:admin")
    request = organizations_pb2.UpdateOrganizationRequest(organization=organization)
    acme.organizations.UpdateOrganization(request, metadata=acme.operator)
    reader = bearer(acme.make_token("organizations/acme", "release:write", projects=["web", "api"]))

    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        download(acme, file.name, metadata=reader)

    assert refusal.metadata == {"scope": "release:admin"}
    admin = bearer(acme.make_token("organizations/acme", "release:admin", projects=["web", "api"]))
    assert download(acme, file.name, metadata=admin)[1] == b"abc"
    got = acme.releases.GetReleaseFile(pb.GetReleaseFileRequest(name=file.name), metadata=reader).file
    assert got.sha256 == hashlib.sha256(b"abc").hexdigest()
