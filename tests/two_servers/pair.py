"""Two servers with one database and one bucket, and perhaps a proxy in front of them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from releaseregistry.v1 import files_pb2, uploads_pb2

from examples.two_servers.run import Haproxy, running_proxy
from tests.crash.workload import ORGANIZATION, BrokenPromise, reason_of
from tests.server_process import ServerProcess, Stubs, own_port
from tests.two_servers.callers import BROKEN, Way

MIB = 2**20
FRAME = 256 * 1024
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Both servers, and the ways to them: directly, and by the proxy, if there is one."""

    servers: tuple[ServerProcess, ServerProcess]
    ways: tuple[Way, Way]
    proxy: Way | None
    database: str

    @property
    def door(self) -> Way:
        """Where a client would go."""
        return self.proxy or self.ways[0]


@contextmanager
def pair(folder: Path, *, database: str, environment: Mapping[str, str], haproxy: Haproxy | None) -> Iterator[Pair]:
    """Both, running; the second starts on what the first made."""
    with ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            server = ServerProcess(folder / name, database=database, environment=environment)
            stack.callback(server.kill)
            server.start()
            servers.append(server)
        one, two = servers
        proxy = None
        if haproxy is not None:
            listen, log = f"127.0.0.1:{own_port()}", folder / "proxy.log"
            stack.enter_context(running_proxy(haproxy, listen=listen, servers=(one.address, two.address), log=log))
            proxy = Way("the proxy", listen, one.token)
        ways = (Way("server one", one.address, one.token), Way("server two", two.address, two.token))
        yield Pair((one, two), ways, proxy, database)


class Upload:
    """An upload by a client that goes on after every cut, with whatever server the way leads to."""

    def __init__(self, release: str, file_name: str, upload_id: str, content: bytes) -> None:
        self.content = content
        self.cuts = 0
        self.sent_bytes = 0
        self._header = files_pb2.UploadHeader(upload_id=upload_id, parent=release, file_name=file_name)
        self._hold = threading.Event()
        self._sha256 = hashlib.sha256(content).hexdigest()

    def begin(self, way: Way, channel: grpc.Channel, *, stop: int) -> grpc.Future[files_pb2.UploadReleaseFileResponse]:
        """A stream of the first bytes, that then neither sends nor ends."""
        call: grpc.Future[files_pb2.UploadReleaseFileResponse] = Stubs(channel).releases.UploadReleaseFile.future(
            self._frames(0, hold_at=stop), metadata=way.metadata, timeout=PATIENCE_SECONDS
        )
        return call

    def go_on(self) -> None:
        """Lets the held stream send the rest."""
        self._hold.set()

    def committed(self, way: Way, channel: grpc.Channel) -> int:
        """What that server says is safe; 0 before it knows of the upload."""
        name = f"{ORGANIZATION}/uploads/{self._header.upload_id}"
        try:
            answer = Stubs(channel).uploads.GetUpload(
                uploads_pb2.GetUploadRequest(name=name), metadata=way.metadata, timeout=PATIENCE_SECONDS
            )
        except grpc.RpcError as error:
            if reason_of(error) != "UPLOAD_NOT_FOUND":
                raise
            return 0
        return int(answer.upload.committed_bytes)

    def wait_until_committed(self, way: Way, channel: grpc.Channel, least: int) -> int:
        """How much is safe, once that is as much."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (safe := self.committed(way, channel)) < least:
            if time.monotonic() > deadline:
                raise BrokenPromise(f"{way.name} knows of {safe} bytes only")
            time.sleep(0.05)
        return safe

    def finish(self, way: Way, channel: grpc.Channel) -> files_pb2.ReleaseFile:
        """Sends what is missing, again where it is cut, and answers the file."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                start = self.committed(way, channel)
                answer = Stubs(channel).releases.UploadReleaseFile(
                    self._frames(start), metadata=way.metadata, timeout=PATIENCE_SECONDS
                )
            except grpc.RpcError as error:
                cut = reason_of(error) in (None, "DRAINING") and error.code() in BROKEN
                if not cut or time.monotonic() > deadline:
                    raise
                self.cuts += 1
                time.sleep(0.1)
            else:
                file: files_pb2.ReleaseFile = answer.file
                return file

    def _frames(self, start: int, *, hold_at: int | None = None) -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield files_pb2.UploadReleaseFileRequest(header=self._header)
        for offset in range(start, len(self.content), FRAME):
            if hold_at is not None and offset >= hold_at:
                self._hold.wait(PATIENCE_SECONDS)
                hold_at = None
            data = self.content[offset : offset + FRAME]
            self.sent_bytes += len(data)
            yield files_pb2.UploadReleaseFileRequest(data=files_pb2.UploadData(offset=offset, data=data))
        yield files_pb2.UploadReleaseFileRequest(
            finish=files_pb2.UploadFinish(size_bytes=len(self.content), sha256=self._sha256)
        )


def downloaded(way: Way, channel: grpc.Channel, name: str) -> bytes:
    """The bytes of a file."""
    answers = Stubs(channel).releases.DownloadReleaseFile(
        files_pb2.DownloadReleaseFileRequest(name=name), metadata=way.metadata, timeout=PATIENCE_SECONDS
    )
    return b"".join(answer.data for answer in answers)
