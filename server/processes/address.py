"""The address of several processes, kept by one that does not listen on it."""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import ExitStack
from typing import Self

from server.transport import CannotListen, try_to_listen


class Reservation:
    """An address that processes of this user share while this is held; nobody else can listen on it.

    Whoever holds it does not listen: the system hands connections to those who do. Port 0 becomes a free one.
    Raises CannotListen: another server has it, or another supervisor.
    """

    def __init__(self, listen: str) -> None:
        host, _, wanted = listen.rpartition(":")
        # Without SO_REUSEPORT first: with it, a second start by mistake would share the calls.
        try_to_listen(listen)
        with ExitStack() as held:
            try:
                family, kind, protocol, _, where = socket.getaddrinfo(
                    host.strip("[]"), int(wanted), type=socket.SOCK_STREAM
                )[0]
                self._socket = held.enter_context(socket.socket(family, kind, protocol))
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                self._socket.bind(where)
                address, port = self._socket.getsockname()[:2]
                self.listen = f"{host}:{port}"
                self._sign = held.enter_context(_sign_of(f"{address} {port}"))
            except OSError as error:
                raise CannotListen(f"Cannot listen on {listen}: {error.strerror}.") from None
            held.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._sign.close()
        self._socket.close()


def _sign_of(address: str) -> socket.socket:
    """What two supervisors that start in the same moment cannot both have, though both may bind the address.

    The address is the bound one: `localhost` and `127.0.0.1` are the same.

    Abstract names live where ports do, in the network's namespace, and go with their process.
    """
    sign = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform == "linux":
        try:
            sign.bind(f"\0release-server {address}")
        except OSError:
            sign.close()
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from None
    return sign
