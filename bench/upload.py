"""One stream up and down, beside BuildGrid, containerd, and a handler that throws away and makes up.

Every server runs in a process of its own; the client, in this one, hashes what it sends and what it receives. Up, all
take random bytes in messages of 1 MiB: ours and containerd's, which is written in Go, are durable when they answer,
BuildGrid's is not, the handler's is nothing.

Down, ours reads a file that nobody has read, verified as ever, and another with its checksums passed over; BuildGrid
and containerd read what they just wrote, out of the page cache, and verify nothing. What is dirty is synced between the
steps, so that each pays for its own.

    python -m bench.upload [--mib 1024] [--rounds 3] [--frame-kib 1024] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from releaseregistry.v1 import files_pb2

from bench.figures import tell
from bench.machine import KIB, MIB, machine
from bench.peers.buildgrid import Blob, BuildGrid
from bench.peers.containerd import Containerd
from bench.peers.memory import memory
from bench.peers.processes import Peer
from bench.peers.product import RELEASE, product
from bench.rounds import Rounds
from bench.traffic import download, random_blocks, upload

DOWN_FRAME = 256 * KIB
WARM_UP_MIB = 8
UP, DISCARD, WRITE = "upload", "discard", "BuildGrid Write"
DOWN, UNVERIFIED, INVENT, READ = "download", "download, unverified", "invent", "BuildGrid Read"
INGEST, FETCH = "containerd Write", "containerd Read"


class Peers(NamedTuple):
    """Who is measured."""

    ours: Peer
    nothing: Peer
    buildgrid: BuildGrid
    containerd: Containerd


def measure(rounds: Rounds, peers: Peers, *, mib: int, frame: int, unverified_first: bool) -> None:
    """One round."""
    size = mib * MIB
    ours, nothing, buildgrid, containerd = peers

    def up(name: str, peer: Peer, some: list[bytes]) -> files_pb2.ReleaseFile:
        os.sync()
        return rounds.step(name, lambda: upload(peer, some, frame), size_bytes=size, server=peer.process)

    def down(name: str, peer: Peer, file: str) -> str:
        return rounds.step(name, lambda: download(peer, file), size_bytes=size, server=peer.process)

    blocks = random_blocks(mib)
    blob = Blob(hashlib.sha256(b"".join(blocks)).hexdigest(), size)
    up(DISCARD, nothing, blocks)
    file = up(UP, ours, blocks)
    os.sync()
    rounds.step(WRITE, lambda: buildgrid.write(blocks, blob), size_bytes=size, server=buildgrid.process)
    os.sync()
    rounds.step(INGEST, lambda: containerd.write(blocks, blob.sha256), size_bytes=size, server=containerd.process)
    os.sync()
    other = upload(ours, random_blocks(mib), frame)
    rounds.step(READ, lambda: buildgrid.read(blob), size_bytes=size, server=buildgrid.process)
    rounds.step(FETCH, lambda: containerd.read(blob.sha256), size_bytes=size, server=containerd.process)
    for unverified in (unverified_first, not unverified_first):
        ours.order("unverified" if unverified else "verified")
        wanted = other if unverified else file
        assert down(UNVERIFIED if unverified else DOWN, ours, wanted.name) == wanted.sha256
    down(INVENT, nothing, RELEASE)
    rounds.tell_round()


def warm_up(peers: Peers, frame: int) -> None:
    """Each takes a little: connections are made then, and what is loaded late is there."""
    blocks = random_blocks(WARM_UP_MIB)
    blob = Blob(hashlib.sha256(b"".join(blocks)).hexdigest(), WARM_UP_MIB * MIB)
    upload(peers.ours, blocks, frame)
    upload(peers.nothing, blocks, frame)
    peers.buildgrid.write(blocks, blob)
    peers.containerd.write(blocks, blob.sha256)


def main() -> None:
    """Run, and print a line a round and a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frame-kib", type=int, default=1024)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    print(machine())
    print(f"{options.mib} MiB, messages up of {options.frame_kib} KiB")
    folder = Path(tempfile.mkdtemp(prefix="bench-upload-", dir=options.folder))
    frame, total = options.frame_kib * KIB, options.mib * MIB
    rounds = Rounds()
    try:
        with (
            product(folder / "ours") as ours,
            memory(frame=DOWN_FRAME, total=total) as nothing,
            BuildGrid(folder / "buildgrid") as buildgrid,
            Containerd(folder / "containerd") as containerd,
        ):
            peers = Peers(ours, nothing, buildgrid, containerd)
            warm_up(peers, frame)
            for number in range(options.rounds):
                measure(rounds, peers, mib=options.mib, frame=frame, unverified_first=number % 2 == 1)
    finally:
        shutil.rmtree(folder)
    rounds.tell_steps()
    tell("upload / BuildGrid's Write", rounds.ratios(UP, WRITE), at_least=1.6)
    tell("upload / handler that discards", rounds.ratios(UP, DISCARD), at_least=0.5)
    tell("server CPU for an upload", rounds.cpu_seconds_a_gb(UP), at_most=3.0, unit=" s/GB")
    tell("download / BuildGrid's Read", rounds.ratios(DOWN, READ), at_least=0.8)
    tell("download verified / unverified", rounds.ratios(DOWN, UNVERIFIED), at_least=0.95)
    tell("download / handler that makes up", rounds.ratios(DOWN, INVENT))
    tell("upload / containerd's Write", rounds.ratios(UP, INGEST))
    tell("download / containerd's Read", rounds.ratios(DOWN, FETCH))


if __name__ == "__main__":
    main()
