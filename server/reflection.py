"""The standard service that describes the others. It is public, and has a lane of its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection, reflection_pb2
from releaseregistry.v1 import errors_pb2

from server.edge.idle import IdleWatch
from server.lanes.lanes import Lane, Route, handler

REFLECTION_SLOTS: Final = 4
REFLECTION_SECONDS: Final = 60.0
"""Nobody is waited for longer: callers are not known."""

# No service's messages refer to the reasons of errors, so their file comes into the pool, to be described, only here.
DESCRIBED_BESIDES: Final = (errors_pb2.DESCRIPTOR,)
REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"


def reflection_routes(
    services: Iterable[str], watch: IdleWatch, lane: Lane, when_full: grpc.RpcMethodHandler[Any, Any]
) -> dict[str, Route]:
    """Reflection, as v1alpha and as v1, which differ in nothing but their name."""
    _describe_v1()
    names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME, REFLECTION_V1)
    servicer = reflection.ReflectionServicer(names, pool=_Symbols())

    def info(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        def requests() -> Iterator[Message]:
            until = time.monotonic() + REFLECTION_SECONDS
            for encoded in messages:
                try:
                    yield reflection_pb2.ServerReflectionRequest.FromString(encoded)
                except DecodeError:
                    text = "The request is no grpc.reflection ServerReflectionRequest."
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
                if time.monotonic() > until:
                    return

        with watch.waiting(context, REFLECTION_SECONDS):
            yield from (response.SerializeToString() for response in servicer.ServerReflectionInfo(requests(), context))

    bound = handler(info, lane, server_streams=True)
    route = Route(bound, lane, when_full)
    return {f"/{name}/ServerReflectionInfo": route for name in (reflection.SERVICE_NAME, REFLECTION_V1)}


class _Symbols:
    """The descriptor pool, but one that also finds methods: they are in the file of their service."""

    def __getattr__(self, name: str) -> Any:
        return getattr(descriptor_pool.Default(), name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - the pool's own name of it
        pool = descriptor_pool.Default()
        try:
            return pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            return pool.FindServiceByName(service).methods_by_name[method].containing_service.file


def _describe_v1() -> None:
    """Make v1 known to the descriptor pool, from which reflection answers; the library brings v1alpha only."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    renamed = text_format.MessageToString(file).replace("v1alpha", "v1")
    described = text_format.Parse(renamed, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(described.SerializeToString())
