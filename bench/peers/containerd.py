"""containerd, whose content store takes and serves blobs by digest: from Debian's package, in Go.

Its program is taken out of the package; nothing is installed. Of all it does only the content store runs. It writes to
a file, and at the commit syncs it, compares size and SHA-256, and moves it to its place.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.machine import MIB
from bench.peers.messages import BYTES, INT32, INT64, STRING, message_classes
from bench.peers.processes import Program

UNPACKED: Final = Path(__file__).parent.parent.parent / ".build" / "containerd"
PACKAGE: Final = "containerd"
NAMESPACE: Final = (("containerd-namespace", "bench"),)
WRITE, COMMIT = 1, 2
SETTINGS: Final = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.overlayfs", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{folder}/containerd.sock"
"""

_SERVICE: Final = "containerd.services.content.v1"
_CLASSES: Final = message_classes(
    _SERVICE,
    {
        "WriteContentRequest": {
            "action": (1, INT32),  # an enum there
            "ref": (2, STRING),
            "total": (3, INT64),
            "expected": (4, STRING),
            "offset": (5, INT64),
            "data": (6, BYTES),
        },
        "WriteContentResponse": {"offset": (4, INT64), "digest": (6, STRING)},
        "ReadContentRequest": {"digest": (1, STRING), "offset": (2, INT64), "size": (3, INT64)},
        "ReadContentResponse": {"offset": (1, INT64), "data": (2, BYTES)},
    },
)
_Write: Final = _CLASSES["WriteContentRequest"]


class Containerd(Program):
    """Runs it in the folder; a context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        program = _unpacked()
        folder.mkdir(parents=True)
        # A socket's path has about a hundred characters, which the folder may have already.
        self._place = Path(tempfile.mkdtemp(prefix="bench-containerd-"))
        settings = folder / "config.toml"
        settings.write_text(SETTINGS.format(folder=self._place).replace(f'"{self._place}/root"', f'"{folder}/root"'))
        super().__init__([program, "--config", settings], folder, f"unix://{self._place}/containerd.sock")
        self._write: Any = self.channel.stream_stream(
            f"/{_SERVICE}.Content/Write",
            request_serializer=_Write.SerializeToString,
            response_deserializer=_CLASSES["WriteContentResponse"].FromString,
        )
        self._read: Any = self.channel.unary_stream(
            f"/{_SERVICE}.Content/Read",
            request_serializer=_CLASSES["ReadContentRequest"].SerializeToString,
            response_deserializer=_CLASSES["ReadContentResponse"].FromString,
        )

    def write(self, blocks: list[bytes], sha256: str) -> None:
        """The blocks, a message each, as one blob, hashed on the way; sent without waiting for the answer to each."""
        digest = hashlib.sha256()
        name, total = uuid.uuid4().hex, len(blocks) * MIB

        def requests() -> Iterator[Any]:
            offset = 0
            for block in blocks:
                digest.update(block)
                yield _Write(
                    action=WRITE, ref=name, total=total, expected=f"sha256:{sha256}", offset=offset, data=block
                )
                offset += len(block)
            yield _Write(action=COMMIT, ref=name, total=offset, offset=offset, expected=f"sha256:{digest.hexdigest()}")

        *_, last = self._write(requests(), metadata=NAMESPACE)
        assert last.digest == f"sha256:{sha256}"
        assert digest.hexdigest() == sha256

    def read(self, sha256: str) -> None:
        """A blob, hashed as it comes."""
        digest = hashlib.sha256()
        request = _CLASSES["ReadContentRequest"](digest=f"sha256:{sha256}")
        for answer in self._read(request, metadata=NAMESPACE):
            digest.update(answer.data)
        assert digest.hexdigest() == sha256

    def end(self) -> None:
        super().end()
        shutil.rmtree(self._place, ignore_errors=True)


def version() -> str:
    """What it says of itself."""
    told = subprocess.run([_unpacked(), "--version"], check=True, capture_output=True, text=True).stdout
    return told.split()[2]


def _unpacked() -> Path:
    """Its program, out of Debian's package."""
    program = UNPACKED / "usr" / "bin" / "containerd"
    if not program.exists():
        print("fetching containerd's package (once)", flush=True)
        UNPACKED.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "--quiet", PACKAGE], check=True, cwd=UNPACKED, capture_output=True)
        (package,) = UNPACKED.glob(f"{PACKAGE}_*.deb")
        subprocess.run(["dpkg-deb", "--extract", package, UNPACKED], check=True)
    return program
