"""What relctl reads from its stdin: an answer to a question, or a file."""

from __future__ import annotations

import hashlib
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from releaseregistry.v1 import files_pb2

from relctl import FileDraft, RegistryError, connect
from relctl.client import Client
from relctl.files import FRAME_BYTES
from server.edge.errors import StreamsBusy
from store.database import Database
from tests.clocks import ManualClock
from tests.relctl.command_line import Relctl
from tests.relctl.uploading import MIB, Calls
from tests.rpc.serving import served
from tests.rpc.wire import OPERATOR_TOKEN, Served


def relctl_process(server: Served, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "relctl", "--server", server.address, "--token", OPERATOR_TOKEN, *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def answered(server: Served, answer: bytes) -> tuple[int, bytes]:
    """The exit code of `release delete` with this answer typed, and what it said."""
    ours, its = pty.openpty()
    with relctl_process(server, "release", "delete", "app@1.0.0", stdin=its) as program:
        os.close(its)
        os.write(ours, answer)
        _, said = program.communicate(timeout=60)
    os.close(ours)
    return program.returncode, said


def test_a_release_is_deleted_when_whoever_is_asked_says_yes(acme: Served, ctl: Relctl) -> None:
    code, said = answered(acme, b"y\n")
    assert (code, b"Delete release app@1.0.0 of acme" in said) == (0, True)
    ctl.fails(3, "RELEASE_NOT_FOUND", "release", "get", "app@1.0.0")


def test_a_release_is_not_deleted_when_whoever_is_asked_says_no(acme: Served, ctl: Relctl) -> None:
    code, said = answered(acme, b"n\n")
    assert code == 1
    assert said.endswith(b"? [y/N]: relctl: DECLINED: release app@1.0.0 was not deleted\n")  # the terminal shows the n
    ctl.ok("release", "get", "app@1.0.0")


@pytest.mark.parametrize("size", [0, 1, 3 * FRAME_BYTES + 17])
def test_a_file_is_uploaded_from_stdin(acme: Served, ctl: Relctl, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    command = ("files", "upload", "app@1.0.0", "-", "--name", "dist.tar")
    with relctl_process(acme, *command, stdin=subprocess.PIPE) as program:
        out, err = program.communicate(content, timeout=60)
    assert (program.returncode, err) == (0, b"")
    assert hashlib.sha256(content).hexdigest().encode() in out
    ctl.ok("files", "download", "app@1.0.0", "dist.tar", "-o", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_what_comes_from_stdin_needs_a_name_and_comes_alone(ctl: Relctl, tmp_path: Path) -> None:
    (tmp_path / "app.js").touch()
    assert "say --name" in ctl.fails(2, "USAGE", "files", "upload", "app@1.0.0", "-")
    ctl.fails(2, "USAGE", "files", "upload", "app@1.0.0", "-", tmp_path / "app.js", "--name", "x")


def test_an_upload_that_is_refused_ends_although_stdin_stays_open(acme: Served) -> None:
    ours, its = os.pipe()
    with relctl_process(acme, "files", "upload", "missing", "-", "--name", "x", stdin=ours) as program:
        _, said = program.communicate(timeout=60)
    os.close(ours)
    os.close(its)
    assert (program.returncode, len(said.splitlines())) == (3, 1), said
    assert said.startswith(b"relctl: RELEASE_NOT_FOUND: ")


def test_a_stream_travels_in_messages_as_large_as_the_contract_takes(
    client: Client, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relctl.files.FRAME_SECONDS", 3600.0)
    its, ours = os.pipe()  # holds 64 KiB

    def write() -> None:
        with os.fdopen(ours, "wb") as sink:
            sink.write(bytes(3 * MIB + 17))

    writer = Thread(target=write)
    writer.start()
    with os.fdopen(its, "rb", buffering=0) as source:
        client.files.upload_from("acme", "app@1.0.0", source, FileDraft(file_name="x"))
    writer.join()
    assert data_frames(calls) == [MIB, MIB, MIB, 17]


def test_what_comes_slowly_is_sent_before_a_message_is_full(
    client: Client, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relctl.files.FRAME_SECONDS", 0.0)
    its, ours = os.pipe()
    sent = [Event() for _ in range(3)]

    def write() -> None:
        for event in sent:
            os.write(ours, b"a little")
            event.wait(timeout=60)
        os.close(ours)

    def tell(count: int) -> None:
        for event in sent[: count // len(b"a little")]:
            event.set()

    writer = Thread(target=write)
    writer.start()
    with os.fdopen(its, "rb", buffering=0) as source:
        client.files.upload_from("acme", "app@1.0.0", source, FileDraft(file_name="x"), progress=tell)
    writer.join()
    assert data_frames(calls) == [8, 8, 8]


def data_frames(calls: Calls) -> list[int]:
    """The sizes of the data messages of an upload."""
    return [len(sent.data.data) for sent in calls.of("UploadReleaseFile") if sent.HasField("data")]


def test_a_stream_that_was_read_is_not_sent_again(
    sqlite: Database, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[object] = []

    def upload(requests: Iterator[files_pb2.UploadReleaseFileRequest], call: object) -> object:
        attempts.append([next(requests), next(requests)])
        raise StreamsBusy(16)

    monkeypatch.setattr("relctl.connection.sleep", lambda _: None)
    source = tmp_path / "source"
    source.write_bytes(b"x" * 10)
    with (
        served(sqlite, clock, tmp_path, script={"UploadReleaseFile": upload}) as server,
        connect(server.address, token=OPERATOR_TOKEN) as client,
        source.open("rb", buffering=0) as stream,
        pytest.raises(RegistryError) as raised,
    ):
        client.files.upload_from("acme", "app@1.0.0", stream, FileDraft(file_name="x"))
    assert raised.value.reason == "STREAMS_BUSY"
    assert len(attempts) == 1
