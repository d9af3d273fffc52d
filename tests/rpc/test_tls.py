"""TLS by two settings, with a certificate authority of the test's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from releaseregistry.v1 import tokens_pb2, tokens_pb2_grpc

from server.app import assembled
from server.transport import CannotListen
from store.access.operators import ensure_operator_token
from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.serving import served, settings_of
from tests.rpc.wire import OPERATOR_TOKEN, Served, bearer


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def issued(authority: trustme.CA, folder: Path, *names: str) -> dict[str, Any]:
    """The two settings of a server whose certificate is for these names."""
    certificate = authority.issue_cert(*names)
    chain, key = folder / "server.crt", folder / "server.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    return {"tls_certificate": chain, "tls_key": key}


def whoami(running: Served, root: bytes | None) -> str:
    credentials = grpc.ssl_channel_credentials(root)
    with grpc.secure_channel(running.address, credentials) as channel:
        stub = tokens_pb2_grpc.TokenServiceStub(channel)
        return stub.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(OPERATOR_TOKEN), timeout=60).token.display_name


def test_a_client_that_trusts_the_authority_is_served(
    sqlite: Database, clock: ManualClock, tmp_path: Path, authority: trustme.CA
) -> None:
    with served(sqlite, clock, tmp_path, **issued(authority, tmp_path, "127.0.0.1")) as running:
        assert whoami(running, authority.cert_pem.bytes()) == "bootstrap"


def test_a_client_that_does_not_trust_it_or_expects_another_name_is_not(
    sqlite: Database, clock: ManualClock, tmp_path: Path, authority: trustme.CA
) -> None:
    with served(sqlite, clock, tmp_path, **issued(authority, tmp_path, "other.example.com")) as running:
        for root in (trustme.CA().cert_pem.bytes(), authority.cert_pem.bytes()):
            with pytest.raises(grpc.RpcError) as raised:
                whoami(running, root)
            assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_plain_text_is_not_spoken_where_tls_is(
    sqlite: Database, clock: ManualClock, tmp_path: Path, authority: trustme.CA
) -> None:
    with served(sqlite, clock, tmp_path, **issued(authority, tmp_path, "127.0.0.1")) as running:
        with pytest.raises(grpc.RpcError) as raised:
            running.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=running.operator, timeout=60)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_key_of_another_certificate_is_refused_at_start(
    sqlite: Database, tmp_path: Path, authority: trustme.CA
) -> None:
    pair = issued(authority, tmp_path, "127.0.0.1")
    other = tmp_path / "other.key"
    other.write_bytes(authority.issue_cert("127.0.0.1").private_key_pem.bytes())
    # Settings are checked when they are read; the files may change until they are used.
    settings = replace(settings_of(tmp_path, **pair), tls_key=other)
    settings.data.mkdir()
    ensure_operator_token(sqlite, OPERATOR_TOKEN)
    server = assembled(settings, sqlite)
    try:
        with pytest.raises(CannotListen, match="are no pair"):
            server.start()
    finally:
        server.close()
