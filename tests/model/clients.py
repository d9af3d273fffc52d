"""Clients of UploadReleaseFile that are told what to send, and end in every way that a client can end."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol

import grpc
from releaseregistry.v1 import files_pb2, release_service_pb2_grpc

from tests.rpc.wire import Metadata, Refusal

WAIT: Final = 60.0
DEADLINE: Final = 0.2
"""Of a client that leaves its stream to its deadline, in seconds: some of what it sent may not even have left."""

Request = files_pb2.UploadReleaseFileRequest
Outcome = files_pb2.UploadReleaseFileResponse | Refusal | None
"""What a client was answered; None when it was told nothing."""

# Forked from a process that has no threads yet, and has loaded what takes long: a client process takes milliseconds.
_PROCESSES: Final = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.model.clients"])


class Client(Protocol):
    """One stream under way."""

    def send(self, request: Request) -> None:
        """Send a message, some time."""

    def half_close(self) -> Outcome:
        """Send no more, and wait for the answer."""

    def abort(self) -> None:
        """End the stream in this client's own way."""


class Caller:
    """On a channel of this process. Its way to end is `cancel`, `deadline`, `fail` (what it sends raises) or `close`
    (of its channel)."""

    def __init__(self, address: str, channel: grpc.Channel, metadata: Metadata, *, way: str) -> None:
        self._way = way
        self._own = grpc.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),)) if way == "close" else None
        stub = release_service_pb2_grpc.ReleaseServiceStub(self._own or channel)
        self._requests: queue.SimpleQueue[Request | Exception | None] = queue.SimpleQueue()
        self._call = stub.UploadReleaseFile.future(
            self._sent(), metadata=metadata, timeout=DEADLINE if way == "deadline" else WAIT
        )

    def send(self, request: Request) -> None:
        self._requests.put(request)

    def half_close(self) -> Outcome:
        self._requests.put(None)
        return self._outcome()

    def abort(self) -> None:
        if self._way == "cancel":
            self._call.cancel()
        elif self._way == "fail":
            self._requests.put(ConnectionError("the client's disk broke"))
        elif self._own is not None:
            self._own.close()
        with contextlib.suppress(grpc.RpcError, grpc.FutureCancelledError):
            self._call.result()  # of one that is left to its deadline, this is when that has passed
        self._requests.put(None)

    def _outcome(self) -> Outcome:
        try:
            answer: files_pb2.UploadReleaseFileResponse = self._call.result()
        except grpc.RpcError as error:
            told: Any = error
            if not dict(told.trailing_metadata() or ()).get("grpc-status-details-bin"):
                return None  # its deadline passed
            refusal = Refusal()
            refusal.read(error)
            return refusal
        finally:
            if self._own is not None:
                self._own.close()
        return answer

    def _sent(self) -> Iterator[Request]:
        while (request := self._requests.get()) is not None:
            if isinstance(request, Exception):
                raise request
            yield request


class Victim:
    """A process of its own, which is killed in the end."""

    def __init__(self, address: str, metadata: Metadata) -> None:
        self._pipe, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_send_what_comes, args=(address, metadata, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def send(self, request: Request) -> None:
        self._pipe.send_bytes(request.SerializeToString())

    def half_close(self) -> Outcome:
        self.abort()
        return None

    def abort(self) -> None:
        if self._pipe.poll(0.02):
            pass  # all that was to be sent is on its way; else it dies earlier
        self._process.kill()
        self._process.join(WAIT)
        self._process.close()
        self._pipe.close()


def _send_what_comes(address: str, metadata: Metadata, pipe: Connection) -> None:
    def sent() -> Iterator[Request]:
        while True:
            if not pipe.poll():
                pipe.send_bytes(b"sent")
            yield Request.FromString(pipe.recv_bytes())

    with grpc.insecure_channel(address) as channel, contextlib.suppress(grpc.RpcError):
        release_service_pb2_grpc.ReleaseServiceStub(channel).UploadReleaseFile(sent(), metadata=metadata, timeout=WAIT)
    with contextlib.suppress(EOFError):
        while True:  # until it is killed: of a stream that has ended, more may be sent and goes nowhere
            pipe.recv_bytes()
