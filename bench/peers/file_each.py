"""A file for each upload, as one would write it at first: write, sync, rename, sync the folder, a row in SQLite.

As durable as ours when it answers. Each file's row is a transaction of its own, on a connection that all threads share.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import apsw
import grpc
from releaseregistry.v1 import files_pb2

from bench.peers.processes import CHANNEL_OPTIONS, Peer, obey


class FileEach(grpc.GenericRpcHandler):
    """Takes uploads into the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "tmp").mkdir(parents=True)
        (folder / "files").mkdir()
        for number in range(256):
            (folder / "files" / f"{number:02x}").mkdir()
        self._lock = threading.Lock()
        self._database = apsw.Connection(str(folder / "files.db"))
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(
            "CREATE TABLE file (id BLOB PRIMARY KEY, release TEXT, name TEXT, size INTEGER, sha256 BLOB, "
            "create_time INTEGER, UNIQUE (release, name)) WITHOUT ROWID"
        )

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        return grpc.stream_unary_rpc_method_handler(
            self._upload,
            files_pb2.UploadReleaseFileRequest.FromString,
            files_pb2.UploadReleaseFileResponse.SerializeToString,
        )

    def _upload(self, requests: Iterator[Any], _: object) -> files_pb2.UploadReleaseFileResponse:
        header = next(requests).header
        file_id = uuid.uuid4()
        draft = self._folder / "tmp" / file_id.hex
        target = self._folder / "files" / file_id.hex[-2:] / file_id.hex
        digest, size = hashlib.sha256(), 0
        with draft.open("wb") as file:
            for request in requests:
                file.write(request.data.data)
                digest.update(request.data.data)
                size += len(request.data.data)
                if request.HasField("finish"):
                    assert (request.finish.size_bytes, request.finish.sha256) == (size, digest.hexdigest())
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
        folder = os.open(target.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        row = (file_id.bytes, header.parent, header.file_name, size, digest.digest(), time.time_ns() // 1000)
        with self._lock:
            self._database.execute("INSERT INTO file VALUES (?, ?, ?, ?, ?, ?)", row)
        return files_pb2.UploadReleaseFileResponse(
            file=files_pb2.ReleaseFile(file_name=header.file_name, size_bytes=size, sha256=digest.hexdigest())
        )


def file_each(folder: Path, *, threads: int) -> Peer:
    """Keeps its files in the folder, and takes so many at once."""
    return Peer(_serve, str(folder), threads)


def _serve(pipe: Connection, folder: str, threads: int) -> None:
    server = grpc.server(ThreadPoolExecutor(threads), handlers=[FileEach(Path(folder))], options=CHANNEL_OPTIONS)
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    obey(pipe)
    server.stop(None).wait()
