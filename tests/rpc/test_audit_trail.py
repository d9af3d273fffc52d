"""The audit trail: one line for each call that may change something, and for each that nobody was known to make."""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from prometheus_client import REGISTRY
from releaseregistry.v1 import (
    files_pb2,
    organizations_pb2,
    releases_pb2,
    tokens_pb2,
)

from server.telemetry.audit import AUTHENTICATION, CHANGE, AuditFile, FailureQuota, start_audit
from server.telemetry.logs import JsonFormatter
from store.database import CannotOpen
from tests.rpc.sending import upload
from tests.rpc.serving import SERVICES
from tests.rpc.wire import Served, bearer, raises_reason

METHODS = [method for service in SERVICES for method in service.methods]
MUTATING = [method for method in METHODS if method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS]
READING = [method for method in METHODS if method not in MUTATING]

Trail = Callable[[], list[dict[str, Any]]]


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def kept() -> Iterator[Kept]:
    logger, handler = logging.getLogger("audit"), Kept()
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


@pytest.fixture
def trail(server: Served, kept: Kept) -> Trail:
    """The lines since it was last asked, once no call is under way."""

    def told() -> list[dict[str, Any]]:
        for lane in server.server.lanes:
            assert lane.wait_until_idle(time.monotonic() + 30)
        lines, kept.lines = kept.lines, []
        return lines

    return told


def call(server: Served, method: MethodDescriptor, metadata: Any) -> str:
    """Calls the method with one empty message: the code of its end."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    name = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    invoke = getattr(server.raw, name)(path)
    try:
        answer = invoke(iter([b""]) if method.client_streaming else b"", metadata=metadata, timeout=60)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def label(method: MethodDescriptor) -> str:
    return f"{method.containing_service.name}/{method.name}"


@pytest.mark.parametrize("method", MUTATING, ids=label)
def test_a_call_that_may_change_something_has_one_line(server: Served, trail: Trail, method: MethodDescriptor) -> None:
    trail()
    code = call(server, method, server.operator)
    (line,) = trail()
    assert (line["message"], line["method"], line["code"]) == (CHANGE, label(method), code)
    assert line["token_id"]
    assert line["request_id"]
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert ("reason" in line) == (code != "OK")


@pytest.mark.parametrize("method", READING, ids=label)
def test_a_call_that_only_reads_has_none(server: Served, trail: Trail, method: MethodDescriptor) -> None:
    trail()
    call(server, method, server.operator)
    assert trail() == []


@pytest.mark.parametrize("method", METHODS, ids=label)
def test_a_call_without_a_good_credential_has_one_line(server: Served, trail: Trail, method: MethodDescriptor) -> None:
    trail()
    assert call(server, method, bearer("rr_not-a-token-that-anybody-has")) == "UNAUTHENTICATED"
    (line,) = trail()
    assert (line["message"], line["method"], line["reason"]) == (AUTHENTICATION, label(method), "CREDENTIALS_INVALID")
    assert "token_id" not in line


def test_a_line_names_what_was_touched_and_who_did_it(server: Served, trail: Trail) -> None:
    organization = server.make_organization(projects=["web"])
    secret = server.make_token(organization, "release:write", projects=["web"])
    trail()
    release = releases_pb2.Release(version="app@1.0.0", projects=[f"{organization}/projects/web"])
    server.releases.CreateRelease(
        releases_pb2.CreateReleaseRequest(parent=organization, release=release),
        metadata=bearer(secret, x_caller="ci of acme", x_request_id="build-17"),
    )
    (line,) = trail()
    assert (line["organization"], line["projects"]) == ("acme", ["web"])
    assert (line["caller"], line["request_id"], line["code"]) == ("ci of acme", "build-17", "OK")
    assert line["resources"] == [
        "organizations/acme",
        "organizations/acme/projects/web",
        "organizations/acme/releases/app@1.0.0",
    ]


def test_a_rehearsal_says_so(server: Served, trail: Trail) -> None:
    trail()
    organization = organizations_pb2.Organization(slug="acme")
    server.organizations.CreateOrganization(
        organizations_pb2.CreateOrganizationRequest(organization=organization, validate_only=True),
        metadata=server.operator,
    )
    (line,) = trail()
    assert line["validate_only"] is True
    assert line["organization"] == "acme"


def test_a_stream_names_the_file_that_came_of_it(server: Served, trail: Trail) -> None:
    organization = server.make_organization(projects=["web"])
    server.make_release(organization, "app@1.0.0", "web")
    trail()
    file = upload(server, b"content").file
    (line,) = trail()
    assert line["method"] == "ReleaseService/UploadReleaseFile"
    assert line["resources"] == ["organizations/acme/releases/app@1.0.0", file.name]


@pytest.mark.parametrize("kind", ["unary", "stream"])
def test_whoever_has_an_answer_has_a_line(
    server: Served, kept: Kept, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    organization = server.make_organization(projects=["web"])
    server.make_release(organization, "app@1.0.0", "web")
    kept.lines.clear()
    emit = kept.emit

    def late(record: logging.LogRecord) -> None:
        time.sleep(0.2)  # an answer that did not wait for the line would be here before it
        emit(record)

    monkeypatch.setattr(kept, "emit", late)
    if kind == "unary":
        server.make_release(organization, "app@2.0.0", "web")
    else:
        upload(server, b"content")
    assert [(line["message"], line["code"]) for line in kept.lines] == [(CHANGE, "OK")]


def test_a_write_without_the_scope_is_told_with_its_token(server: Served, trail: Trail) -> None:
    organization = server.make_organization(projects=["web"])
    secret = server.make_token(organization, "release:read", all_projects=True)
    trail()
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        server.releases.DeleteRelease(
            releases_pb2.DeleteReleaseRequest(name=f"{organization}/releases/app@1.0.0"), metadata=bearer(secret)
        )
    (line,) = trail()
    assert (line["message"], line["reason"]) == (CHANGE, "SCOPE_MISSING")
    assert line["token_id"]


def test_no_line_holds_a_secret(server: Served, trail: Trail) -> None:
    organization = server.make_organization(projects=["web"])
    trail()
    token = tokens_pb2.Token(display_name="ci", scopes=["release:write"], all_projects=True)
    created = server.tokens.CreateToken(
        tokens_pb2.CreateTokenRequest(parent=organization, token=token, request_id=str(uuid.uuid4())),
        metadata=server.operator,
    )
    call(server, MUTATING[0], bearer(created.secret + "x"))
    lines = trail()
    assert [line["message"] for line in lines] == [CHANGE, AUTHENTICATION]
    assert created.token.name in lines[0]["resources"]
    assert created.secret not in json.dumps(lines)


def test_whoever_is_not_known_yet_has_no_more_lines_than_any_stranger(server: Served, trail: Trail) -> None:
    trail()
    refused = bearer("rr_not-a-token-that-anybody-has", x_caller="x" * 201)
    for _ in range(30):
        assert call(server, MUTATING[0], refused) == "INVALID_ARGUMENT"
    lines = trail()
    assert {line["message"] for line in lines} == {AUTHENTICATION}


def test_of_many_failures_to_authenticate_the_rest_is_counted() -> None:
    quota = FailureQuota(2)
    assert [quota.take(7.0), quota.take(7.1), quota.take(7.9), quota.take(7.9)] == [0, 0, None, None]
    assert [quota.take(8.0), quota.take(8.1)] == [2, 0]


# ----------------------------------------------------------------------------------------------------------- the file


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "audit.log"
    start_audit(path)
    try:
        yield path
    finally:
        start_audit(None)


def append(number: int) -> None:
    logging.getLogger("audit").info(CHANGE, extra={"fields": {"number": number}})


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text().splitlines()]


def test_the_file_is_its_owners_and_is_only_appended_to(file: Path) -> None:
    append(1)
    start_audit(file)
    append(2)
    assert numbers(file) == [1, 2]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_moved_away_is_followed_by_a_new_one(server: Served, file: Path) -> None:
    append(1)
    moved = file.rename(file.with_suffix(".1"))
    append(2)
    server.server.reload()
    append(3)
    assert (numbers(moved), numbers(file)) == ([1, 2], [3])


def test_the_log_level_keeps_no_line_back(file: Path) -> None:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        append(1)
    finally:
        root.setLevel(before)
    assert numbers(file) == [1]


def test_a_disk_that_is_full_fails_no_call_and_is_counted(server: Served, tmp_path: Path) -> None:
    start_audit(tmp_path / "audit.log")
    name = "release_registry_audit_dropped_lines_total"
    before = REGISTRY.get_sample_value(name) or 0.0
    try:
        (handler,) = logging.getLogger("audit").handlers
        assert isinstance(handler, AuditFile)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, handler._fd)
        os.close(full)
        server.make_organization()
    finally:
        start_audit(None)
    assert (REGISTRY.get_sample_value(name) or 0.0) - before == 1


def test_a_file_that_cannot_be_opened_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="audit trail"):
        start_audit(tmp_path / "missing" / "audit.log")


def test_a_download_is_no_change(server: Served, trail: Trail) -> None:
    organization = server.make_organization(projects=["web"])
    server.make_release(organization, "app@1.0.0", "web")
    file = upload(server, b"content").file
    trail()
    list(
        server.releases.DownloadReleaseFile(
            files_pb2.DownloadReleaseFileRequest(name=file.name), metadata=server.operator
        )
    )
    assert trail() == []
