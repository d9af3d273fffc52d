"""What lies between a client and its server, and fails as networks do: a port on this machine that passes bytes on."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress


class BadNetwork:
    """A way to the server at an address, by `address`: each of its first connections is cut after so many bytes.

    The bytes of both directions count. What travels is late by `delay_seconds`, however much it is.
    """

    def __init__(self, upstream: str, cuts: Iterable[int], *, delay_seconds: float = 0.0) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self._cuts = deque(cuts)
        self._delay_seconds = delay_seconds
        self._connections: list[_Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def was_cut(self) -> bool:
        """Whether a connection was."""
        return any(each.left == 0 for each in self._connections)

    def close(self) -> None:
        """End everything."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._connections:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            left = self._cuts.popleft() if self._cuts else None
            made = _Connection(client, socket.create_connection(self._upstream), left, self._delay_seconds)
            self._connections.append(made)
            for ends in ((made.client, made.server), (made.server, made.client)):
                threading.Thread(target=made.pass_on, args=ends, daemon=True).start()


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket, left: int | None, delay_seconds: float) -> None:
        self.client, self.server, self.left, self.closed = client, server, left, False
        self._delay_seconds = delay_seconds
        self._lock = threading.Lock()

    def pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while received := source.recv(1 << 16):
                if self._delay_seconds:
                    time.sleep(self._delay_seconds)
                target.sendall(self._allowed(received))
                if self.left == 0:
                    break
        self.close()

    def _allowed(self, received: bytes) -> bytes:
        with self._lock:
            if self.left is None:
                return received
            received = received[: self.left]
            self.left -= len(received)
            return received

    def close(self) -> None:
        self.closed = True
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def bad_network(upstream: str, cuts: Iterable[int] = (), *, delay_seconds: float = 0.0) -> Iterator[BadNetwork]:
    """A bad network before a server, until the end of the block."""
    made = BadNetwork(upstream, cuts, delay_seconds=delay_seconds)
    try:
        yield made
    finally:
        made.close()
