"""Content that the server has already: what its second upload costs beside its first.

Random bytes through UploadReleaseFile, then a file of the same content by CreateReleaseFile, digest in hand. The same
with relctl, as a library, on a file of this machine: the first upload; again without its cache of digests, so that it
has to read and hash; again with the cache. The start of a program is in none of them.

    python -m bench.known [--mib 1024] [--rounds 3] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path

from releaseregistry.v1 import files_pb2

from bench.figures import tell
from bench.machine import MIB, load, machine
from bench.peers.processes import Peer
from bench.peers.product import METADATA, RELEASE, TOKEN, product
from bench.rounds import Rounds
from bench.traffic import random_blocks, upload
from relctl.client import Client, connect
from relctl.files import FileDraft
from relctl.hash_cache import SETTLED_NS, HashCache
from relctl.uploads import FileToUpload

FIRST, CREATE = "UploadReleaseFile", "CreateReleaseFile"
SENT, HASHED, CACHED = "relctl, new content", "relctl, known content", "relctl, with its cache"
CALLS = 5


def create(peer: Peer, sha256: str) -> None:
    """A file of known content, under a new name."""
    file = files_pb2.ReleaseFile(file_name=uuid.uuid4().hex, sha256=sha256)
    peer.files.CreateReleaseFile(files_pb2.CreateReleaseFileRequest(parent=RELEASE, file=file), metadata=METADATA)


def send(client: Client, path: Path, cache: HashCache | None) -> int:
    """The file by relctl, under a new name; how many bytes travelled."""
    item = FileToUpload(path=path, draft=FileDraft(file_name=uuid.uuid4().hex))
    (uploaded,) = client.uploads.upload("bench", "app@1.0.0", [item], cache=cache)
    return uploaded.sent_bytes


def measure(rounds: Rounds, peer: Peer, client: Client, folder: Path, *, mib: int) -> None:
    """One round."""
    size = mib * MIB
    blocks = random_blocks(mib)
    file = rounds.step(FIRST, lambda: upload(peer, blocks, MIB), size_bytes=size, server=peer.process)
    for _ in range(CALLS):
        rounds.step(CREATE, lambda: create(peer, file.sha256), size_bytes=size, server=peer.process)
    path = folder / "file"
    with path.open("wb") as target:
        target.writelines(random_blocks(mib))
    os.sync()
    time.sleep(SETTLED_NS / 1e9)  # the cache takes no file that was written just now
    cache = HashCache(folder / "cache")
    sent = rounds.step(SENT, lambda: send(client, path, cache), size_bytes=size, server=peer.process)
    again = rounds.step(HASHED, lambda: send(client, path, None), size_bytes=size, server=peer.process)
    assert (sent, again) == (size, 0)
    for _ in range(CALLS):
        assert rounds.step(CACHED, lambda: send(client, path, cache), size_bytes=size, server=peer.process) == 0


def main() -> None:
    """Run, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="bench-known-", dir=options.folder))
    rounds = Rounds()
    try:
        with product(folder / "ours") as peer, connect(peer.address, token=TOKEN) as client:
            for _ in range(options.rounds):
                measure(rounds, peer, client, folder, mib=options.mib)
    finally:
        shutil.rmtree(folder)
    print(f"load {load():.1f}")
    for name in (FIRST, CREATE, SENT, HASHED, CACHED):
        print(f"{name:24} {rounds.seconds(name):9.4f} s")
    tell("known content, CreateReleaseFile", rounds.seconds(FIRST) / rounds.seconds(CREATE), at_least=50, unit=" x")
    tell("known content, relctl", rounds.seconds(SENT) / rounds.seconds(HASHED), at_least=3, unit=" x")
    tell("known content, relctl with its cache", rounds.seconds(SENT) / rounds.seconds(CACHED), at_least=50, unit=" x")


if __name__ == "__main__":
    main()
