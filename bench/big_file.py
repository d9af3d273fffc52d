"""A large file: up in one stream and down again, and how much memory the server took for it.

Blocks are made as they are sent and hashed as they come back: nobody holds the file. The server's memory grew by its
peak, from the first byte to the last answer, less what it had before; two files of 256 MiB went up and down by then,
and brought what the first streams of a process bring along for good.

    python -m bench.big_file [--gib 8] [--streams 1] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from releaseregistry.v1 import files_pb2

from bench.figures import tell
from bench.machine import GIB, MIB, machine
from bench.peers.processes import Peer
from bench.peers.product import product
from bench.rounds import Rounds
from bench.traffic import download, random_blocks, upload


def blocks_of(mib: int) -> Iterator[bytes]:
    """Random blocks; only one of them is there at a time."""
    made = 0
    while made < mib:
        few = random_blocks(min(256, mib - made))
        made += len(few)
        yield from few


def grown(rounds: Rounds, peer: Peer, name: str, work: Callable[[], None], size: int) -> float:
    """Does the work, and answers by how many MiB the server's memory grew over what it had."""
    before = peer.process.resident_bytes()
    peer.process.forget_peak()
    rounds.step(name, work, size_bytes=size, server=peer.process)
    return (peer.process.peak_bytes() - before) / MIB


def main() -> None:
    """Run, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=int, default=8)
    parser.add_argument("--streams", type=int, default=1, help="files side by side, which share the size")
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="bench-big-file-", dir=options.folder))
    size, each = options.gib * GIB, options.gib * 1024 // options.streams
    rounds = Rounds()
    files: list[files_pb2.ReleaseFile] = []
    try:
        with product(folder / "ours") as peer, ThreadPoolExecutor(options.streams) as pool:

            def up() -> None:
                files.extend(pool.map(lambda _: upload(peer, blocks_of(each), MIB), range(options.streams)))

            def down() -> None:
                digests = list(pool.map(lambda file: download(peer, file.name), files))
                assert digests == [file.sha256 for file in files]

            for _ in range(2):
                small = upload(peer, random_blocks(256), MIB)
                assert download(peer, small.name) == small.sha256
            grew = {"up": grown(rounds, peer, "up", up, size), "down": grown(rounds, peer, "down", down, size)}
            assert all(file.size_bytes == each * MIB for file in files)
    finally:
        shutil.rmtree(folder)
    rounds.tell_steps()
    print(f"{options.gib} GiB in {options.streams} streams went up and came back with their SHA-256")
    for way, mib in grew.items():
        tell(f"memory of the server, {way}, a stream", mib / options.streams, at_most=16, unit=" MiB more")


if __name__ == "__main__":
    main()
