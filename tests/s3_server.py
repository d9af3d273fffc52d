"""An S3 service for the tests: a process on a free port, an empty bucket a test.

moto's server by default: it keeps objects in memory, checks no signature, and is consistent and near. What it cannot
show, the tests of faults do, and `make drill-s3`: with TEST_S3_SERVER naming a versitygw, the same tests run on that, a
service that keeps objects in a folder and checks what it is told.
"""

from __future__ import annotations

import http.client
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

from store.blobs.s3_client import Bucket
from tests.server_process import own_port

START_SECONDS = 60.0
KEY, SECRET = "tests", "the-secret-of-the-tests"
PROGRAM = "TEST_S3_SERVER"
# moto makes buckets for anyone who says in which region.
_ANYONE = "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def settings_of(bucket: Bucket) -> dict[str, Any]:
    """The settings of a server that keeps the bytes of files in the bucket, by their names."""
    return {
        "blobs": f"s3://{bucket.name}/{bucket.prefix}",
        "s3_endpoint": bucket.endpoint,
        "s3_access_key_id": bucket.access_key_id,
        "s3_secret_access_key": bucket.secret_access_key or "",
        "s3_allow_http": "yes",
    }


def environment_of(bucket: Bucket) -> dict[str, str]:
    """The same as variables."""
    return {f"RELEASES_{name.upper()}": value for name, value in settings_of(bucket).items()}


class S3Server:
    """A running service that belongs to this test session; `folder` is where it keeps buckets, if it does."""

    def __init__(self, port: int, folder: Path | None) -> None:
        self.port = port
        self._folder = folder
        self._numbers = itertools.count(1)

    @property
    def endpoint(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def fresh_bucket(self, prefix: str = "registry/blobs") -> Bucket:
        """An empty bucket of its own for each caller; nobody removes it, it ends with the service."""
        name = f"test-{os.getpid()}-{next(self._numbers)}"
        if self._folder is None:
            self._make(name)
        else:
            (self._folder / name).mkdir()
        return Bucket(
            name, prefix=prefix, endpoint=self.endpoint, access_key_id=KEY, secret_access_key=SECRET, allow_http=True
        )

    def put(self, bucket: Bucket, key: str, content: bytes) -> None:
        """Stores an object below the bucket's prefix, past the registry."""
        obstore.put(self._past(bucket), key, content)

    def get(self, bucket: Bucket, key: str) -> bytes:
        """An object below the bucket's prefix."""
        return bytes(obstore.get(self._past(bucket), key).bytes())

    def _past(self, bucket: Bucket) -> S3Store:
        direct = replace(bucket, endpoint=self.endpoint)
        return S3Store(
            direct.name,
            prefix=direct.prefix,
            endpoint=direct.endpoint,
            region=direct.region,
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )

    def _make(self, name: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("PUT", f"/{name}", headers={"Authorization": _ANYONE})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
        finally:
            connection.close()


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """A service, ended at the end; what it prints goes to a file in the folder."""
    port = own_port()
    program = os.environ.get(PROGRAM)
    kept = None
    if program is None:
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    else:
        kept = folder / "buckets"
        kept.mkdir()
        named = ["--access", KEY, "--secret", SECRET, "--keep-alive", "--quiet"]
        command = [program, "--port", f"127.0.0.1:{port}", *named, "posix", str(kept)]
    log = folder / "s3.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait(process, port, log)
            yield S3Server(port, kept)
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
