"""The standard services: health, and reflection. Both are public, and both have a lane of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from releaseregistry.v1 import errors_pb2

from server.idle import IdleWatch
from server.lanes import Lane, Route, handler

HEALTH_SLOTS: Final = 16
REFLECTION_SLOTS: Final = 4
# Public services wait for nobody long: their callers are not known.
MESSAGE_SECONDS: Final = 10.0
REFLECTION_SECONDS: Final = 60.0

# No service's messages refer to the reasons of errors, so their file comes into the pool, to be described, only here.
DESCRIBED_BESIDES: Final = (errors_pb2.DESCRIPTOR,)
REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"


class Health:
    """`grpc.health.v1` for the whole server ("") and each service. Its lane is never refused, also while draining.

    A Watch holds no thread. Serves from the beginning; `stop_serving` is for good.
    """

    def __init__(self, services: Iterable[str], watch: IdleWatch) -> None:
        self.lane = Lane("health", HEALTH_SLOTS)
        self._servicer = health.HealthServicer()
        self._watch = watch
        self._services = (health.OVERALL_HEALTH, *services)
        for service in self._services:
            self._servicer.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop_serving(self) -> None:
        """Tell everyone who asks or watches that no more calls are taken."""
        self._servicer.enter_graceful_shutdown()

    def routes(self) -> dict[str, Route]:
        """The methods of the service."""

        def check(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            request = self._only(messages, context)
            if request.service not in self._services:
                known = ", ".join(service or '""' for service in self._services)
                context.abort(grpc.StatusCode.NOT_FOUND, f"There is no service of that name; there are {known}.")
            return _bytes(self._servicer.Check(request, context))

        def watch(messages: Iterator[bytes], context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
            request = self._only(messages, context)
            self._servicer.Watch(request, context, lambda response: send(response and _bytes(response)))

        def route(bound: grpc.RpcMethodHandler[Any, Any]) -> Route:
            return Route(bound, self.lane, when_full=None, while_draining=True)

        return {
            f"/{health.SERVICE_NAME}/Check": route(handler(check, self.lane, server_streams=False)),
            f"/{health.SERVICE_NAME}/Watch": route(handler(watch, self.lane, server_streams=True, non_blocking=True)),
        }

    def _only(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> health_pb2.HealthCheckRequest:
        with self._watch.waiting(context, MESSAGE_SECONDS):
            encoded = next(messages, b"")
        try:
            return health_pb2.HealthCheckRequest.FromString(encoded)
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The request is no grpc.health.v1.HealthCheckRequest.")


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
            yield from (_bytes(response) for response in servicer.ServerReflectionInfo(requests(), context))

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


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()
