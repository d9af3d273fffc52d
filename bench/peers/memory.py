"""A handler that throws away what it gets and answers with what it has in memory: the wire and Python, nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc
from releaseregistry.v1 import files_pb2

from bench.peers.processes import Peer, obey
from server.transport import GRPC_OPTIONS

UPLOAD: Final = "/releaseregistry.v1.ReleaseService/UploadReleaseFile"


class Memory(grpc.GenericRpcHandler):
    """Both streams of files."""

    def __init__(self, frame: int, total: int) -> None:
        self._frame, self._total = frame, total

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method == UPLOAD:
            return grpc.stream_unary_rpc_method_handler(
                self._upload,
                files_pb2.UploadReleaseFileRequest.FromString,
                files_pb2.UploadReleaseFileResponse.SerializeToString,
            )
        return grpc.unary_stream_rpc_method_handler(
            self._download,
            files_pb2.DownloadReleaseFileRequest.FromString,
            files_pb2.DownloadReleaseFileResponse.SerializeToString,
        )

    def _upload(self, requests: Iterator[Any], _: object) -> files_pb2.UploadReleaseFileResponse:
        size = 0
        for request in requests:
            size += len(request.data.data)
        return files_pb2.UploadReleaseFileResponse(file=files_pb2.ReleaseFile(size_bytes=size))

    def _download(self, _request: object, _: object) -> Iterator[files_pb2.DownloadReleaseFileResponse]:
        piece = os.urandom(self._frame)
        for _ in range(self._total // self._frame):
            yield files_pb2.DownloadReleaseFileResponse(data=piece)


def memory(*, frame: int, total: int) -> Peer:
    """Answers downloads with `total` bytes in frames of `frame` bytes."""
    return Peer(_serve, frame, total)


def _serve(pipe: Connection, frame: int, total: int) -> None:
    server = grpc.server(ThreadPoolExecutor(8), handlers=[Memory(frame, total)], options=GRPC_OPTIONS)
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    obey(pipe)
    server.stop(None).wait()
