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
from typing import Any, Final, NamedTuple

from bench.peers.bytestream import ByteStream, ReadRequest, WriteRequest
from bench.peers.processes import Program

LOCK: Final = Path(__file__).parent.parent / "buildgrid.lock"
ENVIRONMENT: Final = Path(__file__).parent.parent.parent / ".build" / "buildgrid"
INSTANCE: Final = "main"
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


class BuildGrid(Program):
    """Runs it in the folder; a context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        program = _installed()
        folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        settings = folder / "settings.yml"
        settings.write_text(SETTINGS.format(address=address, folder=folder / "storage", instance=INSTANCE))
        super().__init__([program, "server", "start", settings], folder, address)
        self._stub = ByteStream(self.channel)

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


def version() -> str:
    """The one that the lock names."""
    named = [line.split()[0] for line in LOCK.read_text().splitlines() if line.startswith("buildgrid==")]
    return named[0].partition("==")[2]


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
