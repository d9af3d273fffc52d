"""google.bytestream.ByteStream, as far as a client needs it to write and read."""

from __future__ import annotations

from typing import Any, Final

import grpc

from bench.peers.messages import BOOL, BYTES, INT64, STRING, message_classes

_PACKAGE: Final = "google.bytestream"
_CLASSES: Final = message_classes(
    _PACKAGE,
    {
        "WriteRequest": {
            "resource_name": (1, STRING),
            "write_offset": (2, INT64),
            "finish_write": (3, BOOL),
            "data": (10, BYTES),
        },
        "WriteResponse": {"committed_size": (1, INT64)},
        "ReadRequest": {"resource_name": (1, STRING), "read_offset": (2, INT64), "read_limit": (3, INT64)},
        "ReadResponse": {"data": (10, BYTES)},
    },
)
WriteRequest: Final = _CLASSES["WriteRequest"]
ReadRequest: Final = _CLASSES["ReadRequest"]


class ByteStream:
    """The two calls, as a generated stub would have them."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.Write: Any = channel.stream_unary(
            f"/{_PACKAGE}.ByteStream/Write",
            request_serializer=WriteRequest.SerializeToString,
            response_deserializer=_CLASSES["WriteResponse"].FromString,
        )
        self.Read: Any = channel.unary_stream(
            f"/{_PACKAGE}.ByteStream/Read",
            request_serializer=ReadRequest.SerializeToString,
            response_deserializer=_CLASSES["ReadResponse"].FromString,
        )
