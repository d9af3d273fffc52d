"""What the client presents and what it keeps to itself: certificates, and tokens in plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from relctl.cli.configuration import Configuration
from relctl.client import connect
from relctl.connection import Transport
from relctl.errors import LocalError
from store.database import Database
from tests.clocks import ManualClock
from tests.relctl.command_line import Relctl
from tests.rpc.certificates import DNS, issue, tls_settings
from tests.rpc.serving import served

ELSEWHERE = "192.0.2.1:1"  # an address for examples: nobody is there
CLIENTS = '[[client]]\ndns = "ops.example.com"\nscopes = ["installation:admin", "org:admin"]\n'


def test_no_token_goes_to_another_machine_in_plain_text_unless_told_to(
    relctl: Relctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--server", ELSEWHERE, "--plaintext", "--timeout", "0.2", "whoami")
    secret = "a-secret-that-nobody-reads"
    refused = relctl.fails(6, "LOCAL", "--token", secret, *words)
    assert "would travel readable to 192.0.2.1:1" in refused
    assert "RELCTL_PLAIN_TEXT=yes" in refused
    assert secret not in refused
    # Told to, it tries: nobody answers there.
    tried = relctl("--token", secret, "--allow-plain-text", *words)
    assert (tried.code, "readable" in tried.err) == (5, False)
    monkeypatch.setenv("RELCTL_PLAIN_TEXT", "yes")
    assert "readable" not in relctl("--token", secret, *words).err
    monkeypatch.setenv("RELCTL_PLAIN_TEXT", "no")
    relctl.fails(6, "LOCAL", "--token", secret, *words)


def test_a_word_of_plain_text_in_the_file_counts(
    relctl: Relctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "relctl.toml"
    monkeypatch.setenv("RELCTL_CONFIG", str(config))
    words = ("--server", f"http://{ELSEWHERE}", "--token", "x" * 20, "--timeout", "0.2", "whoami")
    config.write_text("plain_text = false")
    relctl.fails(6, "LOCAL", *words)
    config.write_text("plain_text = true")
    assert "readable" not in relctl(*words).err


@pytest.mark.parametrize(
    ("server", "transport", "token", "taken"),
    [
        (ELSEWHERE, Transport(), "secret", False),
        ("registry.example.com", Transport(), "secret", False),
        (ELSEWHERE, Transport(), "", True),
        (ELSEWHERE, Transport(tls=True), "secret", True),
        (ELSEWHERE, Transport(allow_plain_text=True), "secret", True),
        ("127.0.0.1:1", Transport(), "secret", True),
        ("[::1]:1", Transport(), "secret", True),
        ("unix:/run/registry.sock", Transport(), "secret", True),
    ],
)
def test_the_library_keeps_tokens_to_itself_as_well(server: str, transport: Transport, token: str, taken: bool) -> None:
    if taken:
        connect(server, token=token, transport=transport).close()
    else:
        with pytest.raises(LocalError, match="would travel readable"):
            connect(server, token=token, transport=transport)


def test_a_certificate_calls_in_place_of_a_token(
    clock: ManualClock, sqlite: Database, relctl: Relctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    certificate, key = issue(authority, DNS("ops.example.com")).write(tmp_path, "client")
    with served(sqlite, clock, tmp_path, **tls_settings(tmp_path, authority, clients=CLIENTS)) as server:
        monkeypatch.setenv("RELCTL_SERVER", server.address)
        monkeypatch.setenv("RELCTL_TLS_CA", str(trusted))
        assert relctl("whoami", "--timeout", "5").code == 5  # the server asks for one
        flags = ("--certificate", certificate, "--key", key)
        (told,) = relctl.json(*flags, "whoami")
        assert (told["certificate"], told["organization"]) == ("DNS:ops.example.com", "")
        monkeypatch.setenv("RELCTL_CERTIFICATE", str(certificate))
        monkeypatch.setenv("RELCTL_KEY", str(key))
        shown = relctl.ok("whoami").out
        assert "DNS:ops.example.com" in shown
        assert next(line for line in shown.splitlines() if line.startswith("projects")).split() == ["projects", "all"]
        relctl.ok("org", "create", "acme")
        assert "no secret to rotate" in relctl.fails(6, "LOCAL", "token", "rotate", "self")


def test_a_certificate_without_its_key_and_a_file_that_is_not_there_are_problems_of_this_side(
    relctl: Relctl, tmp_path: Path
) -> None:
    certificate, key = issue(trustme.CA(), DNS("ops.example.com")).write(tmp_path, "client")
    words = ("--server", ELSEWHERE, "whoami")
    assert "the key is missing" in relctl.fails(6, "LOCAL", "--certificate", certificate, *words)
    assert "the certificate is missing" in relctl.fails(6, "LOCAL", "--key", key, *words)
    missing = tmp_path / "missing.pem"
    assert "missing.pem" in relctl.fails(6, "LOCAL", "--certificate", certificate, "--key", missing, *words)


@pytest.mark.parametrize(
    ("said", "encrypted"),
    [({"certificate": "c.pem", "key": "k.pem"}, True), ({"certificate": "c.pem", "key": "k.pem", "tls": False}, False)],
)
def test_who_has_a_certificate_speaks_tls(said: dict[str, Any], encrypted: bool) -> None:
    transport = Configuration(**said).transport()
    assert (transport.tls, transport.certificate is not None) == (encrypted, encrypted)


def test_the_operators_token_is_not_sent_beside_a_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "operator-token").write_text("operator-of-the-tests")
    monkeypatch.setenv("RELEASES_DATA", str(tmp_path))
    assert Configuration().secret() == "operator-of-the-tests"
    assert Configuration(certificate="c.pem", key="k.pem").secret() == ""
    assert Configuration(certificate="c.pem", key="k.pem", token="said").secret() == "said"
