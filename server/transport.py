"""What the server listens with: the address, and limits on everything that grpc leaves without one."""

from __future__ import annotations

import resource
import socket
from typing import Final

from server.settings import Settings

# What grpc leaves without a limit, limited. The slots of both lanes together stay below the streams of a connection, so
# that a client learns from a refusal that the server is full, and does not queue in its own process.
GRPC_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # a second server on the port fails to start, instead of sharing its calls
    ("grpc.max_concurrent_streams", 96),
    ("grpc.max_receive_message_length", 4 * 2**20),
    # A window that grows by itself lets a client that is faster than the disk leave tens of MiB here, a stream.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 * 2**20),
    ("grpc.max_metadata_size", 8 * 2**10),
    ("grpc.absolute_max_metadata_size", 8 * 2**10),  # the same: in between, calls are refused at random
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 15 * 60_000),
    ("grpc.keepalive_time_ms", 60_000),  # finds peers that vanished without a word
    ("grpc.keepalive_timeout_ms", 20_000),
)


def grpc_options(settings: Settings, *, shares_port: bool) -> tuple[tuple[str, int], ...]:
    """The options of a server; `shares_port` when others listen on the address as well, as workers do."""
    own = {
        **dict(GRPC_OPTIONS),
        "grpc.so_reuseport": int(shares_port),
        "grpc.max_allowed_incoming_connections": most_connections(settings.connections),
        # Without a grace of its own, which is endless: calls that run go on to their ends.
        "grpc.max_connection_age_ms": settings.connection_age_seconds * 1000,
    }
    return tuple(own.items())


def most_connections(wanted: int) -> int:
    """How many connections may be open: as many as wanted, if that leaves half of the descriptors to other things.

    Without descriptors grpc could not even accept what it has to turn away.
    """
    may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if may_open == resource.RLIM_INFINITY else min(wanted, may_open // 2)


class CannotListen(Exception):
    """The address cannot be listened on; one line for the operator."""


def try_to_listen(address: str) -> None:
    """Learn from the system why an address cannot be listened on: grpc does not tell."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen()
    except OSError as error:
        raise CannotListen(f"Cannot listen on {address}: {error.strerror}.") from None
