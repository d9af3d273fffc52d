"""CollectGarbage over the wire."""

from __future__ import annotations

import pytest
from releaseregistry.v1 import admin_pb2, admin_pb2_grpc, files_pb2, release_service_pb2, releases_pb2
from releaseregistry.v1 import admin_pb2 as pb

from server.edge.methods import methods_of
from store.leases import Job, holding_lease
from tests.clocks import ManualClock
from tests.rpc.sending import MIB, RELEASE, content_of, download, upload
from tests.rpc.wire import Served, bearer, raises_reason

DAY = 24 * 3600


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web"])
    server.make_release("organizations/acme", "app@1.0.0", "web")
    return server


def collect(server: Served, *, validate_only: bool = False) -> pb.CollectGarbageResponse:
    stub = admin_pb2_grpc.AdminServiceStub(server.channel)
    return stub.CollectGarbage(pb.CollectGarbageRequest(validate_only=validate_only), metadata=server.operator)


def packs(server: Served) -> int:
    return len([path for path in (server.server.settings.data / "blobs" / "packs").rglob("*") if path.is_file()])


def test_the_bytes_of_a_deleted_file_go_a_day_later(acme: Served, clock: ManualClock) -> None:
    content = content_of(MIB)
    gone, kept = upload(acme, content, "gone.bin").file, upload(acme, b"small", "kept.txt").file
    acme.releases.DeleteReleaseFile(files_pb2.DeleteReleaseFileRequest(name=gone.name), metadata=acme.operator)
    clock.advance(seconds=DAY - 1)
    assert collect(acme) == pb.CollectGarbageResponse()
    clock.advance(seconds=1)
    told = collect(acme, validate_only=True)
    assert packs(acme) == 1
    done = collect(acme)
    assert done == told
    assert (done.removed_content_count, done.removed_pack_count, done.freed_bytes) == (1, 1, MIB)
    assert done.removed_chunk_count >= 1
    assert packs(acme) == 0
    assert download(acme, kept.name)[1] == b"small"
    assert collect(acme) == pb.CollectGarbageResponse()


def test_the_files_of_a_deleted_release_keep_their_bytes_for_a_day_from_then_on(
    acme: Served, clock: ManualClock
) -> None:
    upload(acme, content_of(MIB))
    clock.advance(seconds=30 * DAY)
    acme.releases.DeleteRelease(releases_pb2.DeleteReleaseRequest(name=RELEASE), metadata=acme.operator)
    acme.server.housekeeping.run_once()
    assert packs(acme) == 1
    clock.advance(seconds=DAY)
    acme.server.housekeeping.run_once()
    assert packs(acme) == 0


def test_content_that_comes_again_in_time_stays(acme: Served, clock: ManualClock) -> None:
    content = content_of(MIB)
    first = upload(acme, content).file
    acme.releases.DeleteReleaseFile(files_pb2.DeleteReleaseFileRequest(name=first.name), metadata=acme.operator)
    clock.advance(seconds=DAY)
    again = upload(acme, content).file
    assert collect(acme).removed_chunk_count == 0
    assert download(acme, again.name)[1] == content


def test_while_another_server_collects_it_is_refused(acme: Served) -> None:
    with holding_lease(acme.database, Job.COLLECTION), raises_reason("COLLECTOR_BUSY", "ABORTED") as refusal:
        collect(acme)
    assert refusal.retry_seconds


def test_only_the_operator_collects(acme: Served) -> None:
    token = bearer(acme.make_token("organizations/acme", "org:admin", "release:admin", all_projects=True))
    stub = admin_pb2_grpc.AdminServiceStub(acme.channel)
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        stub.CollectGarbage(pb.CollectGarbageRequest(), metadata=token)


def test_the_operators_methods_may_take_as_long_as_a_stream_and_no_other_unary_one_may(edge: Served) -> None:
    services = (admin_pb2.DESCRIPTOR, release_service_pb2.DESCRIPTOR)
    methods = [
        method for file in services for service in file.services_by_name.values() for method in methods_of(service)
    ]
    long = {method.name for method in methods if method.takes_long and not method.is_stream}
    assert long == {"CollectGarbage", "CheckStorage", "RunAdoption"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge.server._streams, "_busy", edge.server._streams.slots)
        with raises_reason("STREAMS_BUSY", "UNAVAILABLE"):
            collect(edge)
