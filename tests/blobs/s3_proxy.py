"""A proxy before the S3 service of the tests that does to requests and answers what networks and services do."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from store.blobs.s3_client import Bucket
from tests.s3_server import KEY, SECRET


@dataclass
class Request:
    """What came in: its number (from 1), method, path with query, and headers in lower case."""

    number: int
    method: str
    path: str
    headers: dict[str, str]

    @property
    def is_of_pack(self) -> bool:
        """Whether it is about one pack, not about the marker or a list."""
        return "/packs/" in self.path and "list-type" not in self.path


@dataclass(frozen=True)
class Fault:
    """What happens to a request. The first that is set counts; `until` is waited for before any.

    `status` and `code`: it is refused without being done. `lose_answer`: it is done, and the connection ends. `cut`: of
    the body, half comes before the connection ends. `shorten`: half of the body comes as if that were all. `flip`: one
    bit of the body is wrong.
    """

    status: int = 0
    code: str = "InternalError"
    lose_answer: bool = False
    cut: bool = False
    shorten: bool = False
    flip: bool = False
    until: threading.Event | None = None


@dataclass
class S3Proxy:
    """Passes on everything; `fault` says what is to go wrong. `requests` are those that came in."""

    port: int
    upstream: int
    fault: Callable[[Request], Fault | None] = lambda _request: None
    requests: list[Request] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def of(self, bucket: Bucket) -> Bucket:
        """The same bucket, reached through the proxy."""
        return replace(bucket, endpoint=f"http://127.0.0.1:{self.port}")

    def came_in(self, method: str, path: str, headers: dict[str, str]) -> Request:
        """Counts a request."""
        with self._lock:
            request = Request(len(self.requests) + 1, method, path, headers)
            self.requests.append(request)
        return request

    def packs_asked(self, method: str) -> int:
        """How many requests of this method were about one pack."""
        return sum(request.method == method and request.is_of_pack for request in self.requests)


class _Handler(BaseHTTPRequestHandler):
    """Serves one connection; a subclass says for which proxy."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: ClassVar[S3Proxy]

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = self.proxy.came_in(self.command, self.path, headers)
        fault = self.proxy.fault(request) or Fault()
        if fault.until is not None:
            fault.until.wait(600)
        if fault.status:
            text = f"<Error><Code>{fault.code}</Code><Message>said {headers.get('authorization')}</Message></Error>"
            self.answer(fault.status, {}, text.encode())
            return
        status, answered, content = self.upstream(body)
        if fault.lose_answer:
            self.close_connection = True
            return
        if fault.flip:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault.shorten:
            content = content[: len(content) // 2]
        self.answer(status, answered, content, cut=fault.cut)

    do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = pass_on  # noqa: N815 - as the base class calls them

    def upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, body=body, headers=dict(self.headers.items()))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "connection", "transfer-encoding", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if cut:
            self.close_connection = True
            content = content[: len(content) // 2]
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no failure of the proxy."""


@contextmanager
def proxied(upstream: int) -> Iterator[S3Proxy]:
    """A running proxy before the service on this port."""

    class Handler(_Handler):
        pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        proxy = S3Proxy(server.server_address[1], upstream)
        Handler.proxy = proxy
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Role:
    """A machine's role: whoever asks gets the key of the tests and a new token, `token-1`, `token-2` and so on."""

    endpoint: str = ""
    count: int = 0


@contextmanager
def role() -> Iterator[Role]:
    """A service of instance metadata, as Amazon's machines have one."""
    given = Role()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer(b"token")

        def do_GET(self) -> None:
            if self.path.endswith("/security-credentials/"):
                self.answer(b"role")
                return
            given.count += 1
            key = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": f"token-{given.count}", "Code": "Success"}
            times = {"Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC"}
            self.answer(json.dumps(key | times).encode())

        def answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
            """Say nothing."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        given.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield given
        finally:
            server.shutdown()
            thread.join()
