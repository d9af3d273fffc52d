"""A certificate is replaced while the server runs, and told of before it ends."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import signal
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from releaseregistry.v1 import tokens_pb2, tokens_pb2_grpc

from server.tls.certificates import CURVES, CertificateWrong
from server.tls.reloading import Tls
from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.certificates import URI, Issued, channel_to, issue, of_loopback, tls_settings, whoami
from tests.rpc.serving import served
from tests.rpc.wire import OPERATOR_TOKEN, Served, bearer
from tests.server_process import ServerProcess

OPERATOR = bearer(OPERATOR_TOKEN)

SWAPS: Final = int(os.environ.get("CERTIFICATE_SWAPS", "20"))
"""A drill sets it to 1,000."""


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def presented(address: str) -> str:
    """What tells the certificate that a new connection gets."""
    host, _, port = address.rpartition(":")
    return fingerprint(ssl.get_server_certificate((host, int(port))))


def fingerprint(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def fields_of(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records if record.message == message]


def test_new_connections_get_the_new_certificate_and_old_ones_go_on(
    sqlite: Database, clock: ManualClock, tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "server.tls")
    with served(sqlite, clock, tmp_path, **tls_settings(tmp_path, authority)) as running:
        before = presented(running.address)
        with channel_to(running.address, authority) as channel:
            tokens = tokens_pb2_grpc.TokenServiceStub(channel)
            tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=OPERATOR, timeout=30)
            replaced = trustme.CA()
            other = of_loopback(replaced, days=77)
            other.write(tmp_path, "server")
            assert presented(running.address) == before, "files are not looked at before somebody says so"
            running.server.reload()
            assert presented(running.address) == fingerprint(other.certificate.decode()) != before
            tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=OPERATOR, timeout=30)
        assert whoami(running.address, replaced, None, OPERATOR).token.display_name == "bootstrap"
        with pytest.raises(grpc.RpcError):
            whoami(running.address, authority, None, OPERATOR)
    (told,) = fields_of(caplog, "the certificate was read")
    assert told["subject"] == "CN=common.example.com"
    left = dt.datetime.fromisoformat(told["expire_time"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=76) < left <= dt.timedelta(days=77)


def test_no_call_fails_while_certificates_are_replaced_under_load(
    sqlite: Database, clock: ManualClock, tmp_path: Path, authority: trustme.CA
) -> None:
    ended, calls = threading.Event(), [0, 0]
    failures: list[grpc.RpcError] = []

    def call(number: int, address: str) -> None:
        # One client connects anew for every call, the other keeps its connection.
        with channel_to(address, authority) as kept:
            while not ended.is_set():
                try:
                    if number:
                        whoami(address, authority, None, OPERATOR)
                    else:
                        stub = tokens_pb2_grpc.TokenServiceStub(kept)
                        stub.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=OPERATOR, timeout=30)
                except grpc.RpcError as error:
                    failures.append(error)
                    return
                calls[number] += 1

    with served(sqlite, clock, tmp_path, **tls_settings(tmp_path, authority)) as running:
        threads = [threading.Thread(target=call, args=(number, running.address)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        seen: set[str] = set()
        for _ in range(SWAPS):
            of_loopback(authority).write(tmp_path, "server")
            running.server.reload()
            seen.add(presented(running.address))
            reached = [count + 2 for count in calls]
            while not failures and any(count < wanted for count, wanted in zip(calls, reached, strict=True)):
                ended.wait(0.01)
        ended.set()
        for thread in threads:
            thread.join(60)
    assert not failures
    assert len(seen) == SWAPS
    print(f"{sum(calls):,} calls, {calls[1]:,} of them on connections of their own; {SWAPS} certificates; 0 failures")


@pytest.mark.parametrize("harm", ["other key", "no PEM", "empty", "missing", "encrypted", "other kind"])
def test_a_bad_certificate_keeps_the_one_before(
    sqlite: Database,
    clock: ManualClock,
    tmp_path: Path,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
    harm: str,
) -> None:
    with served(sqlite, clock, tmp_path, **tls_settings(tmp_path, authority)) as running:
        before = presented(running.address)
        certificate, key = of_loopback(authority).write(tmp_path, "server")
        harms: dict[str, Callable[[], object]] = {
            "other key": lambda: key.write_bytes(of_loopback(authority).key),
            "no PEM": lambda: certificate.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"),
            "empty": lambda: certificate.write_bytes(b""),
            "missing": key.unlink,
            "encrypted": lambda: key.write_bytes(encrypted(authority)),
            "other kind": lambda: of_loopback(authority, key=Ed25519PrivateKey.generate()).write(tmp_path, "server"),
        }
        harms[harm]()
        running.server.reload()
        assert presented(running.address) == before
        assert whoami(running.address, authority, None, OPERATOR).token.name
        (told,) = fields_of(caplog, "the certificate is kept: the new one cannot be used")
        assert str(tmp_path) in told["problem"]
        good, _ = of_loopback(authority).write(tmp_path, "server")
        running.server.reload()
        assert presented(running.address) == fingerprint(good.read_text())


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_clients_come_through_the_handshake_with_every_curve_that_is_taken(
    sqlite: Database, clock: ManualClock, tmp_path: Path, authority: trustme.CA, curve: ec.EllipticCurve
) -> None:
    assert curve.name in CURVES
    settings = tls_settings(tmp_path, authority)
    of_loopback(authority, key=ec.generate_private_key(curve)).write(tmp_path, "server")
    with served(sqlite, clock, tmp_path, **settings) as running:
        assert whoami(running.address, authority, None, OPERATOR).token.name


def test_what_grpc_refuses_is_refused_at_start_and_kept_out_at_a_reload(
    tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is known to be refused is told from the file alone; of this curve that is not known here.
    monkeypatch.setattr("server.tls.certificates.CURVES", ("secp256r1", "secp224r1"))
    certificate, key = of_loopback(authority).write(tmp_path, "server")
    made = Tls(certificate, key, None)
    of_loopback(authority, days=77, key=ec.generate_private_key(ec.SECP224R1())).write(tmp_path, "server")
    assert not made.reload()
    assert made.expire_time - dt.datetime.now(dt.UTC) <= dt.timedelta(days=30)
    (told,) = fields_of(caplog, "the certificate is kept: the new one cannot be used")
    assert str(certificate) in told["problem"]
    with pytest.raises(CertificateWrong, match=r"^gRPC cannot serve with "):
        Tls(certificate, key, None)


def encrypted(authority: trustme.CA) -> bytes:
    key = serialization.load_pem_private_key(of_loopback(authority).key, None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def test_other_authorities_of_clients_are_believed_after_a_reload_and_bad_ones_never(
    sqlite: Database, clock: ManualClock, tmp_path: Path, authority: trustme.CA
) -> None:
    clients_file = '[[client]]\nuri = "spiffe://ci"\nscopes = ["installation:admin"]'
    settings = tls_settings(tmp_path, authority, clients=clients_file)
    later = trustme.CA()

    def let_in(running: Served, client: Issued) -> bool:
        try:
            return bool(whoami(running.address, authority, client).certificate)
        except grpc.RpcError:
            return False

    clients = [issue(each, URI("spiffe://ci")) for each in (authority, later)]
    with served(sqlite, clock, tmp_path, **settings) as running:
        assert [let_in(running, client) for client in clients] == [True, False]
        (tmp_path / "clients.pem").write_bytes(b"no authority")
        running.server.reload()
        assert [let_in(running, client) for client in clients] == [True, False]
        (tmp_path / "clients.pem").write_bytes(later.cert_pem.bytes())
        running.server.reload()
        assert [let_in(running, client) for client in clients] == [False, True]


@pytest.mark.parametrize(
    ("days", "message"),
    [(-2, "the certificate has expired"), (13.5, "the certificate expires soon"), (14.5, None)],
)
def test_the_end_of_the_certificate_is_told_14_days_ahead_at_start_at_reload_and_daily(
    sqlite: Database,
    clock: ManualClock,
    tmp_path: Path,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    message: str | None,
) -> None:
    def told() -> int:
        found = [record.message for record in caplog.records if record.message.startswith("the certificate ")]
        assert set(found) <= {message, "the certificate was read"}
        return len([each for each in found if each == message])

    settings = tls_settings(tmp_path, authority)
    of_loopback(authority, days=days).write(tmp_path, "server")
    with served(sqlite, clock, tmp_path, **settings) as running:
        every = 1 if message else 0
        assert told() == every
        running.server.reload()
        assert told() == 2 * every
        running.server.housekeeping.run_once()
        assert told() == 2 * every, "once a day"
        monkeypatch.setattr("server.tls.reloading.WARN_AGAIN_SECONDS", 0.0)
        running.server.housekeeping.run_once()
        assert told() == 3 * every


def test_the_end_is_that_of_the_first_certificate_of_the_chain_to_end(tmp_path: Path, authority: trustme.CA) -> None:
    leaf, intermediate = of_loopback(authority, days=30), of_loopback(authority, days=10)
    certificate, key = Issued(leaf.certificate + intermediate.certificate, leaf.key).write(tmp_path, "chain")
    made = Tls(certificate, key, None)
    assert made.expire_time - dt.datetime.now(dt.UTC) < dt.timedelta(days=10)


def test_hup_makes_the_program_read_its_certificate_anew(tmp_path: Path, authority: trustme.CA) -> None:
    certificate, key = of_loopback(authority).write(tmp_path, "server")
    process = ServerProcess(
        tmp_path / "home",
        environment={"RELEASES_TLS_CERTIFICATE": str(certificate), "RELEASES_TLS_KEY": str(key)},
    )

    def wait_for(text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in process.output():
            assert time.monotonic() < deadline, process.output()
            time.sleep(0.02)

    process.launch()
    try:
        wait_for('"message": "serving"')
        before = presented(process.address)
        other = of_loopback(authority)
        other.write(tmp_path, "server")
        os.kill(process.pid, signal.SIGHUP)
        wait_for("the certificate was read")
        assert presented(process.address) == fingerprint(other.certificate.decode()) != before
        assert process.stop() == 0
    finally:
        process.kill()
