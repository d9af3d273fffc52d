"""What a client may do to a server over one connection, or many: each a function that sends so much, and returns.

They end by themselves, and tell whether the server closed the connection meanwhile, which it may.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from tests.floods.wire import PREFACE, UPLOAD, WHO_AM_I, Cut, Stream, Wire, connected

TOGETHER: Final = 50
"""So many frames, or pairs of them, are sent at once."""

# Types of frames, and flags.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
CANCEL: Final = 8


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """The bytes of a frame, fit or not."""
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body


def _upload(wire: Wire) -> int:
    return wire.open(UPLOAD)


def _headers_without_end(wire: Wire) -> int:
    number = wire.next_stream()
    wire.send(frame(HEADERS, 0, number, wire.block(UPLOAD)))
    return number


def _none(_wire: Wire) -> int:
    return 0


# What is opened first, and the frames that then come over and over on the stream that this made.
FRAME_FLOODS: Final[dict[str, tuple[Callable[[Wire], int], Callable[[int], bytes]]]] = {
    "ping": (_none, lambda _: frame(PING, 0, 0, bytes(8))),
    "settings": (_none, lambda _: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535) * 10)),
    "empty data": (_upload, lambda stream: frame(DATA, 0, stream)),
    "padding": (_upload, lambda stream: frame(DATA, PADDED, stream, b"\xff" + bytes(255))),
    "empty messages": (_upload, lambda stream: frame(DATA, 0, stream, bytes(5))),
    "priority": (_none, lambda _: frame(PRIORITY, 0, 1001, struct.pack(">IB", 0, 1))),
    "continuation": (_headers_without_end, lambda stream: frame(CONTINUATION, 0, stream, b"\0\1x\x7f\0" + bytes(100))),
    "empty continuation": (_headers_without_end, lambda stream: frame(CONTINUATION, 0, stream)),
    "window of the connection": (_none, lambda _: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))),
    "window of nothing": (_upload, lambda stream: frame(WINDOW_UPDATE, 0, stream, bytes(4))),
    "unknown frames": (_none, lambda _: frame(99, 0, 0, bytes(100))),
}

# What follows the headers of a stream so that the server resets it: a client that sends this is never the one who
# cancels (CVE-2025-8671).
PROVOCATIONS: Final[dict[str, Callable[[int], bytes]]] = {
    "window overflow": lambda stream: frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 2**31 - 1)),
    "window of nothing": lambda stream: frame(WINDOW_UPDATE, 0, stream, bytes(4)),
    "data after the end": lambda stream: frame(DATA, END_STREAM, stream) + frame(DATA, 0, stream, b"late"),
    "message of unknown kind": lambda stream: frame(DATA, END_STREAM, stream, b"\7\0\0\0\1x"),
    "message too large": lambda stream: frame(DATA, 0, stream, b"\0\x7f\0\0\1x"),
    "depends on itself": lambda stream: frame(PRIORITY, 0, stream, struct.pack(">IB", stream, 1)),
}


def flood(address: str, token: str, kind: str, count: int) -> bool:
    """Send one kind of frame so many times over one connection; whether the server closed it."""
    opened, each = FRAME_FLOODS[kind]
    with Wire(address, token=token) as wire:
        return _sent_all(wire, (each(stream) * TOGETHER for stream in [opened(wire)] for _ in range(count // TOGETHER)))


def rapid_resets(address: str, token: str, count: int) -> bool:
    """Open so many streams and reset each at once; whether the server closed the connection."""
    return _streams(address, token, count, lambda stream: frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))


def provoked_resets(address: str, token: str, kind: str, count: int) -> bool:
    """Open so many streams and make the server reset each; whether it closed the connection."""
    return _streams(address, token, count, PROVOCATIONS[kind])


def bomb(address: str, token: str, more: list[tuple[str, str]]) -> tuple[Stream, bool]:
    """A good call with more headers, in as many frames as they need: what came of it, and whether it was cut."""
    with Wire(address, token=token) as wire:
        block, number = wire.block(WHO_AM_I, more), wire.next_stream()
        parts = [block[start : start + 16_000] for start in range(0, len(block), 16_000)]
        kinds = [HEADERS] + [CONTINUATION] * (len(parts) - 1)
        flags = [0] * (len(parts) - 1) + [END_HEADERS]
        frames = [frame(*each[:2], number, each[2]) for each in zip(kinds, flags, parts, strict=True)]
        with suppress(Cut):
            wire.send(b"".join(frames) + frame(DATA, END_STREAM, number, bytes(5)))
        return wire.wait_until_ended(number), wire.closed


def good_call(address: str, token: str) -> int | None:
    """The status code of a good call over a new connection; None when the connection was cut."""
    with Wire(address, token=token) as wire:
        return wire.wait_until_ended(wire.open(WHO_AM_I, b"", half_close=True)).status


def slow_connections(address: str, token: str, count: int) -> list[socket.socket]:
    """Connections that stop on their way to a call: before the preface, within it, behind it, within a header."""
    beginnings = (b"", PREFACE[:10], PREFACE, PREFACE + frame(SETTINGS, 0, 0)[:5])
    made = []
    for number in range(count):
        silent = connected(address)
        silent.sendall(beginnings[number % len(beginnings)])
        made.append(silent)
    return made


def idle_uploads(address: str, token: str, *, connections: int, streams: int) -> list[Wire]:
    """Connections each of which offers so many streams that send nothing."""
    wires = [Wire(address, token=token) for _ in range(connections)]
    for wire in wires:
        wire.frames([wire.headers(UPLOAD) for _ in range(streams)])
    return wires


def _streams(address: str, token: str, count: int, then: Callable[[int], bytes]) -> bool:
    def batches(wire: Wire) -> Iterable[bytes]:
        for _ in range(count // TOGETHER):
            opened = [wire.headers(UPLOAD) for _ in range(TOGETHER)]
            yield b"".join(headers.serialize() + then(headers.stream_id) for headers in opened)

    with Wire(address, token=token) as wire:
        return _sent_all(wire, batches(wire))


def _sent_all(wire: Wire, batches: Iterable[bytes]) -> bool:
    """Send all, and return when the server has read it, or has closed the connection; whether it has."""
    try:
        for batch in batches:
            wire.send(batch)
        # What is answered behind all of it shows that it was read: by a call, for pings may be too many.
        wire.wait_until_ended(wire.open(WHO_AM_I, b"", half_close=True), 20.0)
    except (Cut, AssertionError):
        wire.wait_for(lambda: wire.closed, 5.0)
    return wire.closed or wire.goaway is not None
