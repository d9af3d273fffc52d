"""Where server, token and organization come from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from relctl.cli.configuration import Configuration
from relctl.connection import is_loopback, server_target
from store.database import Database
from tests.clocks import ManualClock
from tests.relctl.command_line import Relctl
from tests.rpc.serving import served
from tests.rpc.wire import OPERATOR_TOKEN, Served


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of settings, not there yet."""
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder / "relctl.toml"


def test_a_flag_goes_before_the_environment_and_that_before_the_file(
    ctl: Relctl, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('caller = "file"')
    assert ctl.json("whoami")[0]["caller"] == "file"
    monkeypatch.setenv("RELCTL_CALLER", "environment")
    assert ctl.json("whoami")[0]["caller"] == "environment"
    assert ctl.json("--caller", "flag", "whoami")[0]["caller"] == "flag"
    assert ctl.json("--caller", "flag", "whoami", "--caller", "nearer flag")[0]["caller"] == "nearer flag"


def test_the_file_alone_is_enough(
    acme: Served, relctl: Relctl, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(f'server = "{acme.address}"\ntoken = "{OPERATOR_TOKEN}"\norganization = "acme"\ntimeout = 10')
    assert relctl.json("release", "list")[0]["version"] == "app@1.0.0"
    elsewhere = config.rename(tmp_path / "elsewhere.toml")
    monkeypatch.setenv("RELCTL_CONFIG", str(elsewhere))
    assert relctl.json("release", "list")[0]["version"] == "app@1.0.0"


@pytest.mark.parametrize(
    "text", ['sevrer = "x"', "server = 5", 'tls = "yes"', "timeout = true", "timeout = 0", "no toml", "[server]\nx = 1"]
)
def test_a_file_with_something_else_in_it_is_wrong_usage(relctl: Relctl, config: Path, text: str) -> None:
    config.write_text(text)
    assert str(config) in relctl.fails(2, "USAGE", "whoami")


def test_a_file_that_was_named_must_be_there(relctl: Relctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RELCTL_CONFIG", str(tmp_path / "missing.toml"))
    relctl.fails(6, "LOCAL", "whoami")


@pytest.mark.parametrize("place", ["RELEASES_DATA", "XDG_DATA_HOME", "HOME"])
def test_the_operators_token_of_a_server_on_this_machine_is_found(
    edge: Served, relctl: Relctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    below = {"RELEASES_DATA": "", "XDG_DATA_HOME": "release-registry", "HOME": ".local/share/release-registry"}[place]
    folder = tmp_path / "there"
    (folder / below).mkdir(parents=True)
    (folder / below / "operator-token").write_text(OPERATOR_TOKEN + "\n")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv(place, str(folder))
    relctl.ok("--server", edge.address, "whoami")


def test_the_operators_token_is_never_sent_to_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "operator-token").write_text(OPERATOR_TOKEN)
    monkeypatch.setenv("RELEASES_DATA", str(tmp_path))
    assert Configuration(server="127.0.0.1:50051").secret() == OPERATOR_TOKEN
    assert Configuration(server="registry.example.com:50051").secret() == ""


def test_without_any_token_the_call_says_how_to_give_one(acme: Served, relctl: Relctl) -> None:
    assert "RELCTL_TOKEN" in relctl.fails(4, "CREDENTIALS_MISSING", "--server", acme.address, "whoami")


@pytest.mark.parametrize("token", ["to\nken", "tökén", "to ken\x00"])
def test_a_token_that_no_header_can_carry_is_a_problem_on_this_side(ctl: Relctl, token: str) -> None:
    line = ctl.fails(6, "LOCAL", "whoami", "--token", token)
    assert "printable ASCII" in line
    assert token not in line


def test_a_token_of_an_organization_works_in_it(acme: Served, relctl: Relctl) -> None:
    acme.make_organization("other")
    secret = acme.make_token("organizations/acme", "release:read", all_projects=True)
    assert relctl.at(acme, secret).json("release", "list")[0]["version"] == "app@1.0.0"


def test_an_operator_works_in_the_only_organization_and_must_choose_among_several(
    edge: Served, relctl: Relctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctl = relctl.at(edge)
    assert "relctl org create" in ctl.fails(6, "LOCAL", "project", "list")
    ctl.ok("org", "create", "acme")
    assert ctl.json("project", "list") == []
    ctl.ok("org", "create", "other")
    assert "--org" in ctl.fails(6, "LOCAL", "project", "list")
    assert ctl.json("project", "list", "--org", "other") == []
    monkeypatch.setenv("RELCTL_ORG", "acme")
    assert ctl.json("project", "list") == []


@pytest.mark.parametrize(
    ("said", "encrypted"),
    [
        ({}, False),
        ({"server": "localhost:1"}, False),
        ({"server": "[::1]:1"}, False),
        ({"server": "http://registry.example.com"}, False),
        ({"server": "registry.example.com", "tls": False}, False),
        ({"server": "registry.example.com"}, True),
        ({"server": "10.0.0.1:50051"}, True),
        ({"server": "https://127.0.0.1:1"}, True),
        ({"tls": True}, True),
        ({"tls_ca": "ca.pem"}, True),
        ({"tls_ca": "ca.pem", "tls": False}, False),
    ],
)
def test_bytes_that_leave_this_machine_are_encrypted_unless_said_otherwise(
    said: dict[str, object], encrypted: bool
) -> None:
    assert Configuration(**said).transport().tls is encrypted  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("server", "target", "here"),
    [
        ("127.0.0.1", "127.0.0.1:50051", True),
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("localhost", "localhost:50051", True),
        ("::1", "[::1]:50051", True),
        ("[::1]", "[::1]:50051", True),
        ("[::1]:7", "[::1]:7", True),
        ("unix:/run/registry.sock", "unix:/run/registry.sock", True),
        ("example.com", "example.com:50051", False),
        ("example.com:7", "example.com:7", False),
        ("127.0.0.1.example.com", "127.0.0.1.example.com:50051", False),
    ],
)
def test_an_address_gets_its_port_and_is_known_to_be_here_or_not(server: str, target: str, here: bool) -> None:
    assert server_target(server) == target
    assert is_loopback(server) is here


def test_a_server_with_a_certificate_is_reached_when_its_issuer_is_trusted(
    clock: ManualClock, sqlite: Database, relctl: Relctl, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    trusted, chain, key = tmp_path / "ca.pem", tmp_path / "chain.pem", tmp_path / "key.pem"
    authority.cert_pem.write_to_path(trusted)
    certificate.private_key_pem.write_to_path(key)
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    with served(sqlite, clock, tmp_path, tls_certificate=chain, tls_key=key) as server:
        ctl = relctl.at(server)
        assert ctl.json("--tls-ca", trusted, "whoami")[0]["organization"] == ""
        # A process of its own: what gRPC writes to stderr is settled when it is imported.
        command = [sys.executable, "-m", "relctl", "--tls", "whoami", "--timeout", "5"]
        environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
        refused = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert (refused.returncode, refused.stdout) == (5, "")
        assert refused.stderr.startswith("relctl: UNAVAILABLE: cannot reach the server")
        assert len(refused.stderr.splitlines()) == 1
        assert "missing.pem" in ctl.fails(6, "LOCAL", "whoami", "--tls-ca", tmp_path / "missing.pem")


def test_json_may_be_asked_for_in_front_of_the_command_or_behind(ctl: Relctl) -> None:
    assert json.loads(ctl.ok("--json", "whoami").out) == json.loads(ctl.ok("whoami", "--json").out)


def test_a_port_that_is_none_is_a_problem_on_this_side(relctl: Relctl) -> None:
    assert "99999" in relctl.fails(6, "LOCAL", "--server", "127.0.0.1:99999", "whoami")
