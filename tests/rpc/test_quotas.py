"""Quotas as callers meet them: who sets them, who is told what is used, and what is refused (behaviour.md, Quotas)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from releaseregistry.v1 import files_pb2, uploads_pb2
from releaseregistry.v1 import organizations_pb2 as pb

from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.sending import content_of, data, eventually, finish, frames, header, send
from tests.rpc.serving import served
from tests.rpc.wire import Metadata, Served, bearer, raises_reason

MIB = 2**20


def new_token(server: Served) -> Metadata:
    return bearer(server.make_token("organizations/acme", "org:admin", "release:admin", all_projects=True))


@pytest.fixture
def ci(server: Served) -> Metadata:
    """A token of acme, which has the release app@1.0.0."""
    prepare(server)
    return new_token(server)


def prepare(server: Served) -> None:
    server.make_organization(projects=["web"])
    server.make_release("organizations/acme", "app@1.0.0", "web")


def update(server: Served, metadata: Metadata, organization: pb.Organization, *paths: str) -> pb.Organization:
    organization.name = "organizations/acme"
    request = pb.UpdateOrganizationRequest(organization=organization, update_mask=FieldMask(paths=paths))
    return server.organizations.UpdateOrganization(request, metadata=metadata).organization


def limit(server: Served, **quota: int) -> pb.Organization:
    wanted = pb.Organization(quota=pb.OrganizationQuota(**quota))
    return update(server, server.operator, wanted, *(f"quota.{name}" for name in quota))


def get(server: Served, metadata: Metadata | None = None) -> pb.Organization:
    request = pb.GetOrganizationRequest(name="organizations/acme")
    return server.organizations.GetOrganization(request, metadata=metadata or server.operator).organization


@contextmanager
def open_stream(server: Served, metadata: Metadata, name: str) -> Iterator[None]:
    """An upload that has begun and waits for its next message, until the block ends."""
    messages: SimpleQueue[files_pb2.UploadReleaseFileRequest | None] = SimpleQueue()
    messages.put(header(name))
    running = get(server).usage.stream_count
    call = server.releases.UploadReleaseFile.future(iter(messages.get, None), metadata=metadata)
    assert eventually(lambda: call.done() or get(server).usage.stream_count > running)
    try:
        if call.done():
            call.result()
        yield
    finally:
        call.cancel()
        messages.put(None)
        assert eventually(lambda: get(server).usage.stream_count <= running)


def test_what_is_used_is_told_by_get_alone(server: Served, ci: Metadata) -> None:
    assert get(server, ci).usage == pb.OrganizationUsage(quota=pb.OrganizationQuota())
    send(server, frames(b"twelve bytes", header()), metadata=ci)
    limit(server, stored_bytes=1000, stream_count=7)
    told = get(server, ci)
    assert (told.usage.stored_bytes, told.usage.file_count, told.usage.stream_count) == (12, 1, 0)
    assert told.quota == told.usage.quota == pb.OrganizationQuota(stored_bytes=1000, stream_count=7)
    (listed,) = server.organizations.ListOrganizations(pb.ListOrganizationsRequest(), metadata=ci).organizations
    changed = update(server, ci, pb.Organization(join_requests=True), "join_requests")
    for other in (listed, changed):
        assert not other.HasField("usage")
        assert other.quota == told.quota


def test_the_settings_hold_where_nothing_else_is_said(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    with served(database, clock, tmp_path, quota_stored_bytes=100, quota_file_count=1) as server:
        prepare(server)
        ci = new_token(server)
        assert get(server).usage.quota == pb.OrganizationQuota(stored_bytes=100, file_count=1)
        assert not get(server).HasField("quota")
        with raises_reason("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED") as refusal:
            send(server, frames(bytes(101), header()), metadata=ci)
        assert refusal.metadata == {"quota": "stored_bytes", "limit": "100", "used": "0"}
        assert refusal.retry_seconds is None
        limit(server, stored_bytes=101)
        send(server, frames(bytes(101), header()), metadata=ci)
        with raises_reason("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED") as refusal:
            send(server, frames(b"", header("two")), metadata=ci)
        assert refusal.metadata == {"quota": "file_count", "limit": "1", "used": "1"}


def test_an_organization_is_created_with_a_quota(server: Served) -> None:
    wanted = pb.Organization(slug="acme", quota=pb.OrganizationQuota(file_count=0))
    request = pb.CreateOrganizationRequest(organization=wanted)
    made = server.organizations.CreateOrganization(request, metadata=server.operator).organization
    assert made.quota == wanted.quota
    assert get(server).usage.quota == wanted.quota


def test_a_mask_names_quotas_alone_or_together(server: Served, ci: Metadata) -> None:
    assert ci
    limit(server, stored_bytes=1, file_count=2, stream_count=3)
    only = pb.Organization(quota=pb.OrganizationQuota(file_count=20))
    told = update(server, server.operator, only)
    assert told.quota == pb.OrganizationQuota(stored_bytes=1, file_count=20, stream_count=3), "populated ones alone"
    told = update(server, server.operator, pb.Organization(), "quota.stored_bytes")
    assert told.quota == pb.OrganizationQuota(file_count=20, stream_count=3)
    assert update(server, server.operator, only, "quota").quota == only.quota
    everything = pb.Organization(slug="acme", quota=pb.OrganizationQuota(stored_bytes=5))
    assert update(server, server.operator, everything, "*").quota == everything.quota
    assert not update(server, server.operator, pb.Organization(slug="acme"), "*").HasField("quota")
    with raises_reason("INVALID_MASK", "INVALID_ARGUMENT"):
        update(server, server.operator, only, "quota.files")
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        update(server, server.operator, pb.Organization(quota=pb.OrganizationQuota(file_count=-1)))


def test_a_token_of_the_organization_sets_no_quota(server: Served, ci: Metadata) -> None:
    limit(server, stored_bytes=10)
    more = pb.Organization(quota=pb.OrganizationQuota(stored_bytes=11))
    for paths in ((), ("quota",), ("quota.stored_bytes",), ("display_name", "quota.file_count", "quota")):
        with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
            update(server, ci, more, *paths)
        assert refusal.metadata == {"scope": "installation:admin"}
    told = get(server, ci)
    told.display_name = "Acme Inc."
    assert update(server, ci, told).display_name == "Acme Inc.", "what is as it was is not set"
    told.ClearField("quota")
    told.display_name = "Acme"
    changed = update(server, ci, told, "*")
    assert (changed.display_name, changed.quota.stored_bytes) == ("Acme", 10)


def test_an_upload_is_refused_in_its_middle_and_goes_on_later(server: Served, ci: Metadata) -> None:
    limit(server, stored_bytes=33 * MIB)
    content = content_of(40 * MIB)
    begun = header("large.bin")
    with raises_reason("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED") as refusal:
        send(server, frames(content, begun, size=MIB), metadata=ci)
    assert refusal.metadata["quota"] == "stored_bytes"
    name = f"organizations/acme/uploads/{begun.header.upload_id}"
    uploaded = server.uploads.GetUpload(uploads_pb2.GetUploadRequest(name=name), metadata=ci).upload
    assert uploaded.committed_bytes == get(server).usage.stored_bytes == int(refusal.metadata["used"]) > 30 * MIB
    limit(server, stored_bytes=40 * MIB)
    start = uploaded.committed_bytes
    rest = [data(content[at : at + MIB], at) for at in range(start, len(content), MIB)]
    file = send(server, [begun, *rest, finish(content)], metadata=ci).file
    assert file.size_bytes == len(content)
    assert get(server).usage.stored_bytes == 40 * MIB


def test_as_many_streams_as_the_quota_says_run_at_a_time(server: Served, ci: Metadata) -> None:
    limit(server, stream_count=2)
    with open_stream(server, ci, "one"), open_stream(server, ci, "two"):
        assert get(server, ci).usage.stream_count == 2
        with raises_reason("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED") as refusal:
            send(server, frames(b"three", header("three")), metadata=ci)
        assert refusal.metadata == {"quota": "stream_count", "limit": "2", "used": "2"}
        assert refusal.retry_seconds == 5.0
        assert get(server, ci).name, "what is no stream is no concern of it"
        send(server, frames(b"the operator's", header("operator")))
    send(server, frames(b"three", header("three")), metadata=ci)


def test_a_stream_quota_of_nothing_ends_every_stream(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    with served(database, clock, tmp_path, quota_stream_count=0) as server:
        prepare(server)
        ci = new_token(server)
        with raises_reason("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED") as refusal:
            send(server, frames(b"", header()), metadata=ci)
        assert refusal.metadata == {"quota": "stream_count", "limit": "0", "used": "0"}
        assert get(server, ci).usage.stream_count == 0


def test_the_quota_of_one_organization_tells_another_nothing(server: Served, ci: Metadata) -> None:
    def answers_of_acme(file_name: str) -> list[bytes]:
        sent = send(server, frames(b"the same bytes", header(file_name)), metadata=ci).file
        told = [get(server, ci).usage.quota.SerializeToString(), sent.sha256.encode()]
        for slug in ("other", "nobody"):
            with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND") as refusal:
                request = pb.GetOrganizationRequest(name=f"organizations/{slug}")
                server.organizations.GetOrganization(request, metadata=ci)
            told.append(str(refusal.metadata).replace(slug, "").encode())
        assert told[-1] == told[-2], "one that is full looks like one that is not there"
        return told

    server.make_organization("other", projects=["web"])
    server.make_release("organizations/other", "app@1.0.0", "web")
    before = answers_of_acme("before.js")
    # The other one has what acme is about to send again, and then may have nothing more.
    theirs = header("theirs.js", parent="organizations/other/releases/app@1.0.0")
    send(server, frames(b"the same bytes", theirs))
    full = pb.Organization(name="organizations/other", quota=pb.OrganizationQuota(stored_bytes=0, file_count=0))
    request = pb.UpdateOrganizationRequest(organization=full, update_mask=FieldMask(paths=["quota"]))
    server.organizations.UpdateOrganization(request, metadata=server.operator)
    assert answers_of_acme("after.js") == before
    assert get(server, ci).usage.file_count == 2
