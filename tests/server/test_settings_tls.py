"""Settings of TLS: what a start takes and what it refuses, and that no token travels readable by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from server.__main__ import main
from server.settings import Settings, SettingWrong, read_settings
from tests.rpc.certificates import Key, issue, of_loopback


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Good files for all settings, by variable."""
    authority = trustme.CA()
    certificate, key = of_loopback(authority).write(tmp_path, "server")
    ca, clients = tmp_path / "ca.pem", tmp_path / "clients.toml"
    ca.write_bytes(authority.cert_pem.bytes())
    clients.write_text('[[client]]\ndns = "ops.example.com"\nscopes = ["installation:admin"]\n')
    return {
        "RELEASES_TLS_CERTIFICATE": str(certificate),
        "RELEASES_TLS_KEY": str(key),
        "RELEASES_TLS_CLIENT_CA": str(ca),
        "RELEASES_TLS_CLIENTS": str(clients),
    }


def read(files: dict[str, str], *without: str, **other: object) -> Settings:
    said = {name: text for name, text in files.items() if name.removeprefix("RELEASES_TLS_") not in without}
    return read_settings((), {**said, **{f"RELEASES_{name}": str(value) for name, value in other.items()}})


def test_all_files_are_taken_together_and_those_of_clients_may_be_left_away(files: dict[str, str]) -> None:
    settings = read(files)
    assert (str(settings.tls_client_ca), str(settings.tls_clients)) == tuple(files.values())[2:]
    assert read(files, "CLIENTS").tls_clients is None
    assert read(files, "CLIENTS", "CLIENT_CA").tls_client_ca is None


@pytest.mark.parametrize(
    ("without", "missing"),
    [(("CLIENT_CA",), "CLIENT_CA"), (("CERTIFICATE", "KEY"), "CERTIFICATE"), (("KEY",), "KEY")],
)
def test_what_would_do_nothing_by_itself_is_refused(
    files: dict[str, str], without: tuple[str, ...], missing: str
) -> None:
    with pytest.raises(SettingWrong, match=f"^RELEASES_TLS_{missing} is not set"):
        read(files, *without)


def test_a_flag_is_answered_with_a_flag(files: dict[str, str]) -> None:
    flags = ("--tls-clients", files["RELEASES_TLS_CLIENTS"])
    with pytest.raises(SettingWrong, match=r"^--tls-client-ca is not set, and without it --tls-clients does nothing"):
        read_settings(flags, {})


@pytest.mark.parametrize(
    ("key", "is_taken"),
    [
        (rsa.generate_private_key(65537, 2048), True),
        (ec.generate_private_key(ec.SECP256R1()), True),
        (ec.generate_private_key(ec.SECP384R1()), True),
        (ec.generate_private_key(ec.SECP521R1()), False),
        (ec.generate_private_key(ec.SECP256K1()), False),
        (ed25519.Ed25519PrivateKey.generate(), False),
    ],
    ids=["RSA", "P-256", "P-384", "P-521", "secp256k1", "Ed25519"],
)
def test_a_key_that_clients_do_not_take_is_refused(
    files: dict[str, str], tmp_path: Path, key: Key, is_taken: bool
) -> None:
    of_loopback(trustme.CA(), key=key).write(tmp_path, "server")
    if is_taken:
        assert read(files).tls_key is not None
        return
    with pytest.raises(SettingWrong, match=r"^RELEASES_TLS_CERTIFICATE=.* has a key that clients of gRPC do not take"):
        read(files)


def test_authorities_that_are_none_and_bad_names_are_refused_at_start(files: dict[str, str], tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("[[client]]\n")
    with pytest.raises(SettingWrong, match=r"^RELEASES_TLS_CLIENT_CA='.*bad' holds no certificates"):
        read(files, TLS_CLIENT_CA=bad)
    with pytest.raises(SettingWrong, match=r"^RELEASES_TLS_CLIENTS='.*bad', client 1: must have one of"):
        read(files, TLS_CLIENTS=bad)
    for name in ("TLS_CLIENT_CA", "TLS_CLIENTS"):
        with pytest.raises(SettingWrong, match=rf"^RELEASES_{name}=.*missing.*: must be a file"):
            read(files, **{name: tmp_path / "missing"})


LOOPBACK = ("127.0.0.1:1", "[::1]:1", "localhost:1", "127.9.9.9:1")
BEYOND = ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "registry.example.com:1", "[fe80::1]:1", "localhost.example.com:1")


@pytest.mark.parametrize("allowed", ["no", "yes"])
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("listen", [*LOOPBACK, *BEYOND])
def test_plain_text_starts_on_loopback_alone_unless_it_is_allowed(
    files: dict[str, str], listen: str, encrypted: bool, allowed: str
) -> None:
    without = () if encrypted else ("CERTIFICATE", "KEY", "CLIENT_CA", "CLIENTS")

    def start() -> Settings:
        return read(files, *without, LISTEN=listen, ALLOW_PLAIN_TEXT=allowed)

    if listen in LOOPBACK or encrypted or allowed == "yes":
        assert start().listen == listen
    else:
        with pytest.raises(SettingWrong, match="where tokens would travel readable"):
            start()


def test_the_program_ends_with_78_before_it_listens_in_plain_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RELEASES_DATA", str(tmp_path / "data"))
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--listen", "0.0.0.0:0"])
    assert ended.value.code == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert "beyond loopback" in line
    assert not (tmp_path / "data").exists()


def test_an_expired_certificate_starts_so_that_it_can_be_replaced(files: dict[str, str], tmp_path: Path) -> None:
    certificate, key = issue(trustme.CA(), days=-1).write(tmp_path, "expired")
    read(files, TLS_CERTIFICATE=certificate, TLS_KEY=key)
