"""The address that a supervisor keeps for its workers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from server.processes import address
from server.processes.address import Reservation
from server.transport import CannotListen
from tests.server_process import own_port


@pytest.fixture
def port() -> int:
    return own_port()


@contextmanager
def listening(port: int) -> Iterator[None]:
    """A worker on the port."""
    with socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", port))
        worker.listen()
        yield


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_two_that_found_it_free_in_the_same_instant_do_not_both_get_it(
    port: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "try_to_listen", lambda _address: None)  # both looked before either bound it
    local = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0][4][0]
    shown = f"[{local}]" if ":" in str(local) else local
    with Reservation(f"{shown}:{port}"):
        with pytest.raises(CannotListen, match="Address already in use"):
            Reservation(f"{name}:{port}")
        with Reservation(f"127.0.0.2:{port}"):
            pass
    with Reservation(f"{name}:{port}") as again:
        assert again.listen == f"{name}:{port}"


def test_workers_share_it_and_nobody_else_gets_it(port: int) -> None:
    with Reservation(f"127.0.0.1:{port}"), listening(port), listening(port):
        with pytest.raises(CannotListen, match="Address already in use"):
            Reservation(f"127.0.0.1:{port}")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_port_0_becomes_a_free_one_that_is_kept() -> None:
    with Reservation("127.0.0.1:0") as reserved:
        host, port = reserved.listen.split(":")
        with pytest.raises(CannotListen):
            Reservation(f"{host}:{port}")
