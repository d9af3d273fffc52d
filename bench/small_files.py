"""Many small files: how many a second, beside a design that keeps a file and a sync for each.

Callers side by side upload files of random bytes through UploadReleaseFile, one after the other, each as fast as it is
answered; both designs are durable when they answer. The callers are processes of their own, or they would be what is
measured.

    python -m bench.small_files [--files 10000] [--kib 4] [--callers 16] [--rounds 3] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import Pool
from pathlib import Path

import grpc
from releaseregistry.v1 import release_service_pb2_grpc

from bench.figures import tell
from bench.machine import KIB, load, machine
from bench.peers.file_each import file_each
from bench.peers.processes import CHANNEL_OPTIONS, Peer
from bench.peers.product import product
from bench.rounds import Rounds
from bench.traffic import upload_by

PROCESSES = 2


def call(address: str, files: int, size: int, callers: int) -> None:
    """So many files, in the process of some callers."""
    with grpc.insecure_channel(address, options=CHANNEL_OPTIONS) as channel, ThreadPoolExecutor(callers) as pool:
        stub = release_service_pb2_grpc.ReleaseServiceStub(channel)
        for answer in pool.map(lambda _: upload_by(stub, [os.urandom(size)], size), range(files)):
            assert answer.size_bytes == size


def send(pool: Pool, peer: Peer, *, files: int, size: int, callers: int) -> None:
    """All files, from all callers."""
    share = (peer.address, files // PROCESSES, size, max(1, callers // PROCESSES))
    pool.starmap(call, [share] * PROCESSES)


def main() -> None:
    """Run, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--kib", type=int, default=4)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    print(machine())
    size = options.kib * KIB
    folder = Path(tempfile.mkdtemp(prefix="bench-small-files-", dir=options.folder))
    rounds = Rounds()
    try:
        with (
            multiprocessing.get_context("spawn").Pool(PROCESSES) as pool,
            product(folder / "ours") as ours,
            file_each(folder / "peer", threads=options.callers) as peer,
        ):
            peers = {"ours": ours, "a file and a sync each": peer}
            for each in peers.values():
                send(pool, each, files=100, size=size, callers=options.callers)
            for _ in range(options.rounds):
                for name, each in peers.items():
                    os.sync()
                    started = time.perf_counter()
                    rounds.step(
                        name,
                        lambda each=each: send(  # type: ignore[misc]
                            pool, each, files=options.files, size=size, callers=options.callers
                        ),
                        size_bytes=options.files * size,
                        server=each.process,
                    )
                    print(f"{name}: {options.files / (time.perf_counter() - started):.0f} files/s; load {load():.1f}")
    finally:
        shutil.rmtree(folder)
    for name in peers:
        cpu_ms = rounds.cpu_seconds_a_gb(name) * size / 1e9 * 1000
        rate = rounds.rate(name) / size
        print(f"{name:24} {rate:7.0f} files/s, server {cpu_ms:.2f} CPU ms a file")
    ratios = rounds.ratios(*peers)
    assert statistics.median(ratios) > 0
    tell(f"files of {options.kib} KiB, {options.callers} callers: ours / a file and a sync each", ratios)


if __name__ == "__main__":
    main()
