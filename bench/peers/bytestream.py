"""google.bytestream.ByteStream, as far as a client needs it to write and read."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_STRING: Final = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_INT64: Final = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
_BOOL: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
_BYTES: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_PACKAGE: Final = "google.bytestream"
_MESSAGES: Final = {
    "WriteRequest": {
        "resource_name": (1, _STRING),
        "write_offset": (2, _INT64),
        "finish_write": (3, _BOOL),
        "data": (10, _BYTES),
    },
    "WriteResponse": {"committed_size": (1, _INT64)},
    "ReadRequest": {"resource_name": (1, _STRING), "read_offset": (2, _INT64), "read_limit": (3, _INT64)},
    "ReadResponse": {"data": (10, _BYTES)},
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="bytestream.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            message.field.add(
                name=field, number=number, type=kind, label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES: Final = _classes()
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
