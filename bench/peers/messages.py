"""Messages of a peer's contract, made of what a client needs of them; its protos are not ours to carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

STRING: Final = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
INT32: Final = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
INT64: Final = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
BOOL: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
BYTES: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES

Fields = Mapping[str, tuple[int, "descriptor_pb2.FieldDescriptorProto.Type.ValueType"]]
"""The number and the type of each field by its name."""


def message_classes(package: str, messages: Mapping[str, Fields]) -> dict[str, Any]:
    """A class for each message of the package, in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            message.field.add(
                name=field, number=number, type=kind, label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}
