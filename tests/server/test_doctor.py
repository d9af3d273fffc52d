"""`release-server doctor` and `health`: each fault that they look for is made, and told."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
import trustme

from server.doctor import storage
from server.doctor.encryption import look_at_encryption
from server.doctor.findings import Finding
from server.doctor.machine import look_at_data, look_at_descriptors, look_at_port
from server.doctor.storage import look_at_storage
from server.settings import Settings
from store.database.looking import PostgresLook
from tests.conftest import opened
from tests.postgres_server import PostgresServer
from tests.rpc.serving import settings_of
from tests.s3_server import S3Server
from tests.s3_server import settings_of as settings_of_bucket
from tests.server_process import SERVER, ServerProcess


def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command of the operator's with these settings alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELEASES_", "GRPC_"))}
    named = {f"RELEASES_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [str(SERVER), *words], env=kept | named, capture_output=True, text=True, timeout=60, check=False
    )


def told(findings: Iterator[Finding], topic: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.text) for finding in findings if finding.topic == topic]


def problems_in(text: str) -> list[str]:
    """The beginnings of the lines that tell problems."""
    return [line[9:].partition(" is off")[0] for line in text.splitlines() if line.startswith("problem")]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a data folder that is there and empty."""
    (tmp_path / "data").mkdir(mode=0o700)
    return settings_of(tmp_path)


def test_all_is_well_beside_a_running_server_and_without_one(server_process: ServerProcess) -> None:
    settings = {
        name.removeprefix("RELEASES_").lower(): value
        for name, value in server_process.environment.items()
        if name.startswith("RELEASES_")
    }
    asked = run("health", **settings)
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "SERVING\n", "")
    done = run("doctor", **settings)
    # The PostgreSQL of the tests keeps nothing over a power cut, and that is all that is wrong.
    unsafe = [] if server_process.database is None else ["database: fsync, full_page_writes or synchronous_commit"]
    assert problems_in(done.stdout) == unsafe
    assert (done.returncode, done.stderr) == (len(unsafe), "")
    assert "answers SERVING" in done.stdout
    server_process.stop()
    asked = run("health", **settings)
    assert (asked.returncode, asked.stdout) == (1, f"{server_process.address} does not answer: UNAVAILABLE\n")
    done = run("doctor", "--json", **settings)
    assert (done.returncode, done.stderr) == (len(unsafe), "")
    findings = json.loads(done.stdout)
    assert sum(finding["level"] == "problem" for finding in findings) == len(unsafe)
    database = next(finding["text"] for finding in findings if finding["topic"] == "database")
    assert database.endswith(", sound") or database.startswith("PostgreSQL 1")


def test_a_wrong_setting_is_a_finding_and_a_wrong_flag_is_none(tmp_path: Path) -> None:
    done = run("doctor", data=str(tmp_path), call_slots="many")
    assert (done.returncode, done.stderr) == (1, "")
    assert "problem  settings: RELEASES_CALL_SLOTS='many': must be a whole number" in done.stdout
    for words in (("health", "--timeout", "0"), ("health", "--timeout", "soon"), ("doctor", "--jsn")):
        wrong = run(*words, data=str(tmp_path))
        assert (wrong.returncode, wrong.stdout) == (78, "")
        assert len(wrong.stderr.splitlines()) == 1


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    done = run("doctor", data=str(tmp_path / "data"), listen="127.0.0.1:0")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_rights_of_the_data_folder_and_the_token_are_told(settings: Settings) -> None:
    assert told(look_at_data(settings), "data folder") == [("ok", str(settings.data))]
    settings.data.chmod(0o755)
    ((level, text),) = told(look_at_data(settings), "data folder")
    assert (level, "mode 0755" in text) == ("warning", True)
    settings.operator_token_file.write_text("rr_secret\n")
    settings.operator_token_file.chmod(0o640)
    ((level, text),) = told(look_at_data(settings), "operator's token")
    assert (level, "mode 0640" in text) == ("problem", True)


def test_a_data_folder_that_the_user_may_not_use_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As root, who runs the tests in CI, everything may be entered.
    monkeypatch.setattr(os, "access", lambda *_: False)
    ((level, text),) = told(look_at_data(settings), "data folder")
    assert (level, "may not work in" in text) == ("problem", True)
    settings.data.rmdir()
    ((level, text),) = told(look_at_data(settings), "data folder")
    assert (level, "does not let this user make it" in text) == ("problem", True)


def test_a_data_folder_on_a_read_only_disk_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody may write there, and neither another user nor chown would help.
    monkeypatch.setattr(os, "statvfs", lambda _: Room(free=2**39, flags=os.ST_RDONLY))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert told(look_at_data(settings), "data folder") == [
        ("problem", f"the file system of {settings.data} is read-only: mend the disk, or remount it")
    ]


class Room:
    """A file system with so much room."""

    f_frsize = 4096
    f_files = 10**7

    def __init__(self, *, free: int, inodes: int = 10**6, flags: int = 0) -> None:
        self.f_flag = flags
        self.f_bavail, self.f_blocks, self.f_favail = free // 4096, 2**40 // 4096, inodes


@pytest.mark.parametrize(
    ("room", "level", "words"),
    [
        (Room(free=2**20), "problem", "STORAGE_FULL"),
        (Room(free=2**29), "warning", "make room"),
        (Room(free=2**32), "warning", "make room"),
        (Room(free=2**39, inodes=100), "warning", "100 inodes are free"),
        (Room(free=2**39), "ok", "bytes are free"),
    ],
)
def test_a_disk_that_fills_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, room: Room, level: str, words: str
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    ((found, text),) = told(look_at_data(settings), "disk")
    assert (found, words in text) == (level, True)


def test_too_few_descriptors_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    ((level, text),) = told(look_at_descriptors(), "descriptors")
    assert (level, "may open 256" in text) == ("warning", True)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert told(look_at_descriptors(), "descriptors") == [("ok", "a process may open enough")]


def test_an_address_that_somebody_else_has_is_a_problem(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = settings_of(tmp_path, listen=f"127.0.0.1:{other.getsockname()[1]}")
        ((level, text),) = told(look_at_port(settings, lambda: "it does not answer"), "address")
        assert (level, "something else has it" in text) == ("problem", True)
        assert told(look_at_port(settings, lambda: "NOT_SERVING"), "address")[0][0] == "problem"
        assert told(look_at_port(settings, lambda: "SERVING"), "address")[0][0] == "ok"


# --- certificates ----------------------------------------------------------------------------------------------------


def certificate(folder: Path, *names: str, days: int = 90, mode: int = 0o600) -> dict[str, str]:
    """Settings with a certificate for these names that ends so many days from now."""
    now = datetime.now(UTC)
    issued = trustme.CA().issue_cert(*names, not_before=now - timedelta(days=30), not_after=now + timedelta(days=days))
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    key.chmod(mode)
    return {"tls_certificate": str(chain), "tls_key": str(key)}


@pytest.mark.parametrize(
    ("made", "listen", "wanted"),
    [
        ({"days": 90}, "127.0.0.1:0", "ok       certificate: "),
        ({"days": -1}, "127.0.0.1:0", "problem  certificate: "),
        ({"days": 5}, "127.0.0.1:0", "warning  certificate: "),
        ({"mode": 0o644}, "127.0.0.1:0", "problem  private key: everyone"),
        ({"mode": 0o640}, "127.0.0.1:0", "warning  private key: a group"),
        ({}, "192.0.2.7:50051", "warning  certificate: it is for registry.example.com, not for 192.0.2.7"),
        ({}, "0.0.0.0:50051", "ok       certificate: it is for registry.example.com"),
    ],
)
def test_certificates_are_looked_at(tmp_path: Path, made: dict[str, Any], listen: str, wanted: str) -> None:
    named = certificate(tmp_path, "registry.example.com", **made)
    text = "\n".join(map(str, look_at_encryption(settings_of(tmp_path, listen=listen, **named))))
    assert wanted in text
    assert (" ended on " in text) == (made.get("days") == -1)


def test_health_asks_a_server_whose_certificate_is_for_another_name(tmp_path: Path) -> None:
    named = certificate(tmp_path, "*.example.com")
    environment = {f"RELEASES_{name.upper()}": value for name, value in named.items()}
    process = ServerProcess(tmp_path / "server", environment=environment)
    process.launch()
    try:
        settings = {"data": str(process.data), "listen": process.address, **named}
        for _ in range(600):
            done = run("health", **settings)
            if done.returncode == 0:
                break
        assert done.stdout == "SERVING\n"
    finally:
        process.kill()


def test_plain_text_beyond_loopback_is_told(tmp_path: Path) -> None:
    ((level, text),) = told(
        look_at_encryption(settings_of(tmp_path, listen="0.0.0.0:0", allow_plain_text="yes")), "TLS"
    )
    assert (level, "tokens travel readable" in text) == ("warning", True)


# --- database ---------------------------------------------------------------------------------------------------------


def test_a_damaged_database_a_long_log_and_an_unfinished_restore_are_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(settings.database) as database:
        assert "to itself, so it is not looked into" in told(look_at_storage(settings), "database")[0][1]
        database.migrate()
    assert told(look_at_storage(settings), "database")[0][0] == "ok"
    file = settings.data / "registry.db"
    with file.open("r+b") as stream:
        stream.seek(40_000)
        stream.write(b"\xff" * 20_000)
    (settings.data / "restore.unfinished").touch()
    findings = list(look_at_storage(settings))
    assert any("damaged" in text for level, text in told(iter(findings), "database") if level == "problem")
    assert told(iter(findings), "restore")[0][0] == "problem"
    monkeypatch.setattr(storage, "wal_bytes", lambda _: 2**28)
    logs = [each for each in told(look_at_storage(settings), "database") if "write-ahead log" in each[1]]
    ((level, text),) = logs
    assert (level, "268,435,456 bytes" in text) == ("warning", True)


def test_a_database_on_a_network_file_system_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(settings.database) as database:
        database.migrate()
    monkeypatch.setattr("store.database.sqlite_file._file_system", lambda _: "nfs4")
    ((level, text),) = told(look_at_storage(settings), "database")
    assert (level, "network file system" in text) == ("problem", True)


def test_a_database_that_is_behind_is_told(settings: Settings) -> None:
    with opened(settings.database):
        pass
    ((level, text), *_) = told(look_at_storage(settings), "database")
    assert (level, text) == ("warning", "the next start applies 1 migration: take a backup first")


def test_a_postgresql_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, database="postgresql://nobody@127.0.0.1:1/nothing")
    ((level, text),) = told(look_at_storage(settings), "database")
    assert (level, "cannot be reached" in text) == ("problem", True)


def test_a_postgresql_is_looked_at(postgres_server: PostgresServer, tmp_path: Path) -> None:
    with postgres_server.fresh_database() as url, opened(url) as database:
        database.migrate()
        settings = settings_of(tmp_path, database=url, workers="64")
        findings = list(look_at_storage(settings))
        # The server of the tests keeps nothing over a power cut, and gives no 512 connections.
        assert any("may be lost" in text for level, text in told(iter(findings), "database") if level == "problem")
        ((level, text),) = told(iter(findings), "connections")
        assert (level, "takes up to 512 (64 workers of 8)" in text) == ("problem", True)
        assert told(iter(findings), "clock") == [("ok", "the database's agrees with this machine's")]
        fewer = settings_of(tmp_path, database=url, workers="1")
        assert told(look_at_storage(fewer), "connections")[0][0] == "ok"
        with postgres_server.admin(url.partition("@/")[2].partition("?")[0]) as connection:
            connection.execute("ALTER ROLE postgres SET default_transaction_read_only = on")
            try:
                problems = told(look_at_storage(fewer), "database")
            finally:
                connection.execute("ALTER ROLE postgres RESET default_transaction_read_only")
        assert any("takes no writes" in text for level, text in problems if level == "problem")


@pytest.mark.parametrize(("ahead", "level"), [(0.0, "ok"), (4.0, "ok"), (30.0, "problem"), (-30.0, "problem")])
def test_a_clock_that_is_wrong_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, ahead: float, level: str
) -> None:
    look = PostgresLook("18.6", 97, 0, ahead, is_read_only=False, is_durable=True, may_make_tables=False)
    monkeypatch.setattr(storage, "look_at_postgres", lambda _: look)
    findings = list(storage._look_at_server(settings, None))  # type: ignore[arg-type]  # nobody asks it
    assert told(iter(findings), "clock")[0][0] == level
    assert any("may not make tables" in text for _, text in told(iter(findings), "database"))


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(tmp_path: Path) -> Settings:
    """Of a server that ran once."""
    with ServerProcess(tmp_path) as process:
        data = process.data
    return settings_of(tmp_path, data=data)


def test_a_folder_of_files_is_tried_and_left_as_it_was(started: Settings) -> None:
    blobs = started.data / "blobs"
    before = sorted(blobs.iterdir())
    assert told(look_at_storage(started), "files") == [("ok", f"{blobs} takes bytes and gives them back")]
    assert sorted(blobs.iterdir()) == before
    blobs.chmod(0o777)
    ((level, text),) = told(look_at_storage(started), "files")
    assert (level, "nobody else may write to it" in text) == ("problem", True)
    blobs.chmod(0o700)
    (blobs / "registry").write_text("0" * 32 + "\n")
    ((level, text),) = told(look_at_storage(started), "files")
    assert (level, "belongs to another registry" in text) == ("problem", True)
    (blobs / "registry").unlink()
    ((level, text),) = told(look_at_storage(started), "files")
    assert (level, "not mounted" in text) == ("problem", True)
    blobs.rename(started.data / "elsewhere")
    ((level, text),) = told(look_at_storage(started), "files")
    assert (level, "mount it" in text) == ("problem", True)


def test_a_bucket_is_tried_and_left_as_it_was(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.fresh_bucket()
    settings = settings_of(tmp_path, **settings_of_bucket(bucket))
    findings = list(look_at_storage(settings))
    assert told(iter(findings), "files") == [("ok", f"{bucket} takes bytes and gives them back")]
    assert told(iter(findings), "clock") == [("ok", "the bucket's agrees with this machine's")]
    again = list(look_at_storage(settings))
    assert again == findings
    head = obstore.head
    for hours in (-1, 1):

        def another_hour(*names: Any, hours: int = hours) -> Any:
            about = head(*names)
            return {**about, "last_modified": about["last_modified"] + timedelta(hours=hours)}

        with monkeypatch.context() as patched:
            patched.setattr(obstore, "head", another_hour)
            ((level, text),) = told(look_at_storage(settings), "clock")
        assert (level, text.startswith("the bucket's is ")) == ("problem", True)
        assert 3590 < abs(int(text.split()[3])) < 3610
    missing = settings_of(tmp_path, **{**settings_of_bucket(bucket), "blobs": "s3://no-such-bucket-here"})
    ((level, text),) = told(look_at_storage(missing), "files")
    assert (level, "there is no such bucket" in text) == ("problem", True)
