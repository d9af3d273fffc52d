"""What a start tells a person to try next: it works as it is told, whatever the settings are."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from server.commands import greeting
from server.settings import Settings
from tests.processes.supervising import until
from tests.rpc.certificates import DNS, issue
from tests.rpc.serving import settings_of
from tests.server_process import ServerProcess

SECONDS = 60.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a start that made an operator's token."""
    made = settings_of(tmp_path)
    made.data.mkdir()
    made.operator_token_file.write_text("rr_secret\n")
    return made


def encrypted(settings: Settings, folder: Path, *names: str, asks: bool = False) -> Settings:
    """With a certificate for these names, asking clients for theirs or not."""
    authority = trustme.CA()
    issued = authority.issue_cert(*names)
    chain, key, trusted = folder / "the chain.pem", folder / "key.pem", folder / "ca.pem"
    issued.cert_chain_pems[0].write_to_path(chain)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(trusted)
    return replace(settings, tls_certificate=chain, tls_key=key, tls_client_ca=trusted if asks else None)


def try_next(settings: Settings, address: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the next command is told."""
    greeting.greet(settings, address, made_operator_token=True)
    last = capsys.readouterr().out.splitlines()[-1].removesuffix(" org create acme")
    return last.rpartition(" ")[0].split(" RELCTL_")[1:]  # without relctl itself


@pytest.mark.parametrize(
    ("names", "address", "server"),
    [
        (("localhost", "127.0.0.1"), "127.0.0.1:443", "127.0.0.1:443"),
        (("registry.example.com",), "127.0.0.1:443", "registry.example.com:443"),
        (("127.0.0.1",), "0.0.0.0:443", "127.0.0.1:443"),
        (("registry.example.com",), "0.0.0.0:443", "registry.example.com:443"),
        (("::1",), "[::]:443", "[::1]:443"),
        (("::1",), "127.0.0.1:443", "[::1]:443"),
        (("*.example.com",), "127.0.0.1:443", "127.0.0.1:443"),  # nobody knows what the star stands for
        (("*.example.com", "registry.example.com"), "127.0.0.1:443", "registry.example.com:443"),
    ],
)
def test_an_encrypted_server_is_called_by_a_name_of_its_certificate(
    settings: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    names: tuple[str, ...],
    address: str,
    server: str,
) -> None:
    told = try_next(encrypted(settings, tmp_path, *names), address, capsys)
    assert told[:2] == [f"SERVER={server}", f"TLS_CA='{tmp_path / 'the chain.pem'}'"]
    assert not any(word.startswith("CERTIFICATE") for word in told)


def test_a_server_that_asks_for_certificates_says_so(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = try_next(encrypted(settings, tmp_path, "127.0.0.1", asks=True), "127.0.0.1:443", capsys)
    assert told[2:4] == ["CERTIFICATE=YOURS.pem", "KEY=YOURS.key"]


def test_plain_text_is_told_and_needs_no_certificate(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    told = try_next(settings, "127.0.0.1:50052", capsys)
    assert told == ["SERVER=127.0.0.1:50052", f"TOKEN=$(cat {settings.operator_token_file})"]
    greeting.greet(settings, "127.0.0.1:50052", made_operator_token=True)
    assert "listens on 127.0.0.1:50052 (plain text)\n" in capsys.readouterr().out


def test_the_command_that_is_told_works_with_tls_and_certificates(tmp_path: Path) -> None:
    authority = trustme.CA()
    chain, key = issue(authority, DNS("localhost")).write(tmp_path, "server")
    yours, your_key = issue(authority, DNS("ops.example.com")).write(tmp_path, "client")
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    process = ServerProcess(
        tmp_path / "a folder",
        environment={
            "RELEASES_BOOTSTRAP_TOKEN": "",
            "RELEASES_TLS_CERTIFICATE": str(chain),
            "RELEASES_TLS_KEY": str(key),
            "RELEASES_TLS_CLIENT_CA": str(trusted),
        },
    )
    process.launch()
    try:
        until(lambda: "relctl org create acme\n" in process.output(), process.output)
        assert "(plain text)" not in process.output()
        (line,) = (each for each in process.output().splitlines() if each.endswith("relctl org create acme"))
        command = line.replace("YOURS.pem", str(yours)).replace("YOURS.key", str(your_key))
        done = subprocess.run(
            ["sh", "-c", command],
            env=process.environment | {"HOME": str(tmp_path), "RELCTL_TIMEOUT": "20"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("organization acme created\n")
    finally:
        process.kill()
