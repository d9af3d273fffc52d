"""The order in which an upload reaches the disk, as the kernel saw it: a kill cannot show what a power cut would lose.

behaviour.md, Durability: bytes are synced before the rows that name them, rows before the answer.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from releaseregistry.v1 import files_pb2, organizations_pb2, releases_pb2

from tests.server_process import ServerProcess, Stubs

RELEASE = "organizations/acme/releases/app@1.0.0"
PACK = r"[0-9a-f]{32}"
CALLS = "write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,sendmsg,sendto"


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        # A machine that is to prove everything must not pass by lacking a tool.
        assert os.environ.get("CI") != "true", "strace is missing, and CI looks at the order of syncs"
        pytest.skip("strace is not installed: the order of syncs was not looked at")
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server on SQLite with one release, which has done its housekeeping: nothing is written but for calls."""
    with ServerProcess(tmp_path / "server", environment={"RELEASES_LOG_LEVEL": "debug"}) as server:
        with server.channel() as channel:
            stubs = Stubs(channel)
            stubs.organizations.CreateOrganization(
                organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="acme")),
                metadata=server.metadata,
            )
            stubs.organizations.CreateProject(
                organizations_pb2.CreateProjectRequest(
                    parent="organizations/acme", project=organizations_pb2.Project(slug="web")
                ),
                metadata=server.metadata,
            )
            create(stubs, server, "app@1.0.0")
        deadline = time.monotonic() + 60
        while '"job": "scrub"' not in server.output():  # the last of them
            assert time.monotonic() < deadline, server.output()[-2000:]
            time.sleep(0.05)
        yield server


def create(stubs: Stubs, server: ServerProcess, version: str) -> releases_pb2.Release:
    return stubs.releases.CreateRelease(
        releases_pb2.CreateReleaseRequest(
            parent="organizations/acme",
            release=releases_pb2.Release(version=version, projects=["organizations/acme/projects/web"]),
        ),
        metadata=server.metadata,
    ).release


def upload(stubs: Stubs, server: ServerProcess, content: bytes) -> str:
    """The SHA-256 of the uploaded content, which the answer carries as text."""
    sha256 = hashlib.sha256(content).hexdigest()
    frames = [
        files_pb2.UploadReleaseFileRequest(
            header=files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=RELEASE, file_name=f"{sha256[:8]}.bin")
        ),
        *(
            files_pb2.UploadReleaseFileRequest(
                data=files_pb2.UploadData(offset=offset, data=content[offset : offset + 256 * 1024])
            )
            for offset in range(0, len(content), 256 * 1024)
        ),
        files_pb2.UploadReleaseFileRequest(finish=files_pb2.UploadFinish(size_bytes=len(content), sha256=sha256)),
    ]
    answer = stubs.releases.UploadReleaseFile(iter(frames), metadata=server.metadata, timeout=60)
    assert answer.file.sha256 == sha256
    return sha256


@contextmanager
def traced(strace: str, server: ServerProcess, trace: Path) -> Iterator[None]:
    """What the server asks of the kernel, each call with the files that its descriptors stand for."""
    words = [strace, "-f", "-y", "-s", "65536", "-e", f"trace={CALLS}", "-o", str(trace), "-p", str(server.pid)]
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        said = tracer.stderr.readline()
        if "attached" not in said:
            assert os.environ.get("CI") != "true", f"strace may not look at processes here: {said.strip()}"
            pytest.skip(f"strace may not look at processes here: {said.strip()}")
        yield
        time.sleep(0.2)  # for the last lines to be written; nothing is concluded from how long it takes
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=60)


def completed(trace: Path) -> list[str]:
    """One line a call, in the order in which the calls returned."""
    calls, begun = [], {}
    for line in trace.read_text(errors="replace").splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
        elif resumed := re.match(r"<\.\.\. \w+ resumed>", call):
            calls.append(begun.pop(thread, "") + call[resumed.end() :])
        else:
            calls.append(call)
    return calls


def first(calls: list[str], pattern: str, *, after: int = -1) -> int:
    """Where the first such call stands that succeeded."""
    for place, call in enumerate(calls):
        if place > after and re.search(pattern, call) and not re.search(r"= -1 ", call):
            return place
    raise AssertionError(f"no call {pattern} after {calls[after][:200] if after >= 0 else 'the beginning'}")


def last(calls: list[str], pattern: str) -> int:
    return max(place for place, call in enumerate(calls) if re.search(pattern, call))


@pytest.fixture
def calls(strace: str, server: ServerProcess, tmp_path: Path) -> list[str]:
    """What one upload of 3 MiB asked of the kernel; its answer is the sendmsg that carries `sha256_of_answer`."""
    with server.channel() as channel:
        stubs = Stubs(channel)
        upload(stubs, server, random.Random(1).randbytes(100_000))  # the connection stands, folders are there
        with traced(strace, server, tmp_path / "trace"):
            sha256 = upload(stubs, server, random.Random(2).randbytes(3 * 2**20))
    return [call.replace(sha256, "sha256_of_answer") for call in completed(tmp_path / "trace")]


def test_bytes_then_name_then_folder_then_rows_then_answer(calls: list[str]) -> None:
    written = last(calls, rf"^p?write(64|v)?\(\d+<[^>]*/tmp/{PACK}>")
    synced = first(calls, rf"^f(data)?sync\(\d+<[^>]*/tmp/{PACK}>", after=written)
    renamed = first(calls, rf'^rename\w*\(.*/tmp/{PACK}".*/packs/../{PACK}"', after=synced)
    folder = first(calls, r"^fsync\(\d+<[^>]*/packs/[0-9a-f]{2}>", after=renamed)
    logged = first(calls, r"^p?write(64|v)?\(\d+<[^>]*/registry\.db-wal>", after=folder)
    committed = first(calls, r"^f(data)?sync\(\d+<[^>]*/registry\.db-wal>", after=logged)
    answered = first(calls, r"^send(msg|to)\(.*sha256_of_answer")

    assert answered > committed
    assert last(calls, r"registry\.db-wal>") < answered, "no row of the upload is written behind the answer's back"


def test_what_is_written_after_the_rename_is_not_the_pack(calls: list[str]) -> None:
    renamed = first(calls, rf'^rename\w*\(.*/packs/../{PACK}"')

    assert [call[:120] for call in calls[renamed + 1 :] if re.match(rf"p?write(64|v)?\(\d+<[^>]*/{PACK}>", call)] == []


def test_a_release_is_in_the_synced_log_before_its_answer_leaves(
    strace: str, server: ServerProcess, tmp_path: Path
) -> None:
    with server.channel() as channel, traced(strace, server, tmp_path / "trace"):
        uid = create(Stubs(channel), server, "app@2.0.0").uid
    calls = completed(tmp_path / "trace")

    logged = first(calls, r"^p?write(64|v)?\(\d+<[^>]*/registry\.db-wal>")
    committed = first(calls, r"^f(data)?sync\(\d+<[^>]*/registry\.db-wal>", after=logged)
    answered = first(calls, rf"^send(msg|to)\(.*{uid}")

    assert answered > committed
