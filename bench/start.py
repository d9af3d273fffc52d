"""The start of the program: from its command to the first answer to a call, with a new folder of data and with one
that it has served before.

    python -m bench.start [--rounds 7] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import grpc
from releaseregistry.v1 import tokens_pb2, tokens_pb2_grpc

from bench.figures import tell
from bench.machine import machine
from bench.peers.product import METADATA, TOKEN

LOOK_SECONDS: Final = 0.002
"""Between two looks at whether it listens: grpc's own would wait for up to a second before the next try."""
GIVE_UP_SECONDS: Final = 60


def seconds_to_answer(data: Path) -> float:
    """Starts the program, asks it who calls, and ends it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("release-server")), "serve", "--listen", address, "--data", str(data)]
    started = time.perf_counter()
    with (data.parent / "log").open("wb") as log:
        running = subprocess.Popen(command, env={"RELEASES_BOOTSTRAP_TOKEN": TOKEN}, stdout=log, stderr=log)
    try:
        while not _listens(port):
            if running.poll() is not None or time.perf_counter() - started > GIVE_UP_SECONDS:
                raise RuntimeError(f"the server does not start:\n{(data.parent / 'log').read_text()}")
            time.sleep(LOOK_SECONDS)
        with grpc.insecure_channel(address) as channel:
            stub = tokens_pb2_grpc.TokenServiceStub(channel)
            stub.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=METADATA, wait_for_ready=True)
            return time.perf_counter() - started
    finally:
        running.terminate()
        running.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Run, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="bench-start-", dir=options.folder))
    try:
        seconds_to_answer(folder / "warm")  # the modules come into the page cache, compiled
        new, old = [], []
        for number in range(options.rounds):
            new.append(seconds_to_answer(folder / str(number)))
            old.append(seconds_to_answer(folder / str(number)))
    finally:
        shutil.rmtree(folder)
    tell("start to first answer, new folder", new, at_most=1, unit=" s")
    tell("start to first answer, folder of before", old, at_most=1, unit=" s")


if __name__ == "__main__":
    main()
