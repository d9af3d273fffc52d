"""Clients that are known by their certificates: who is let in, as whom, and beside which token."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
import trustme
from cryptography import x509
from releaseregistry.v1 import (
    activities_pb2,
    organizations_pb2,
    organizations_pb2_grpc,
    release_service_pb2_grpc,
    releases_pb2,
    tokens_pb2,
    tokens_pb2_grpc,
)

from server.edge.edge import Edge
from server.tls import client_certificates
from server.tls.client_certificates import names_of
from store.access import Access
from store.access.tokens import TokenDraft, create_token
from store.database import Database
from store.organizations.delete import delete_organization
from tests.clocks import ManualClock
from tests.contract.callers import OPERATOR, new_organization, new_project
from tests.rpc.certificates import DNS, EMAIL, URI, Issued, channel_to, issue, of_loopback, tls_settings, whoami
from tests.rpc.serving import served
from tests.rpc.wire import OPERATOR_TOKEN, Served, bearer, raises_reason

CLIENTS = """
[[client]]
uri = "spiffe://example.com/ci"
organization = "acme"
scopes = ["release:write", "org:read", "token:admin"]
projects = ["web"]

[[client]]
dns = "Board.example.com"
organization = "acme"
scopes = ["release:read", "org:read"]
all_projects = true

[[client]]
dns = "other.example.com"
organization = "other"
scopes = ["release:admin"]

[[client]]
email = "ops@example.com"
scopes = ["installation:admin", "org:admin", "project:write"]

[[client]]
dns = "nobody.example.com"
organization = "not-there"
scopes = ["release:read"]

[[client]]
dns = "nothing.example.com"
organization = "acme"
scopes = ["release:read"]
projects = ["web", "not-there"]
"""
CI = "spiffe://example.com/ci"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def token_of(db: Database, organization: str) -> str:
    made: str = create_token(db, OPERATOR, organization, TokenDraft(("release:read",), all_projects=True)).secret
    return made


@pytest.fixture
def mutual(sqlite: Database, clock: ManualClock, tmp_path: Path, authority: trustme.CA) -> Iterator[Served]:
    """A server that asks for certificates, with the organizations acme, which has projects web and api, and other."""
    acme = new_organization(sqlite)
    new_project(sqlite, acme, "web")
    new_project(sqlite, acme, "api")
    new_organization(sqlite, "other")
    with served(sqlite, clock, tmp_path, **tls_settings(tmp_path, authority, clients=CLIENTS)) as running:
        yield running


@pytest.fixture
def ci(authority: trustme.CA) -> Issued:
    return issue(authority, URI(CI))


@contextmanager
def not_connected() -> Iterator[None]:
    """What is inside does not come to a call: the handshake fails."""
    with pytest.raises(grpc.RpcError) as raised:
        yield
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("secret", [None, OPERATOR_TOKEN])
def test_without_a_certificate_nobody_connects_token_or_not(
    mutual: Served, authority: trustme.CA, secret: str | None
) -> None:
    with not_connected():
        whoami(mutual.address, authority, None, bearer(secret) if secret else ())


@pytest.mark.parametrize("secret", [None, OPERATOR_TOKEN])
def test_a_certificate_of_another_authority_does_not_connect(
    mutual: Served, authority: trustme.CA, secret: str | None
) -> None:
    with not_connected():
        whoami(mutual.address, authority, issue(trustme.CA(), URI(CI)), bearer(secret) if secret else ())


@pytest.mark.parametrize("secret", [None, OPERATOR_TOKEN])
def test_an_expired_certificate_does_not_connect(mutual: Served, authority: trustme.CA, secret: str | None) -> None:
    with not_connected():
        whoami(mutual.address, authority, issue(authority, URI(CI), days=-1), bearer(secret) if secret else ())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_the_servers_tls_is_1_2_or_later(mutual: Served, authority: trustme.CA, ci: Issued, tmp_path: Path) -> None:
    def spoken(port: int, version: ssl.TLSVersion) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(context)
        context.load_cert_chain(*ci.write(tmp_path, "client"))
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.set_alpn_protocols(["h2"])
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            try:
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
                    return encrypted.version()
            except (ssl.SSLError, ConnectionError):
                return None

    @contextmanager
    def old_server() -> Iterator[int]:
        """One that speaks 1.1: else nothing here could tell that ours does not."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*of_loopback(authority).write(tmp_path, "old"))
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1_1

        def answer() -> None:
            peer, _ = listening.accept()
            with context.wrap_socket(peer, server_side=True) as encrypted:
                encrypted.recv(1)

        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=answer, daemon=True)
            thread.start()
            yield listening.getsockname()[1]
            thread.join(10)

    port = mutual.server.port
    with old_server() as old:
        assert spoken(old, ssl.TLSVersion.TLSv1_1) == "TLSv1.1"
        assert spoken(port, ssl.TLSVersion.TLSv1_1) is None
    assert spoken(port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert spoken(port, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


def test_a_name_that_stands_for_somebody_calls_without_a_token(
    mutual: Served, authority: trustme.CA, ci: Issued
) -> None:
    told = whoami(mutual.address, authority, ci, (("x-caller", "job 7"),))
    assert told.certificate == f"URI:{CI}"
    assert (told.organization, told.caller) == ("organizations/acme", "job 7")
    assert list(told.token.scopes) == ["org:read", "release:write", "token:admin"]
    assert list(told.token.projects) == ["organizations/acme/projects/web"]
    assert (told.token.name, told.token.all_projects, told.token.HasField("create_time")) == ("", False, False)
    uuid.UUID(told.token.uid)
    assert whoami(mutual.address, authority, issue(authority, URI(CI))).token.uid == told.token.uid


def test_names_are_of_hosts_in_any_case_and_of_addresses_too(mutual: Served, authority: trustme.CA) -> None:
    board = whoami(mutual.address, authority, issue(authority, DNS("BOARD.example.com"), DNS("else.example.com")))
    assert (board.certificate, board.token.all_projects) == ("DNS:board.example.com", True)
    ops = whoami(mutual.address, authority, issue(authority, EMAIL("ops@example.com")))
    assert (ops.certificate, ops.organization) == ("email:ops@example.com", "")


@pytest.mark.parametrize(
    "names",
    [
        (),  # its common name is no name
        (DNS("elsewhere.example.com"),),
        (DNS("spiffe://example.com/ci"),),  # the text of a name of another kind
        (URI("spiffe://example.com/ci/"),),
        (URI("spiffe://example.com/CI"),),
        (DNS("sub.board.example.com"),),
        (DNS("*.example.com"),),
        (DNS("board.example.com\0.evil.example"),),
        (URI(CI + "\0evil"),),
        (EMAIL("ops@example.com\0evil.example"),),
        (DNS("\0board.example.com"),),
    ],
)
def test_a_name_that_stands_for_nobody_needs_a_token_and_is_no_hindrance_to_one(
    mutual: Served, authority: trustme.CA, names: tuple[x509.GeneralName, ...]
) -> None:
    client = issue(authority, *names)
    with raises_reason("CREDENTIALS_MISSING", "UNAUTHENTICATED") as refusal:
        whoami(mutual.address, authority, client)
    assert "certificate" in refusal.message
    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        whoami(mutual.address, authority, client, bearer("not-the-operators-token"))
    told = whoami(mutual.address, authority, client, bearer(OPERATOR_TOKEN))
    assert (told.token.display_name, told.certificate) == ("bootstrap", "")


def test_names_are_told_whole_or_not_at_all(authority: trustme.CA) -> None:
    def told(*names: x509.GeneralName) -> tuple[str, ...]:
        pem = issue(authority, *names).certificate
        context: Any = SimpleNamespace(auth_context=lambda: {"x509_pem_cert": [pem], "peer_dns": [b"cut.example.com"]})
        return names_of(context)

    assert told(
        DNS("A.example"), URI(CI), EMAIL("b@example"), DNS("c.example\0d"), URI("x://y\n"), DNS("e.example")
    ) == (
        "DNS:a.example",
        "DNS:e.example",
        f"URI:{CI}",
        "email:b@example",
    )
    assert told() == ()
    assert names_of(cast("Any", SimpleNamespace(auth_context=dict))) == ()  # plain text


def test_a_certificate_with_names_of_several_is_nobodys(mutual: Served, authority: trustme.CA) -> None:
    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        whoami(mutual.address, authority, issue(authority, URI(CI), DNS("board.example.com")))


@pytest.mark.parametrize("host", ["nobody.example.com", "nothing.example.com"])
def test_what_a_name_stands_for_has_to_be_there(
    mutual: Served, authority: trustme.CA, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    for metadata in ((), bearer(OPERATOR_TOKEN)):
        with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
            whoami(mutual.address, authority, issue(authority, DNS(host)), metadata)
    told = [record for record in caplog.records if "not there" in record.message]
    assert len(told) == 1  # of each name once a minute, however often it calls
    assert told[0].__dict__["fields"]["certificate"] == f"DNS:{host}"


def test_an_organization_that_is_deleted_ends_its_certificates(
    mutual: Served, sqlite: Database, authority: trustme.CA, ci: Issued
) -> None:
    whoami(mutual.address, authority, ci)
    delete_organization(sqlite, OPERATOR, "acme", force=True)
    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        whoami(mutual.address, authority, ci)


def test_a_token_beside_a_certificate_is_of_the_same_organization(
    mutual: Served, sqlite: Database, authority: trustme.CA, ci: Issued, caplog: pytest.LogCaptureFixture
) -> None:
    told = whoami(mutual.address, authority, ci, bearer(token_of(sqlite, "acme")))
    assert (list(told.token.scopes), told.certificate) == (["release:read"], "")
    refusals = []
    for secret in (token_of(sqlite, "other"), OPERATOR_TOKEN, "a-token-that-nobody-has"):
        with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED") as refusal:
            whoami(mutual.address, authority, ci, bearer(secret))
        refusals.append((refusal.message, refusal.metadata))
    assert refusals[0] == refusals[1] == refusals[2]
    assert [record.message for record in caplog.records if record.name == client_certificates.log.name] == [
        "a call has a token and another organization's certificate"
    ]


def test_beside_the_installations_certificate_every_token_is_good(
    mutual: Served, sqlite: Database, authority: trustme.CA
) -> None:
    ops = issue(authority, EMAIL("ops@example.com"))
    for secret in (token_of(sqlite, "acme"), token_of(sqlite, "other"), OPERATOR_TOKEN):
        assert whoami(mutual.address, authority, ops, bearer(secret)).token.name


def test_a_malformed_credential_does_not_fall_back_to_the_certificate(
    mutual: Served, authority: trustme.CA, ci: Issued
) -> None:
    for header in ("Basic eDp5", "Bearer", "Bearer "):
        with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
            whoami(mutual.address, authority, ci, (("authorization", header),))


def test_a_certificate_may_what_its_grant_says_in_its_organization_and_projects(
    mutual: Served, authority: trustme.CA, ci: Issued
) -> None:
    def release(parent: str, project: str) -> releases_pb2.CreateReleaseRequest:
        wanted = releases_pb2.Release(version="web@1", projects=[f"{parent}/projects/{project}"])
        return releases_pb2.CreateReleaseRequest(parent=parent, release=wanted)

    with channel_to(mutual.address, authority, ci) as channel:
        releases = release_service_pb2_grpc.ReleaseServiceStub(channel)
        organizations = organizations_pb2_grpc.OrganizationServiceStub(channel)
        tokens = tokens_pb2_grpc.TokenServiceStub(channel)
        releases.CreateRelease(release("organizations/acme", "web"))
        with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED"):
            releases.CreateRelease(release("organizations/acme", "api"))
        for parent in ("organizations/other", "organizations/missing"):
            with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
                releases.CreateRelease(release(parent, "web"))
        with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
            releases.DeleteRelease(releases_pb2.DeleteReleaseRequest(name="organizations/acme/releases/web@1"))
        (made,) = [
            each
            for each in organizations.ListActivity(
                activities_pb2.ListActivityRequest(parent="organizations/acme")
            ).activities
            if each.kind == activities_pb2.ACTIVITY_KIND_RELEASE_CREATED
        ]
        assert (made.certificate, made.token) == (f"URI:{CI}", "")
        wanted = tokens_pb2.Token(scopes=["release:read"], all_projects=True)
        asked = tokens_pb2.CreateTokenRequest(parent="organizations/acme", token=wanted, request_id=str(uuid.uuid4()))
        with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED"):
            tokens.CreateToken(asked)
        asked.token.ClearField("all_projects")
        asked.token.projects.append("organizations/acme/projects/web")
        made_token = tokens.CreateToken(asked)
        assert made_token.secret
        assert not tokens.CreateToken(asked).secret, "a repeated request_id of a certificate is known again"


def test_the_installations_certificate_works_as_its_operator(mutual: Served, authority: trustme.CA) -> None:
    with channel_to(mutual.address, authority, issue(authority, EMAIL("ops@example.com"))) as channel:
        organizations = organizations_pb2_grpc.OrganizationServiceStub(channel)
        request = organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="third"))
        assert organizations.CreateOrganization(request).organization.name == "organizations/third"
        names = [
            each.name
            for each in organizations.ListOrganizations(organizations_pb2.ListOrganizationsRequest()).organizations
        ]
        assert set(names) == {"organizations/acme", "organizations/other", "organizations/third"}


def test_a_name_that_is_taken_out_ends_calls_at_once_and_its_streams_soon(
    mutual: Served, authority: trustme.CA, ci: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.edge.vigil.ASK_SECONDS", 0.2)
    begun = threading.Event()
    found = Edge.caller

    def seen(*arguments: Any) -> Access:
        access = found(*arguments)
        begun.set()
        return access

    monkeypatch.setattr(Edge, "caller", seen)

    def silent() -> Iterator[releases_pb2.Release]:
        time.sleep(60)
        yield releases_pb2.Release()

    with channel_to(mutual.address, authority, ci) as channel:
        stream = release_service_pb2_grpc.ReleaseServiceStub(channel).SetCommits.future(silent(), timeout=60)  # type: ignore[arg-type]
        assert begun.wait(30)
        (tmp_path / "clients.toml").write_text(CLIENTS.replace(CI, "spiffe://example.com/another"))
        mutual.server.reload()
        with raises_reason("CREDENTIALS_MISSING", "UNAUTHENTICATED"):
            stream.result(30)
        with raises_reason("CREDENTIALS_MISSING", "UNAUTHENTICATED"):
            tokens_pb2_grpc.TokenServiceStub(channel).WhoAmI(tokens_pb2.WhoAmIRequest(), timeout=30)


def test_a_bad_file_of_names_changes_nothing(
    mutual: Served, authority: trustme.CA, ci: Issued, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "clients.toml").write_text("[[client]]\nuri = 5")
    mutual.server.reload()
    assert whoami(mutual.address, authority, ci).certificate == f"URI:{CI}"
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "client 1" in told.__dict__["fields"]["problem"]


def test_without_a_file_of_names_certificates_only_open_the_connection(
    sqlite: Database, clock: ManualClock, tmp_path: Path, authority: trustme.CA, ci: Issued
) -> None:
    settings = tls_settings(tmp_path, authority, clients="")
    del settings["tls_clients"]
    with served(sqlite, clock, tmp_path, **settings) as running:
        with not_connected():
            whoami(running.address, authority, None, bearer(OPERATOR_TOKEN))
        with raises_reason("CREDENTIALS_MISSING", "UNAUTHENTICATED"):
            whoami(running.address, authority, ci)
        assert whoami(running.address, authority, ci, bearer(OPERATOR_TOKEN)).token.display_name == "bootstrap"
