"""What somebody with grpcurl sees: reflection alone is enough to find, call and understand everything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import uuid
from pathlib import Path

import pytest
from releaseregistry.v1 import errors_pb2

from tests.clients.conftest import GRPCURL, Grpcurl
from tests.clients.readme import ADDRESS, tour
from tests.server_process import ServerProcess

SERVICES = {
    "grpc.health.v1.Health",
    "releaseregistry.v1.OrganizationService",
    "releaseregistry.v1.ReleaseHealthService",
    "releaseregistry.v1.ReleaseService",
    "releaseregistry.v1.TokenService",
}
RELEASES = "releaseregistry.v1.ReleaseService"
ORGANIZATIONS = "releaseregistry.v1.OrganizationService"


@pytest.fixture
def organization(grpcurl: Grpcurl) -> str:
    """The name of an organization with a project `web`."""
    slug = f"acme-{uuid.uuid4().hex[:8]}"
    made = grpcurl(f"{ORGANIZATIONS}/CreateOrganization", body={"organization": {"slug": slug}}).json
    name: str = made["organization"]["name"]
    grpcurl(f"{ORGANIZATIONS}/CreateProject", body={"parent": name, "project": {"slug": "web"}}).json  # noqa: B018
    return name


def test_reflection_lists_every_service_without_a_token(grpcurl: Grpcurl) -> None:
    listed = grpcurl("list", token=None)

    assert listed.exit_code == 0, listed.err
    assert set(listed.out.split()) >= SERVICES


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_reflection_describes_every_method_and_its_messages(grpcurl: Grpcurl, service: str) -> None:
    described = grpcurl("describe", service, token=None)

    assert described.exit_code == 0, described.err
    messages = set(re.findall(r"\(\s*(?:stream\s+)?\.([\w.]+)\s*\)", described.out))
    assert messages
    for message in messages:
        assert grpcurl("describe", message, token=None).exit_code == 0, message


def test_reflection_describes_a_single_method(grpcurl: Grpcurl) -> None:
    described = grpcurl("describe", f"{RELEASES}.CreateRelease", token=None)

    assert described.exit_code == 0, described.err
    assert "rpc CreateRelease ( .releaseregistry.v1.CreateReleaseRequest )" in described.out


def test_reflection_describes_the_reasons_of_errors(grpcurl: Grpcurl) -> None:
    described = grpcurl("describe", "releaseregistry.v1.ErrorReason", token=None)

    assert described.exit_code == 0, described.err
    assert "ERROR_REASON_RELEASE_NOT_FOUND = 16;" in described.out


@pytest.mark.parametrize("word", [f"{RELEASES}.CreateNothing", "releaseregistry.v1.Nothing.Create", "Nothing"])
def test_reflection_does_not_know_what_is_not_there(grpcurl: Grpcurl, word: str) -> None:
    described = grpcurl("describe", word, token=None)

    assert described.exit_code != 0
    assert "Symbol not found" in described.err


def test_reflection_shows_the_scope_that_a_method_needs(grpcurl: Grpcurl) -> None:
    described = grpcurl("describe", RELEASES, token=None)

    assert re.search(r"rpc DeleteRelease [^}]*required_scope\) = \"release:admin\"", described.out)


def test_health_is_answered_without_a_token(grpcurl: Grpcurl) -> None:
    assert grpcurl("grpc.health.v1.Health/Check", token=None).json == {"status": "SERVING"}


@pytest.mark.parametrize("service", sorted(SERVICES - {"grpc.health.v1.Health"}))
def test_health_knows_each_service(grpcurl: Grpcurl, service: str) -> None:
    answer = grpcurl("grpc.health.v1.Health/Check", body={"service": service}, token=None)

    assert answer.json == {"status": "SERVING"}


def test_a_refused_call_shows_code_reason_and_what_it_was_about(grpcurl: Grpcurl, organization: str) -> None:
    name = f"{organization}/releases/missing"

    refused = grpcurl(f"{RELEASES}/GetRelease", body={"name": name})

    assert refused.exit_code != 0
    assert "Code: NotFound" in refused.err
    details = json.loads(grpcurl("-format-error", f"{RELEASES}/GetRelease", body={"name": name}).err)["details"]
    (info,) = [detail for detail in details if detail["@type"].endswith("google.rpc.ErrorInfo")]
    assert (info["reason"], info["domain"]) == ("RELEASE_NOT_FOUND", "releaseregistry.dev")
    assert info["metadata"] == {"name": name}


@pytest.mark.parametrize(
    ("method", "body", "code", "reason"),
    [
        ("GetRelease", {}, "InvalidArgument", "INVALID_FIELD"),
        ("GetRelease", {"name": "releases/app"}, "InvalidArgument", "INVALID_NAME"),
        ("GetRelease", {"name": "organizations/nobody/releases/app"}, "NotFound", "ORGANIZATION_NOT_FOUND"),
        ("ListReleases", {"parent": "organizations/nobody", "page_size": -1}, "InvalidArgument", "INVALID_FIELD"),
        ("UploadReleaseFile", {"data": {"offset": 0, "data": "AAAA"}}, "InvalidArgument", "FRAME_OUT_OF_ORDER"),
    ],
)
def test_a_wrong_request_names_its_reason(grpcurl: Grpcurl, method: str, body: object, code: str, reason: str) -> None:
    refused = grpcurl(f"{RELEASES}/{method}", body=body)

    assert f"Code: {code}" in refused.err
    assert reason in refused.err
    assert f"ERROR_REASON_{reason}" in errors_pb2.ErrorReason.keys()  # noqa: SIM118 - an enum wrapper, no dict


def test_a_call_without_a_token_is_told_so(grpcurl: Grpcurl) -> None:
    refused = grpcurl("releaseregistry.v1.TokenService/WhoAmI", token=None)

    assert "Code: Unauthenticated" in refused.err
    assert "CREDENTIALS_MISSING" in refused.err


def test_a_file_goes_up_and_comes_down_again(grpcurl: Grpcurl, organization: str) -> None:
    """Streams are JSON messages one after the other; bytes are base64."""
    content = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(256)) * 40
    release = f"{organization}/releases/app@1.0.0"
    created = {
        "parent": organization,
        "release": {"version": "app@1.0.0", "projects": [f"{organization}/projects/web"]},
    }
    assert grpcurl(f"{RELEASES}/CreateRelease", body=created).json["outcome"] == "CREATE_RELEASE_OUTCOME_CREATED"
    frames: list[dict[str, object]] = [
        {"header": {"upload_id": str(uuid.uuid4()), "parent": release, "file_name": "dist/app.js", "dist": "beta"}}
    ]
    for offset in range(0, len(content), 100_000):
        data = base64.b64encode(content[offset : offset + 100_000]).decode()
        frames.append({"data": {"offset": offset, "data": data}})
    frames.append({"finish": {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}})

    stream = "\n".join(json.dumps(frame) for frame in frames).encode()
    uploaded = grpcurl(f"{RELEASES}/UploadReleaseFile", data=stream).json

    assert uploaded["created"] is True
    (listed,) = grpcurl(f"{RELEASES}/ListReleaseFiles", body={"parent": release}).json["files"]
    assert listed == uploaded["file"]
    assert (listed["file_name"], listed["dist"], listed["size_bytes"]) == ("dist/app.js", "beta", str(len(content)))
    downloaded = grpcurl(f"{RELEASES}/DownloadReleaseFile", body={"name": listed["name"]})
    messages = json.loads("[" + re.sub(r"^}$\n(?=^{$)", "},", downloaded.out, flags=re.MULTILINE) + "]")
    assert messages[0] == {"file": listed}
    assert b"".join(base64.b64decode(message["data"]) for message in messages[1:]) == content


def test_the_readme_names_methods_that_exist(grpcurl: Grpcurl) -> None:
    """The lines themselves are run, on both databases, with the rest of the tour (test_tour.py)."""
    lines = [line for line in tour() if line.startswith("grpcurl ")]
    assert len(lines) > 3
    for line in lines:
        method = re.search(rf"{re.escape(ADDRESS)} (releaseregistry\S+/\S+)", line)
        if method:
            service, _, name = method[1].partition("/")
            assert f"rpc {name} " in grpcurl("describe", service, token=None).out, line


def test_messages_that_are_no_messages_are_refused_not_unknown(
    sqlite_server: ServerProcess, grpcurl: Grpcurl, tmp_path: Path
) -> None:
    """grpcurl with a contract of its own, in which a field has another type: the server sees bytes it cannot read."""
    contract = tmp_path / "other.proto"
    contract.write_text(
        'syntax = "proto3"; package releaseregistry.v1;'
        " service ReleaseService { rpc GetRelease(GetReleaseRequest) returns (GetReleaseRequest); }"
        " message GetReleaseRequest { bytes name = 1; }"  # bytes that are no UTF-8, where the server wants text
    )
    done = subprocess.run(
        [
            *(str(GRPCURL), "-plaintext", "-max-time", "30", "-import-path", str(tmp_path), "-proto", "other.proto"),
            *("-H", f"authorization: Bearer {sqlite_server.token}", "-d", json.dumps({"name": "//79/A=="})),
            *(sqlite_server.address, f"{RELEASES}/GetRelease"),
        ],
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert b"Code: InvalidArgument" in done.stderr
    # This contract does not know google.rpc.ErrorInfo, so grpcurl shows its bytes.
    details = [base64.b64decode(value) for value in re.findall(rb'"@value":"([^"]+)"', done.stderr)]
    assert any(b"MESSAGE_MALFORMED" in detail for detail in details)
    assert grpcurl("grpc.health.v1.Health/Check", token=None).json == {"status": "SERVING"}
