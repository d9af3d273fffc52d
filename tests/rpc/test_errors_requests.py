"""Requests that no handler should see: bytes that are no message, and fields that hold what they may not."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import commits_pb2, files_pb2, organizations_pb2, releases_pb2, tokens_pb2

from server.edge.methods import Method
from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.serving import served
from tests.rpc.test_errors_credentials import METHODS
from tests.rpc.wire import Served, raises_reason

PARENT = "organizations/acme"
NAME = f"{PARENT}/releases/app@1.0.0"
# Truncated; a wrong wire type; a length beyond the end; a text that is no UTF-8 (in field 1, a text in every request
# that has one).
UNDECODABLE = [b"\x0a", b"\x0f\x01", b"\x0a\x7fx", b"\x0a\x02\xc3\x28"]


def call_with_bytes(served: Served, method: Any, *messages: bytes) -> None:
    """Call a method with bytes in place of its messages."""
    channel, metadata = served.raw, served.operator
    if method.client_streams:
        channel.stream_unary(method.path)(iter(messages), metadata=metadata, timeout=60)
    elif method.server_streams:
        list(channel.unary_stream(method.path)(messages[0], metadata=metadata, timeout=60))
    else:
        channel.unary_unary(method.path)(messages[0], metadata=metadata, timeout=60)


@pytest.mark.parametrize("kind", ["unary", "client stream", "server stream"])
def test_there_is_a_method_of_every_kind_to_test_with(kind: str) -> None:
    kinds: dict[str, Callable[[Method], bool]] = {
        "unary": lambda method: not method.is_stream,
        "client stream": lambda method: method.client_streams,
        "server stream": lambda method: method.server_streams,
    }
    assert any(kinds[kind](method) for method in METHODS)


@pytest.mark.parametrize("encoded", UNDECODABLE[:3], ids=["truncated", "wire type", "length"])
def test_bytes_that_are_no_message_are_refused_by_every_method(edge: Served, encoded: bytes) -> None:
    for method in METHODS:
        with raises_reason("MESSAGE_MALFORMED", "INVALID_ARGUMENT") as refusal:
            call_with_bytes(edge, method, encoded)
        assert refusal.metadata == {"type": method.request_type.DESCRIPTOR.full_name}


def test_text_that_is_no_utf8_is_refused(edge: Served) -> None:
    for method in METHODS:
        if method.name in ("GetRelease", "SetCommits", "DownloadReleaseFile", "GetOrganization"):
            with raises_reason("MESSAGE_MALFORMED", "INVALID_ARGUMENT"):
                call_with_bytes(edge, method, UNDECODABLE[3])


def test_a_message_nested_deeper_than_a_hundred_levels_is_refused(edge: Served) -> None:
    whoami = next(method for method in METHODS if method.name == "WhoAmI")
    with raises_reason("MESSAGE_MALFORMED", "INVALID_ARGUMENT"):
        call_with_bytes(edge, whoami, b"\x0b" * 150 + b"\x0c" * 150)
    call_with_bytes(edge, whoami, b"\x0b" * 90 + b"\x0c" * 90)  # it was the depth, and not what was nested


def test_unknown_fields_are_ignored(edge: Served) -> None:
    whoami = next(method for method in METHODS if method.name == "WhoAmI")
    call_with_bytes(edge, whoami, b"\xfa\x7f\x03abc")


def test_unknown_fields_make_no_other_request(edge: Served) -> None:
    request_id = str(uuid.uuid4())
    organization = organizations_pb2.Organization(slug="acme")
    create = organizations_pb2.CreateOrganizationRequest(organization=organization, request_id=request_id)
    method = next(method for method in METHODS if method.name == "CreateOrganization")
    call_with_bytes(edge, method, create.SerializeToString())
    call_with_bytes(edge, method, create.SerializeToString() + b"\xfa\x7f\x03abc")

    edge.make_organization("beta")
    first = edge.organizations.ListOrganizations(
        organizations_pb2.ListOrganizationsRequest(page_size=1), metadata=edge.operator
    )
    next_page = organizations_pb2.ListOrganizationsRequest(page_token=first.next_page_token)
    method = next(method for method in METHODS if method.name == "ListOrganizations")
    call_with_bytes(edge, method, next_page.SerializeToString() + b"\xfa\x7f\x03abc")


def test_undecodable_bytes_in_the_middle_of_a_stream_are_refused(edge: Served) -> None:
    edge.make_organization("acme", projects=["web"])
    edge.make_release(PARENT, "app@1.0.0", "web")
    method = next(method for method in METHODS if method.name == "SetCommits")
    first = commits_pb2.SetCommitsRequest(name=NAME, commits=[commits_pb2.Commit(id="a")])
    with raises_reason("MESSAGE_MALFORMED", "INVALID_ARGUMENT"):
        call_with_bytes(edge, method, first.SerializeToString(), b"\xff")


def test_a_unary_call_without_a_message_is_refused(edge: Served) -> None:
    whoami = edge.raw.stream_unary("/releaseregistry.v1.TokenService/WhoAmI")
    with raises_reason("MESSAGE_MALFORMED", "INVALID_ARGUMENT"):
        whoami(iter(()), metadata=edge.operator, timeout=60)


def create_release(**fields: Any) -> releases_pb2.CreateReleaseRequest:
    return releases_pb2.CreateReleaseRequest(
        parent=PARENT, release=releases_pb2.Release(**{"version": "app@1.0.0", "projects": [], **fields})
    )


def with_commit(**fields: Any) -> releases_pb2.CreateReleaseRequest:
    request = create_release()
    request.commits.append(commits_pb2.Commit(**{"id": "a", **fields}))
    return request


def changed(**fields: Any) -> releases_pb2.CreateReleaseRequest:
    file = commits_pb2.ChangedFile(**{"path": "a", "change_type": commits_pb2.CHANGE_TYPE_ADDED, **fields})
    return with_commit(changed_files=[file])


CASES: list[tuple[releases_pb2.CreateReleaseRequest, str]] = [
    (create_release(owner="a\0b"), "release.owner"),
    (create_release(owner="two\nlines"), "release.owner"),
    (create_release(owner="\u2028"), "release.owner"),
    (create_release(owner="x" * 201), "release.owner"),
    (create_release(owner="\U0001f600" * 201), "release.owner"),
    (create_release(ref="\x7f"), "release.ref"),
    (create_release(url="javascript:alert(1)"), "release.url"),
    (create_release(url="https://"), "release.url"),
    (create_release(url="https://a\0"), "release.url"),
    (create_release(version="a/b"), "release.version"),
    (create_release(version="a\0b"), "release.version"),
    (create_release(version="x" * 201), "release.version"),
    (create_release(status=3), "release.status"),
    (create_release(status=-1), "release.status"),
    (create_release(status=2**31 - 1), "release.status"),
    (create_release(release_time=Timestamp(seconds=2**63 - 1)), "release.release_time"),
    (create_release(release_time=Timestamp(seconds=-(2**63))), "release.release_time"),
    (create_release(release_time=Timestamp(seconds=253402300800)), "release.release_time"),
    (create_release(release_time=Timestamp(seconds=-62135596801)), "release.release_time"),
    (create_release(release_time=Timestamp(nanos=1_000_000_000)), "release.release_time"),
    (create_release(release_time=Timestamp(nanos=-1)), "release.release_time"),
    (create_release(projects=[f"{PARENT}/projects/web"] * 101), "release.projects"),
    (create_release(projects=["ok", "a\0"]), "release.projects[1]"),
    (releases_pb2.CreateReleaseRequest(parent=PARENT), "release"),
    (releases_pb2.CreateReleaseRequest(release=releases_pb2.Release(version="app@1.0.0")), "parent"),
    (releases_pb2.CreateReleaseRequest(parent="\0", release=releases_pb2.Release(version="app@1.0.0")), "parent"),
    (releases_pb2.CreateReleaseRequest(parent=PARENT, release=create_release().release, request_id="17"), "request_id"),
    (with_commit(id=""), "commits[0].id"),
    (with_commit(id="x" * 65), "commits[0].id"),
    (with_commit(id="a\0"), "commits[0].id"),
    (with_commit(message="a\0"), "commits[0].message"),
    (with_commit(message="x" * 65537), "commits[0].message"),
    (with_commit(author_email="a\0@example.com"), "commits[0].author_email"),
    (with_commit(author_email="x" * 256), "commits[0].author_email"),
    (with_commit(author_name="\0"), "commits[0].author_name"),
    (with_commit(repository="x" * 201), "commits[0].repository"),
    (with_commit(commit_time=Timestamp(nanos=-1)), "commits[0].commit_time"),
    (changed(path=""), "commits[0].changed_files[0].path"),
    (changed(path="a\0"), "commits[0].changed_files[0].path"),
    (changed(path="x" * 511), "commits[0].changed_files[0].path"),
    (changed(change_type=0), "commits[0].changed_files[0].change_type"),
    (changed(change_type=4), "commits[0].changed_files[0].change_type"),
]


def test_a_field_that_holds_what_it_may_not_is_named(server: Served) -> None:
    server.make_organization("acme", projects=["web"])
    for request, field in CASES:
        with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
            server.releases.CreateRelease(request, metadata=server.operator)
        assert list(refusal.violations) == [field], request
        assert refusal.metadata["field"] == field


def test_more_than_a_thousand_commits_are_too_many_for_one_creation(edge: Served) -> None:
    request = create_release()
    request.commits.extend(commits_pb2.Commit(id=str(number)) for number in range(1001))
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        edge.releases.CreateRelease(request, metadata=edge.operator)
    assert list(refusal.violations) == ["commits"]


UNKNOWN_VALUE: Any = 9


def other_cases(served: Served) -> list[tuple[Callable[..., Any], Any, str]]:
    releases, organizations, tokens = served.releases, served.organizations, served.tokens
    token = tokens_pb2.Token(scopes=["org:read"])
    request_id = str(uuid.uuid4())
    lists, download = releases_pb2.ListReleasesRequest, files_pb2.DownloadReleaseFileRequest

    def organization(**fields: Any) -> organizations_pb2.CreateOrganizationRequest:
        return organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(**fields))

    return [
        (releases.ListReleases, lists(parent=PARENT, page_size=-1), "page_size"),
        (releases.ListReleases, lists(parent=PARENT, page_size=-(2**31)), "page_size"),
        (
            releases.ListReleases,
            lists(parent=PARENT, statuses=[releases_pb2.RELEASE_STATUS_OPEN, UNKNOWN_VALUE]),
            "statuses[1]",
        ),
        (releases.ListReleases, lists(parent=PARENT, page_token="x" * 1201), "page_token"),
        (releases.GetRelease, releases_pb2.GetReleaseRequest(), "name"),
        (releases.GetRelease, releases_pb2.GetReleaseRequest(name=NAME, view=UNKNOWN_VALUE), "view"),
        (releases.DownloadReleaseFile, download(name=NAME, offset=-1), "offset"),
        (releases.DownloadReleaseFile, download(name=NAME, limit=-(2**63)), "limit"),
        (organizations.CreateOrganization, organization(slug="No"), "organization.slug"),
        (organizations.CreateOrganization, organization(slug="good", display_name="\0"), "organization.display_name"),
        (tokens.CreateToken, tokens_pb2.CreateTokenRequest(parent=PARENT, token=token), "request_id"),
        (
            tokens.CreateToken,
            tokens_pb2.CreateTokenRequest(parent=PARENT, token=tokens_pb2.Token(), request_id=request_id),
            "token.scopes",
        ),
    ]


def test_a_field_of_other_requests_that_holds_what_it_may_not_is_named(edge: Served) -> None:
    edge.make_organization("acme")
    for call, request, field in other_cases(edge):
        with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
            answer = call(request, metadata=edge.operator)
            next(answer)
        assert list(refusal.violations) == [field]


HEADER = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=NAME, file_name="a.js")
FRAMES: list[tuple[dict[str, Any], str]] = [
    ({"upload_id": "17"}, "header.upload_id"),
    ({"upload_id": ""}, "header.upload_id"),
    ({"file_name": "é" * 513}, "header.file_name"),
    ({"file_name": "a\nb"}, "header.file_name"),
    ({"dist": "x" * 65}, "header.dist"),
    ({"size_bytes": -1}, "header.size_bytes"),
    ({"sha256": "AB" * 32}, "header.sha256"),
    ({"sha256": "ab"}, "header.sha256"),
    ({"headers": {"": "x"}}, 'header.headers[""]'),
    ({"headers": {"a\n": "x"}}, 'header.headers["a\\n"]'),
    ({"headers": {"x" * 129: "x"}}, f'header.headers["{"x" * 39}\\u2026"]'),
    ({"headers": {"a": "x" * 1025}}, 'header.headers["a"]'),
    ({"headers": {"a": "\0"}}, 'header.headers["a"]'),
    ({"headers": {str(number): "" for number in range(65)}}, "header.headers"),
]


def test_a_bad_field_in_a_frame_of_an_upload_is_named(edge: Served) -> None:
    for fields, path in FRAMES:
        header = files_pb2.UploadHeader()
        header.CopyFrom(HEADER)
        for name, value in fields.items():
            if name == "headers":
                header.headers.update(value)
            else:
                setattr(header, name, value)
        with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
            edge.releases.UploadReleaseFile(
                iter([files_pb2.UploadReleaseFileRequest(header=header)]), metadata=edge.operator
            )
        assert list(refusal.violations) == [path]


def test_a_frame_of_more_than_a_mebibyte_is_refused(sqlite: Database, clock: ManualClock, tmp_path: Any) -> None:
    def upload(
        requests: Iterator[files_pb2.UploadReleaseFileRequest], _: object
    ) -> files_pb2.UploadReleaseFileResponse:
        for _request in requests:
            pass
        return files_pb2.UploadReleaseFileResponse()

    def frame(size: int) -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield files_pb2.UploadReleaseFileRequest(data=files_pb2.UploadData(data=bytes(size)))

    with served(sqlite, clock, tmp_path, script={"UploadReleaseFile": upload}) as running:
        running.releases.UploadReleaseFile(frame(1 << 20), metadata=running.operator)
        with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
            running.releases.UploadReleaseFile(frame((1 << 20) + 1), metadata=running.operator)
        assert list(refusal.violations) == ["data.data"]


def test_many_bad_fields_are_cut_and_counted(edge: Served) -> None:
    request = create_release()
    request.commits.extend(commits_pb2.Commit(id="a\0" + "\U0001f600" * 300) for _ in range(1000))
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        edge.releases.CreateRelease(request, metadata=edge.operator)
    assert 0 < len(refusal.violations) <= 20
    assert int(refusal.metadata["violations_omitted"]) >= 1
    assert refusal.detail_bytes <= 4096


def test_a_message_of_more_than_4_mib_is_refused_before_it_is_read(edge: Served) -> None:
    request = create_release(owner="x" * (4 << 20))
    with pytest.raises(grpc.RpcError) as raised:
        edge.releases.CreateRelease(request, metadata=edge.operator)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # grpc's own; it has no reason


def test_metadata_of_more_than_8_kib_is_refused_every_time(edge: Served) -> None:
    for _ in range(8):
        with pytest.raises(grpc.RpcError) as raised:
            edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=(*edge.operator, ("x-filler", "x" * 8500)))
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=(*edge.operator, ("x-filler", "x" * 7000)))


def test_an_unknown_method_is_unimplemented(edge: Served) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        edge.raw.unary_unary("/releaseregistry.v1.ReleaseService/Nothing")(b"", metadata=edge.operator)
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
