"""Addresses that callers send are text: the server calls none of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from releaseregistry.v1 import deploy_service_pb2, deploys_pb2, organizations_pb2, releases_pb2

from tests.rpc.sending import content_of, download, upload
from tests.rpc.wire import Served


class Listener:
    """Somebody whom nobody should call."""

    def __init__(self) -> None:
        self.callers: list[object] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Hear no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, caller = self._socket.accept()
            except OSError:
                return
            self.callers.append(caller)
            connection.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def test_no_address_that_a_caller_sends_is_called(server: Served, listener: Listener) -> None:
    server.make_organization("acme", projects=["web"])
    url = listener.url
    repository = organizations_pb2.Repository(display_name=url, url=url)
    server.organizations.CreateRepository(
        organizations_pb2.CreateRepositoryRequest(parent="organizations/acme", repository=repository),
        metadata=server.operator,
    )
    release = releases_pb2.Release(
        version="app@1.0.0", url=url, ref=url, owner=url, projects=["organizations/acme/projects/web"]
    )
    server.releases.CreateRelease(
        releases_pb2.CreateReleaseRequest(parent="organizations/acme", release=release), metadata=server.operator
    )
    server.deploys.CreateDeploy(
        deploy_service_pb2.CreateDeployRequest(
            parent="organizations/acme/releases/app@1.0.0",
            environments=["production"],
            deploy=deploys_pb2.Deploy(url=url),
            request_id="6f9d2c1e-0f4b-4f6e-9a44-0b3f1c2d4e5f",
        ),
        metadata=server.operator,
    )
    script = b"//# sourceMappingURL=" + url.encode() + b"\n" + content_of(100)
    file = upload(server, script, f"{url}app.js", headers={"Sourcemap": url, "Location": url}).file
    assert download(server, file.name)[1] == script

    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/")))) as own:
        own.settimeout(60)
        assert own.recv(1) == b"", "the listener is there, and hears"
    assert len(listener.callers) == 1
