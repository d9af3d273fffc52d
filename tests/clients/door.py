"""A door in front of a server: it passes calls on as they are, but refuses some first, as a busy server does."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from releaseregistry.v1 import files_pb2

UPLOAD = "/releaseregistry.v1.ReleaseService/UploadReleaseFile"


@dataclass(slots=True)
class Door:
    """What comes to `address`, and what became of it."""

    address: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    first_offsets: list[int] = field(default_factory=list)
    """Of each stream of an upload that brought data: where that began."""


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, channel: grpc.Channel, door: Door, refusals: Mapping[str, int]) -> None:
        self._channel, self._door, self._left = channel, door, dict(refusals)
        self._lock = threading.Lock()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        method = details.method
        word = method.rpartition("/")[2]
        with self._lock:
            self._door.calls[word] += 1
            refuse = self._left.get(word, 0) > 0
            if refuse:
                self._left[word] -= 1
                self._door.refused[word] += 1

        def pass_on(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            call: Any = self._channel.stream_stream(method)
            if refuse:
                _refuse(context)
            passing = call(
                self._watched(requests) if method == UPLOAD else requests,
                metadata=tuple(it for it in context.invocation_metadata() if it[0] != "user-agent"),
                timeout=context.time_remaining(),
            )
            context.add_callback(passing.cancel)
            try:
                yield from passing
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata() or ())
                context.abort(error.code(), error.details() or "")

        return grpc.stream_stream_rpc_method_handler(pass_on)

    def _watched(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        begun = False
        for request in requests:
            message = files_pb2.UploadReleaseFileRequest.FromString(request)
            if not begun and message.WhichOneof("frame") == "data":
                begun = True
                self._door.first_offsets.append(message.data.offset)
            yield request


def _refuse(context: grpc.ServicerContext) -> NoReturn:
    """What the server says when its slots are taken, without having read a message."""
    details = []
    for detail in (
        error_details_pb2.ErrorInfo(reason="STREAMS_BUSY", domain="releaseregistry.dev", metadata={"limit": "1"}),
        error_details_pb2.RetryInfo(retry_delay=Duration(nanos=250_000_000)),
    ):
        packed = Packed()
        packed.Pack(detail)
        details.append(packed)
    context.abort_with_status(
        rpc_status.to_status(status_pb2.Status(code=code_pb2.UNAVAILABLE, message="Come again.", details=details))
    )
    raise AssertionError


@contextmanager
def door(address: str, refusals: Mapping[str, int]) -> Iterator[Door]:
    """A door to the server at this address, that refuses so many calls of each method first."""
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", 8 << 20),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    with grpc.insecure_channel(address, options=options) as channel, ThreadPoolExecutor(16) as pool:
        opened = Door()
        server = grpc.server(pool, handlers=[_Handler(channel, opened, refusals)], options=options)
        opened.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield opened
        finally:
            server.stop(0).wait()
