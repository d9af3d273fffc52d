"""The clients in Go, Java and Node: what they print, and what the server then holds."""

from __future__ import annotations

import hashlib
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from releaseregistry.v1 import commits_pb2, files_pb2, organizations_pb2, releases_pb2, tokens_pb2

from tests.clients.door import door
from tests.clients.programs import BUILD_SECONDS, LANGUAGES, Language, built, run
from tests.server_process import ServerProcess, Stubs

SIZE = 6_000_001
COMMITS = 250
ACME = "organizations/acme"
REFUSED = "refused: INVALID_ARGUMENT INVALID_FIELD (release.version: begins with a space, and spaces are not trimmed."

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 120)


@dataclass(frozen=True, slots=True)
class World:
    """A server with an organization, a token that may write releases of its one project, and releases to find."""

    server: ServerProcess
    stubs: Stubs
    token: str
    file: Path

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ServerProcess(tmp_path / "server") as server, server.channel() as channel:
        yield _world(server, Stubs(channel), tmp_path)


def _world(server: ServerProcess, stubs: Stubs, folder: Path) -> World:
    stubs.organizations.CreateOrganization(
        organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="acme")),
        metadata=server.metadata,
    )
    web = stubs.organizations.CreateProject(
        organizations_pb2.CreateProjectRequest(parent=ACME, project=organizations_pb2.Project(slug="web")),
        metadata=server.metadata,
    ).project.name
    for version in ("app@0.9.0", "app@1.1.0", "app@2.0.0"):
        stubs.releases.CreateRelease(
            releases_pb2.CreateReleaseRequest(
                parent=ACME, release=releases_pb2.Release(version=version, projects=[web])
            ),
            metadata=server.metadata,
        )
    secret = stubs.tokens.CreateToken(
        tokens_pb2.CreateTokenRequest(
            parent=ACME,
            token=tokens_pb2.Token(display_name="ci", scopes=["release:write"], projects=[web]),
            request_id="0b3f1c2d-4e5f-4a6e-9a44-6f9d2c1e0f4b",
        ),
        metadata=server.metadata,
    ).secret
    file = folder / "app.bin"
    file.write_bytes(random.Random(7).randbytes(SIZE))
    return World(server, stubs, secret, file)


def _wait_until_it_listens(server: ServerProcess) -> None:
    host, _, port = server.address.rpartition(":")
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, server.output()
            time.sleep(0.05)
        else:
            return


def printed(language: Language, world: World, **environment: str) -> list[str]:
    """The lines of the program that makes app@1.0.0."""
    told = {"REGISTRY_SERVER": world.server.address, "REGISTRY_TOKEN": world.token, **environment}
    return run(language, [*language.start, "app@1.0.0", str(world.file)], seconds=100, **told).splitlines()


def check_what_was_said(lines: list[str], world: World) -> None:
    from_byte = int(lines[3].rpartition(" ")[2])
    assert 0 < from_byte <= SIZE // 2
    assert lines[6].startswith(REFUSED)
    assert lines[:6] + lines[7:] == [
        f"release: {ACME}/releases/app@1.0.0 CREATED",
        f"commits: {COMMITS}, the newest is {COMMITS:040x}",
        f"upload: cut after {SIZE // 2} of {SIZE} bytes",
        f"upload: goes on from byte {from_byte}",
        f"file: dist/app.bin of {SIZE} bytes, created true",
        "found: app@2.0.0, app@1.1.0, app@1.0.0 on 2 pages",
        f"read back: {SIZE} bytes with SHA-256 {world.sha256}",
    ]


def check_what_is_kept(world: World) -> None:
    server, releases = world.server, world.stubs.releases
    name = f"{ACME}/releases/app@1.0.0"
    release = releases.GetRelease(releases_pb2.GetReleaseRequest(name=name), metadata=server.metadata).release
    assert (release.commit_count, release.file_count, list(release.projects)) == (COMMITS, 1, [f"{ACME}/projects/web"])
    commits = releases.ListCommits(
        commits_pb2.ListCommitsRequest(parent=name, page_size=1000, view=commits_pb2.COMMIT_VIEW_FULL),
        metadata=server.metadata,
    ).commits
    assert [(it.id, it.message, it.commit_time.seconds) for it in commits] == [
        (f"{number:040x}", f"Change {number}", 1_700_000_000 + (number - 1) * 60) for number in range(COMMITS, 0, -1)
    ]
    assert {(it.author_email, it.repository, it.changed_file_count) for it in commits} == {
        ("ada@example.com", "acme/web", 1)
    }
    (file,) = releases.ListReleaseFiles(files_pb2.ListReleaseFilesRequest(parent=name), metadata=server.metadata).files
    assert (file.file_name, file.sha256, dict(file.headers)) == (
        "dist/app.bin",
        world.sha256,
        {"Content-Type": "application/octet-stream"},
    )
    kept = releases.DownloadReleaseFile(files_pb2.DownloadReleaseFileRequest(name=file.name), metadata=server.metadata)
    assert b"".join(message.data for message in kept) == world.file.read_bytes()
    versions = releases.ListReleases(releases_pb2.ListReleasesRequest(parent=ACME), metadata=server.metadata).releases
    assert len(versions) == 4, "the refused one is not there"


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_client_makes_a_release_and_finds_it_whole(name: str, world: World) -> None:
    built(language := LANGUAGES[name])

    lines = printed(language, world)

    print(f"\nexamples/{name}:", *lines, sep="\n  ")
    check_what_was_said(lines, world)
    check_what_is_kept(world)


@pytest.mark.parametrize("name", LANGUAGES)
def test_what_is_refused_for_now_is_sent_again_and_has_one_effect(name: str, world: World) -> None:
    """Unary calls by grpc itself, as the service config says; streams by the program, when the server says."""
    built(language := LANGUAGES[name])
    refusals = {"CreateRelease": 2, "ListReleases": 1, "SetCommits": 2, "DownloadReleaseFile": 1}

    with door(world.server.address, refusals) as passed:
        lines = printed(language, world, REGISTRY_SERVER=passed.address)

    again = [line for line in lines if line.startswith("again in ")]
    assert again == ["again in 0.25 s: UNAVAILABLE STREAMS_BUSY"] * 2
    check_what_was_said([line for line in lines if line not in again], world)
    check_what_is_kept(world)
    assert passed.refused == refusals
    assert passed.calls["CreateRelease"] == 4, "twice refused, once made, once with a wrong version"
    went_on_from = int(next(line for line in lines if "goes on" in line).rpartition(" ")[2])
    assert passed.first_offsets == [0, went_on_from], "no byte was sent twice that the server had"


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_client_speaks_tls_and_trusts_nobody_else(name: str, tmp_path: Path, authority: trustme.CA) -> None:
    built(language := LANGUAGES[name])
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key, trusted = tmp_path / "server.crt", tmp_path / "server.key", tmp_path / "ca.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(trusted))
    with ServerProcess(tmp_path / "server") as plain, plain.channel() as channel:
        world = _world(plain, Stubs(channel), tmp_path)
        assert plain.stop() == 0
        plain.environment |= {"RELEASES_TLS_CERTIFICATE": str(chain), "RELEASES_TLS_KEY": str(key)}
        plain.launch()
        _wait_until_it_listens(plain)

        check_what_was_said(printed(language, world, REGISTRY_CA=str(trusted)), world)
        with pytest.raises(AssertionError, match="failed: UNAVAILABLE"):
            printed(language, world, REGISTRY_CA="system")
