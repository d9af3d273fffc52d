"""What fails is told in one line with its reason, by an exit code, and is repeated where that helps."""

from __future__ import annotations

import hashlib
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.descriptor_pb2 import MethodOptions
from releaseregistry.v1 import admin_pb2, files_pb2, releases_pb2, tokens_pb2
from releaseregistry.v1.commits_pb2 import Commit

from relctl import Client, FileDraft, LocalError, RegistryError, ReleaseDraft, connect
from relctl.connection import ATTEMPTS, SERVICES, service_config
from relctl.errors import decode_error
from server.edge.errors import Draining, StreamsBusy, to_status
from store.errors import CommitsBusy, EtagMismatch, ReleaseNotFound, StorageFull
from tests.relctl.command_line import Relctl
from tests.relctl.scripts import Script
from tests.rpc.wire import OPERATOR_TOKEN, Served


def refused(client: Client) -> RegistryError:
    with pytest.raises(RegistryError) as raised:
        client.releases.get("acme", "app@1.0.0")
    return raised.value


def test_an_error_has_code_reason_message_metadata_and_the_request_id(acme: Served) -> None:
    with connect(acme.address, token=OPERATOR_TOKEN) as client, pytest.raises(RegistryError) as raised:
        client.releases.get("acme", "missing")
    error = raised.value
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert error.reason == "RELEASE_NOT_FOUND"
    assert error.metadata == {"name": "organizations/acme/releases/missing"}
    assert str(error) == f"RELEASE_NOT_FOUND: {error.message}"
    assert error.request_id
    assert error.retry_after_seconds is None


def test_an_error_names_every_bad_field(acme: Served) -> None:
    with connect(acme.address, token=OPERATOR_TOKEN) as client, pytest.raises(RegistryError) as raised:
        client.releases.create("acme", ReleaseDraft(version="a/b", ref="x" * 201))
    assert {violation.field for violation in raised.value.violations} == {"release.version", "release.ref"}


def test_every_bad_field_is_told_in_one_line(ctl: Relctl) -> None:
    line = ctl.fails(1, "INVALID_FIELD", "release", "create", "a/b", "--ref", "x" * 201, "--project", "web")
    assert "release.version" in line
    assert "release.ref" in line


def test_a_server_that_is_not_there_is_unavailable(relctl: Relctl) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"cannot reach the server at {server}" in relctl.fails(5, "UNAVAILABLE", "whoami", "--server", server)


def test_a_server_that_does_not_answer_in_time_is_unavailable_too(relctl: Relctl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        relctl.fails(5, "DEADLINE_EXCEEDED", "whoami", "--server", server, "--timeout", "0.5")


def test_exit_codes_tell_kinds_of_failures_apart(acme: Served, ctl: Relctl, relctl: Relctl, tmp_path: Path) -> None:
    ctl.fails(1, "PROJECT_EXISTS", "project", "create", "web")
    ctl.fails(2, "USAGE", "nonsense")
    ctl.fails(2, "USAGE", "release", "get", "app@1.0.0", "--nonsense")
    ctl.fails(3, "RELEASE_NOT_FOUND", "commits", "missing")
    ctl.fails(3, "ORGANIZATION_NOT_FOUND", "release", "list", "--org", "missing")
    ctl.fails(4, "PROJECT_FORBIDDEN", "release", "list", "--project", "missing")
    ctl.fails(6, "LOCAL", "release", "set-commits", "app@1.0.0", "--auto", "--git", tmp_path)
    secret = acme.make_token("organizations/acme", "release:read", all_projects=True)
    assert "release:admin" in relctl.at(acme, secret).fails(
        4, "SCOPE_MISSING", "release", "delete", "app@1.0.0", "--yes"
    )


def test_an_error_without_an_answer_of_the_server_has_the_name_of_its_code_as_reason() -> None:
    with connect("127.0.0.1:1", deadline_seconds=60) as client:
        error = refused(client)
    assert (error.reason, error.metadata, error.violations) == ("UNAVAILABLE", {}, ())


class Reset(grpc.RpcError):
    """How gRPC tells a refusal of a stream that a proxy reset because its last message had not come."""

    def __init__(self, refusal: Draining) -> None:
        super().__init__()
        self._metadata = tuple(Entry(*entry) for entry in to_status(refusal, request_id="").trailing_metadata)

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.CANCELLED

    def details(self) -> str:
        return "CANCELLED"

    def trailing_metadata(self) -> tuple[Any, ...]:
        return self._metadata


class Entry(NamedTuple):
    key: str
    value: str | bytes


def test_what_the_server_said_counts_where_a_proxy_made_another_code_of_it() -> None:
    error = decode_error(Reset(Draining()))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert error.is_worth_repeating
    assert error.message == str(Draining())


def test_a_call_that_bears_repetition_is_repeated_with_the_same_request_id(scripted: Script) -> None:
    seen: list[str] = []

    def update(request: releases_pb2.UpdateReleaseRequest, call: object) -> releases_pb2.UpdateReleaseResponse:
        seen.append(request.request_id)
        if len(seen) < 3:
            raise Draining
        return releases_pb2.UpdateReleaseResponse(release=releases_pb2.Release(version="app@1.0.0"))

    client = scripted(UpdateRelease=update).client
    updated = client.releases.update("acme", "app@1.0.0", releases_pb2.Release(ref="x"), paths=["ref"])
    assert updated.version == "app@1.0.0"
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert str(uuid.UUID(seen[0])) == seen[0]


def test_any_other_refusal_is_not_repeated(scripted: Script) -> None:
    calls: list[object] = []

    def get(request: object, call: object) -> releases_pb2.GetReleaseResponse:
        calls.append(request)
        raise ReleaseNotFound("acme", "app@1.0.0")

    assert refused(scripted(GetRelease=get).client).reason == "RELEASE_NOT_FOUND"
    assert len(calls) == 1


@pytest.mark.parametrize("refusal", [EtagMismatch('"3"'), StorageFull()], ids=["etag", "disk"])
def test_what_only_people_can_mend_is_not_repeated(scripted: Script, refusal: Exception) -> None:
    calls: list[object] = []

    def create(request: object, call: object) -> releases_pb2.CreateReleaseResponse:
        calls.append(request)
        raise refusal

    made = scripted(CreateRelease=create)
    with pytest.raises(RegistryError):
        made.client.releases.create("acme", ReleaseDraft(version="app@1.0.0"))
    assert (len(calls), made.slept) == (1, [])


def test_a_release_whose_commits_others_are_setting_is_created_again_with_the_same_request_id(
    scripted: Script,
) -> None:
    seen: list[str] = []

    def create(request: releases_pb2.CreateReleaseRequest, call: object) -> releases_pb2.CreateReleaseResponse:
        seen.append(request.request_id)
        if len(seen) < 3:
            raise CommitsBusy("acme", "app@1.0.0")  # asks for a second
        return releases_pb2.CreateReleaseResponse(release=releases_pb2.Release(commit_count=1))

    made = scripted(CreateRelease=create)
    answer = made.client.releases.create("acme", ReleaseDraft(version="app@1.0.0"), commits=[Commit(id="a")])
    assert answer.release.commit_count == 1
    assert (len(seen), len(set(seen))) == (3, 1)
    assert len(made.slept) == 2
    assert min(made.slept) >= 0.8


def test_a_call_that_is_too_late_for_another_attempt_tells_why_it_was_refused(scripted: Script) -> None:
    calls: list[object] = []

    def create(request: object, call: object) -> releases_pb2.CreateReleaseResponse:
        calls.append(request)
        raise CommitsBusy("acme", "app@1.0.0")

    made = scripted(CreateRelease=create)
    with connect(made.server.address, token=OPERATOR_TOKEN, deadline_seconds=0.7) as hasty:
        with pytest.raises(RegistryError) as raised:
            hasty.releases.create("acme", ReleaseDraft(version="app@1.0.0"))
    assert raised.value.reason == "COMMITS_BUSY"
    assert (len(calls), made.slept) == (1, [])
    with pytest.raises(RegistryError) as raised:
        made.client.releases.create("acme", ReleaseDraft(version="app@1.0.0"))
    assert raised.value.reason == "COMMITS_BUSY"
    assert len(calls) == 1 + ATTEMPTS


def test_a_token_whose_secret_was_lost_on_the_way_is_no_success(scripted: Script, relctl: Relctl) -> None:
    def create(request: tokens_pb2.CreateTokenRequest, call: object) -> tokens_pb2.CreateTokenResponse:
        return tokens_pb2.CreateTokenResponse(token=tokens_pb2.Token(uid="the-uid"))

    ctl = relctl.at(scripted(CreateToken=create).server)
    line = ctl.fails(6, "LOCAL", "token", "create", "ci", "--scope", "org:read", "--org", "acme")
    assert "revoke the token the-uid" in line


def test_commits_are_sent_again_whole_while_the_server_is_unavailable(scripted: Script) -> None:
    attempts: list[list[str]] = []

    def set_commits(requests: Iterator[Any], call: object) -> releases_pb2.SetCommitsResponse:
        attempts.append([commit.id for request in requests for commit in request.commits])
        if len(attempts) == 1:
            raise Draining
        return releases_pb2.SetCommitsResponse(release=releases_pb2.Release(commit_count=2))

    client = scripted(SetCommits=set_commits).client
    assert client.releases.set_commits("acme", "app@1.0.0", [Commit(id="a"), Commit(id="b")]).commit_count == 2
    assert attempts == [["a", "b"], ["a", "b"]]


def test_commits_are_sent_again_while_others_are_setting_theirs(scripted: Script) -> None:
    attempts: list[int] = []

    def set_commits(requests: Iterator[Any], call: object) -> releases_pb2.SetCommitsResponse:
        attempts.append(sum(len(request.commits) for request in requests))
        if len(attempts) == 1:
            raise CommitsBusy("acme", "app@1.0.0")
        return releases_pb2.SetCommitsResponse(release=releases_pb2.Release(commit_count=1))

    client = scripted(SetCommits=set_commits).client
    assert client.releases.set_commits("acme", "app@1.0.0", [Commit(id="a")]).commit_count == 1
    assert attempts == [1, 1]


def test_an_upload_is_sent_again_from_the_start_under_the_same_id(scripted: Script, tmp_path: Path) -> None:
    content = b"x" * 700_000
    source = tmp_path / "artifact"
    source.write_bytes(content)
    headers: list[files_pb2.UploadHeader] = []
    received: list[bytes] = []

    def upload(requests: Iterator[files_pb2.UploadReleaseFileRequest], call: object) -> object:
        headers.append(next(requests).header)
        if len(headers) == 1:
            next(requests)
            raise StreamsBusy(16)
        frames = list(requests)
        received.append(b"".join(frame.data.data for frame in frames[:-1]))
        assert frames[0].data.offset == 0
        assert frames[-1].finish.sha256 == hashlib.sha256(content).hexdigest()
        assert frames[-1].finish.size_bytes == len(content)
        return files_pb2.UploadReleaseFileResponse(created=True)

    progress: list[int] = []
    client = scripted(UploadReleaseFile=upload).client
    draft = FileDraft(file_name="artifact")
    assert client.files.upload("acme", "app@1.0.0", source, draft, progress=progress.append).created
    assert headers[0] == headers[1]
    assert received == [content]
    assert progress[-1] == len(content)


def test_an_upload_is_given_up_after_so_many_attempts_and_waits_as_long_as_it_is_asked_to(
    scripted: Script, tmp_path: Path
) -> None:
    source = tmp_path / "artifact"
    source.write_bytes(b"x")
    attempts: list[object] = []

    def upload(requests: Iterator[files_pb2.UploadReleaseFileRequest], call: object) -> object:
        attempts.append(next(requests))
        raise StreamsBusy(16)  # asks for a second

    made = scripted(UploadReleaseFile=upload)
    with pytest.raises(RegistryError) as raised:
        made.client.files.upload("acme", "app@1.0.0", source, FileDraft(file_name="artifact"))
    assert raised.value.reason == "STREAMS_BUSY"
    assert len(attempts) == ATTEMPTS
    assert len(made.slept) == ATTEMPTS - 1
    assert min(made.slept) >= 0.8


def test_a_file_that_grows_while_it_is_sent_is_not_finished(scripted: Script, tmp_path: Path) -> None:
    source = tmp_path / "artifact"
    source.write_bytes(b"x" * 1000)
    ended: list[str] = []

    def upload(requests: Iterator[files_pb2.UploadReleaseFileRequest], call: object) -> object:
        ended.extend(str(request.WhichOneof("frame")) for request in requests)
        raise ReleaseNotFound("acme", "app@1.0.0")

    def grow(sent: int) -> None:
        if sent == 0:
            with source.open("ab") as stream:
                stream.write(b"y" * 10)

    client = scripted(UploadReleaseFile=upload).client
    with pytest.raises(LocalError, match="changed while it was sent"):
        client.files.upload("acme", "app@1.0.0", source, FileDraft(file_name="artifact"), progress=grow)
    assert "finish" not in ended


def the_file(content: bytes) -> files_pb2.ReleaseFile:
    return files_pb2.ReleaseFile(
        name="organizations/acme/releases/app@1.0.0/files/1",
        file_name="artifact",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def test_a_download_goes_on_where_it_was_when_the_server_went_away(scripted: Script, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100
    file = the_file(content)
    offsets: list[int] = []

    def download(request: files_pb2.DownloadReleaseFileRequest, call: object) -> Iterator[object]:
        offsets.append(request.offset)
        yield files_pb2.DownloadReleaseFileResponse(file=file)
        yield files_pb2.DownloadReleaseFileResponse(data=content[request.offset : request.offset + 10_000])
        if request.offset + 10_000 < len(content):
            raise Draining

    target = tmp_path / "copy"
    scripted(DownloadReleaseFile=download).client.files.download(file, target)
    assert target.read_bytes() == content
    assert offsets == [0, 10_000, 20_000]


@pytest.mark.parametrize(("sent", "message"), [(b"wrong", "SHA-256"), (b"short"[:3], "3 bytes arrived")])
def test_what_is_not_what_was_announced_is_never_left_under_its_name(
    scripted: Script, tmp_path: Path, sent: bytes, message: str
) -> None:
    def download(request: object, call: object) -> Iterator[object]:
        yield files_pb2.DownloadReleaseFileResponse(file=the_file(b"right"))
        yield files_pb2.DownloadReleaseFileResponse(data=sent)

    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "copy").write_text("before")
    with pytest.raises(LocalError, match=message):
        scripted(DownloadReleaseFile=download).client.files.download(the_file(b"right"), folder / "copy")
    assert [path.name for path in folder.iterdir()] == ["copy"]
    assert (folder / "copy").read_text() == "before"


def test_the_service_config_lists_what_the_protos_call_idempotent_and_streams_no_requests() -> None:
    import importlib.resources
    import json

    config = json.loads((importlib.resources.files("releaseregistry.v1") / "grpc_service_config.json").read_text())
    listed = {(name["service"], name["method"]) for entry in config["methodConfig"] for name in entry["name"]}
    bearing = {
        (service.full_name, method.name)
        for service in (*SERVICES, admin_pb2.DESCRIPTOR.services_by_name["AdminService"])
        for method in service.methods
        if method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN and not method.client_streaming
    }
    assert listed == bearing
    (policy,) = (entry["retryPolicy"] for entry in config["methodConfig"])
    assert policy["retryableStatusCodes"] == ["UNAVAILABLE"]


def test_the_client_repeats_what_carries_a_request_id_besides() -> None:
    import json

    listed = {name["method"] for name in json.loads(service_config())["methodConfig"][0]["name"]}
    assert {"CreateToken", "UpdateRelease", "DeleteRelease", "CreateProject"} <= listed
    assert not listed & {"SetCommits", "UploadReleaseFile"}
