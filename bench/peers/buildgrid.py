"""BuildGrid, a service of the same kind in the same language: its ByteStream on its disk storage.

It runs in an environment of its own, made of what buildgrid.lock names; that is its last version for the oldest Python
that we support. It stores durably nothing: it writes through the page cache and syncs no file.
"""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import uuid
import venv
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import grpc

from bench.machine import Process
from bench.peers.bytestream import ByteStream, ReadRequest, WriteRequest
from bench.peers.processes import CHANNEL_OPTIONS

LOCK: Final = Path(__file__).parent.parent / "buildgrid.lock"
ENVIRONMENT: Final = Path(__file__).parent.parent.parent / ".build" / "buildgrid"
INSTANCE: Final = "main"
START_SECONDS: Final = 60
SETTINGS: Final = """\
server:
  - !channel
    address: "{address}"
    insecure-mode: true
authorization:
  method: none
monitoring:
  enabled: false
storages:
  - !disk-storage &storage
    path: {folder}
instances:
  - name: {instance}
    storages:
      - *storage
    services:
      - !cas
        storage: *storage
      - !bytestream
        storage: *storage
"""


class Blob(NamedTuple):
    """What BuildGrid calls a content."""

    sha256: str
    size_bytes: int


class BuildGrid:
    """Runs it in the folder; a context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        program = _installed()
        folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        settings = folder / "settings.yml"
        settings.write_text(SETTINGS.format(address=address, folder=folder / "storage", instance=INSTANCE))
        with (folder / "log").open("wb") as log:
            self._running = subprocess.Popen([program, "server", "start", settings], stdout=log, stderr=log)
        self.process = Process(self._running.pid)
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        try:
            grpc.channel_ready_future(self._channel).result(START_SECONDS)
        except grpc.FutureTimeoutError:
            self._end()
            raise RuntimeError(f"BuildGrid does not start:\n{(folder / 'log').read_text()}") from None
        self._stub = ByteStream(self._channel)

    def write(self, blocks: list[bytes], blob: Blob) -> None:
        """The blocks, a message each, as one blob, whose name is known before it travels; hashed on the way all the
        same, so that this client has as much to do as that of any other peer."""
        digest = hashlib.sha256()

        def requests() -> Iterator[Any]:
            offset = 0
            name = f"{INSTANCE}/uploads/{uuid.uuid4()}/blobs/{blob.sha256}/{blob.size_bytes}"
            for block in blocks:
                digest.update(block)
                last = offset + len(block) == blob.size_bytes
                yield WriteRequest(resource_name=name, write_offset=offset, data=block, finish_write=last)
                offset += len(block)
                name = ""

        assert self._stub.Write(requests()).committed_size == blob.size_bytes
        assert digest.hexdigest() == blob.sha256

    def read(self, blob: Blob) -> None:
        """A blob, hashed as it comes."""
        digest = hashlib.sha256()
        for answer in self._stub.Read(ReadRequest(resource_name=f"{INSTANCE}/blobs/{blob.sha256}/{blob.size_bytes}")):
            digest.update(answer.data)
        assert digest.hexdigest() == blob.sha256

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._channel.close()
        self._running.terminate()
        self._running.wait()


def _installed() -> Path:
    """Its program; the environment is made when it is not there, or of another lock."""
    program, marker = ENVIRONMENT / "bin" / "bgd", ENVIRONMENT / "made-of"
    made_of = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not marker.exists() or marker.read_text() != made_of:
        print("installing BuildGrid as buildgrid.lock says (a minute, once)", flush=True)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--requirement", str(LOCK)], check=True, stdout=sys.stderr)
        marker.write_text(made_of)
    return program
