"""A raw HTTP/2 client: it sends whatever frames a caller of it wants, also those that no client should.

It speaks to 127.0.0.1 only, never by itself, and ends by itself: nothing that it waits for takes longer than a minute.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

from hpack import Decoder, Encoder
from hpack.struct import Header
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WAIT: Final = 60.0
UPLOAD: Final = "/releaseregistry.v1.ReleaseService/UploadReleaseFile"
DOWNLOAD: Final = "/releaseregistry.v1.ReleaseService/DownloadReleaseFile"
WHO_AM_I: Final = "/releaseregistry.v1.TokenService/WhoAmI"
HEALTH: Final = "/grpc.health.v1.Health/Check"

Headers = Sequence[tuple[str, str]]


class Cut(Exception):
    """The server has closed the connection."""


@dataclass
class Stream:
    """What came on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    received_bytes: int = 0
    reset: int | None = None
    """The error code of the server's RST_STREAM."""
    ended: bool = False

    @property
    def status(self) -> int | None:
        """The status code of the call, once it has one."""
        return int(self.headers["grpc-status"]) if "grpc-status" in self.headers else None


def connected(address: str) -> socket.socket:
    """A TCP connection to a server on this machine."""
    host, _, port = address.rpartition(":")
    assert host == "127.0.0.1", "floods are for servers of our own"
    made = socket.create_connection((host, int(port)), timeout=WAIT)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


class Wire:
    """An HTTP/2 connection, its preface sent. It answers SETTINGS and PING as it should, and nothing else by itself.

    With `reads=False` nothing is ever read from it, and with `window` streams begin with a window of that size towards
    us; `credit` is added to the window of the connection.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str = "",
        window: int | None = None,
        credit: int = 0,
        reads: bool = True,
        small_buffer: bool = False,
    ) -> None:
        self._socket = connected(address)
        if small_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._token = token
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._next = 1
        self.streams: dict[int, Stream] = {}
        self.settings: dict[int, int] = {}
        self.goaway: GoAwayFrame | None = None
        self.closed = False
        settings = SettingsFrame(0, settings={} if window is None else {SettingsFrame.INITIAL_WINDOW_SIZE: window})
        first = PREFACE + settings.serialize()
        if credit:
            first += WindowUpdateFrame(0, credit).serialize()
        self.send(first)
        if reads:
            threading.Thread(target=self._read, name="wire", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, without a word."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are. Raises Cut."""
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError as error:
            raise Cut(str(error)) from None

    def frames(self, frames: Iterable[Frame]) -> None:
        """Send frames, together. Raises Cut."""
        self.send(b"".join(frame.serialize() for frame in frames))

    def next_stream(self) -> int:
        """The number of a new stream."""
        number, self._next = self._next, self._next + 2
        self.streams[number] = Stream()
        return number

    def block(self, path: str, more: Headers = ()) -> bytes:
        """The header block of a call."""
        token = [("authorization", f"Bearer {self._token}")] if self._token else []
        return self._encoder.encode(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", "localhost"),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                *token,
                *more,
            ]
        )

    def headers(self, path: str, *, more: Headers = ()) -> HeadersFrame:
        """The frame that opens a call on a new stream."""
        return HeadersFrame(self.next_stream(), self.block(path, more), flags=["END_HEADERS"])

    def open(self, path: str, *messages: bytes, half_close: bool = False, more: Headers = ()) -> int:
        """Open a call and send messages; the number of its stream. Raises Cut."""
        headers = self.headers(path, more=more)
        data = b"".join(b"\0" + struct.pack(">I", len(message)) + message for message in messages)
        frames: list[Frame] = [headers]
        if data or half_close:
            frames.append(DataFrame(headers.stream_id, data, flags=["END_STREAM"] if half_close else []))
        self.frames(frames)
        return headers.stream_id

    def wait_for(self, condition: Callable[[], bool], seconds: float = WAIT) -> bool:
        """Whether what the server sends makes a condition true in time."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def wait_until_ended(self, number: int, seconds: float = WAIT) -> Stream:
        """A stream that has ended, by the server's answer, its reset or the connection's end."""
        stream = self.streams[number]
        assert self.wait_for(lambda: stream.ended or self.closed, seconds), stream
        return stream

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                received = self._socket.recv(1 << 16)
            except OSError:
                received = b""
            if not received:
                break
            buffer += received
            while len(buffer) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(buffer[:9]))
                if len(buffer) < 9 + length:
                    break
                with suppress(HyperframeError):
                    frame.parse_body(memoryview(buffer[9 : 9 + length]))
                    self._take(frame)
                buffer = buffer[9 + length :]
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _take(self, frame: Frame) -> None:
        answer: Frame | None = None
        with self._changed:
            stream = self.streams.get(frame.stream_id, Stream())
            if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
                self.settings.update(frame.settings)
                answer = SettingsFrame(0, flags=["ACK"])
            elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
                answer = PingFrame(0, frame.opaque_data, flags=["ACK"])
            elif isinstance(frame, GoAwayFrame):
                self.goaway = frame
            elif isinstance(frame, RstStreamFrame):
                stream.reset, stream.ended = frame.error_code, True
            elif isinstance(frame, HeadersFrame):
                stream.headers.update(map(_text, self._decoder.decode(frame.data)))
            elif isinstance(frame, DataFrame):
                stream.received_bytes += len(frame.data)
            if "END_STREAM" in frame.flags:
                stream.ended = True
            self._changed.notify_all()
        if answer is not None:
            with suppress(Cut):
                self.send(answer.serialize())


def _text(header: Header | tuple[str, str] | tuple[bytes, bytes]) -> tuple[str, str]:
    name, value = header[0], header[1]
    return (
        name.decode() if isinstance(name, bytes) else str(name),
        value.decode(errors="replace") if isinstance(value, bytes) else str(value),
    )
