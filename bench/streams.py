"""Four streams at once beside one stream: the bytes of all of them together a second, up and down.

As many bytes travel in both: one file in the first, a quarter of it in each stream of the second. Each stream has a
client in a process of its own, which has made its bytes before the time begins.

    python -m bench.streams [--mib 1024] [--streams 4] [--rounds 3] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from releaseregistry.v1 import files_pb2
from releaseregistry.v1.release_service_pb2_grpc import ReleaseServiceStub

from bench.figures import tell
from bench.machine import MIB, machine
from bench.peers.processes import CHANNEL_OPTIONS, obey
from bench.peers.product import product
from bench.rounds import Rounds
from bench.traffic import download_by, random_blocks, upload, upload_by


class Client:
    """A client in a process of its own, which sends and reads files of so many MiB; a context manager that ends it."""

    def __init__(self, address: str, mib: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._running = context.Process(target=_run, args=(theirs, address, mib))
        self._running.start()

    def begin(self, order: str) -> None:
        """Has it `make` the next file, send it `up`, or read it back `down`."""
        self._pipe.send(order)

    def end(self) -> None:
        """Returns when it has done so."""
        self._pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.send("stop")
        self._running.join()


def _run(pipe: Connection, address: str, mib: int) -> None:
    blocks: list[bytes] = []
    file = files_pb2.ReleaseFile()
    with grpc.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        stub = ReleaseServiceStub(channel)

        def make() -> None:
            blocks[:] = random_blocks(mib)

        def up() -> None:
            file.CopyFrom(upload_by(stub, blocks, MIB))

        def down() -> None:
            assert download_by(stub, file.name) == file.sha256

        obey(pipe, {"make": make, "up": up, "down": down})


def at_once(clients: list[Client], order: str) -> None:
    """Has all of them do so, side by side."""
    for client in clients:
        client.begin(order)
    for client in clients:
        client.end()


def main() -> None:
    """Run, and print a line a round and a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="bench-streams-", dir=options.folder))
    rounds = Rounds()
    try:
        with product(folder / "ours") as peer, ExitStack() as stack:
            upload(peer, random_blocks(8), MIB)
            sets = {
                many: [stack.enter_context(Client(peer.address, options.mib // many)) for _ in range(many)]
                for many in (1, options.streams)
            }
            for _ in range(options.rounds):
                for many, clients in sets.items():
                    at_once(clients, "make")
                    os.sync()
                    for way in ("up", "down"):
                        rounds.step(
                            f"{many} {way}",
                            lambda clients=clients, way=way: at_once(clients, way),  # type: ignore[misc]
                            size_bytes=options.mib * MIB,
                            server=peer.process,
                        )
                rounds.tell_round()
    finally:
        shutil.rmtree(folder)
    rounds.tell_steps()
    for way in ("up", "down"):
        ratios = rounds.ratios(f"{options.streams} {way}", f"1 {way}")
        tell(f"{options.streams} streams / 1 stream, {way}", ratios, at_least=0.9)


if __name__ == "__main__":
    main()
