"""Servers in processes of their own."""

from __future__ import annotations

import multiprocessing
import subprocess
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
from releaseregistry.v1 import release_service_pb2_grpc, uploads_pb2_grpc

from bench.machine import MIB, Process

CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 * MIB),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own
)

START_SECONDS: Final = 60

Orders = dict[str, Callable[[], Any]]


class Peer:
    """A server in a process of its own, and a channel to it; a context manager that ends it.

    `target` is called there with a pipe and the arguments. It sends its port, and then does what `obey` does.
    """

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._running = context.Process(target=target, args=(theirs, *arguments))
        self._running.start()
        theirs.close()
        assert self._running.pid is not None
        self.process = Process(self._running.pid)
        self.address = f"127.0.0.1:{self._pipe.recv()}"
        self.channel = grpc.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        self.files = release_service_pb2_grpc.ReleaseServiceStub(self.channel)
        self.uploads = uploads_pb2_grpc.UploadServiceStub(self.channel)

    def order(self, name: str) -> Any:
        """Has the process do one of the things it can be told to do, and waits for the answer."""
        self._pipe.send(name)
        return self._pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()
        self._pipe.send("stop")
        self._running.join()


def obey(pipe: Connection, orders: Orders | None = None) -> None:
    """Does what the pipe says, until it says stop."""
    while (order := pipe.recv()) != "stop":
        pipe.send((orders or {})[order]())


class Program:
    """A server that is a program of its own, and a channel to it; a context manager that ends it.

    What it says goes to a file `log` in the folder. Raises RuntimeError with it when the program does not start.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path, address: str) -> None:
        with (folder / "log").open("wb") as log:
            self._running = subprocess.Popen(command, stdout=log, stderr=log)
        self.process = Process(self._running.pid)
        self.channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        try:
            grpc.channel_ready_future(self.channel).result(START_SECONDS)
        except grpc.FutureTimeoutError:
            self.end()
            raise RuntimeError(f"{Path(command[0]).name} does not start:\n{(folder / 'log').read_text()}") from None

    def end(self) -> None:
        """Ask it to end, and wait until it has."""
        self.channel.close()
        self._running.terminate()
        self._running.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
