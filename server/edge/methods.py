"""The methods of the contract, as the descriptors tell them."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from server.edge.annotations import scope_of
from store.access.scopes import ANY, SCOPES


class ContractBroken(Exception):
    """The protos and the server disagree: a method lacks its scope or its handler. One line for the developer."""


@dataclass(frozen=True, slots=True)
class Method:
    """What the descriptors say of one method."""

    path: str
    name: str
    scope: str
    request_type: type[Message]
    response_type: type[Message]
    client_streams: bool
    server_streams: bool
    label: str
    """Service and method, as logs and metrics tell them: `ReleaseService/GetRelease`."""
    mutates: bool
    """Whether it may change something: the contract does not say that it has no side effects."""

    # What follows is worked out once: every call looks at it.
    is_stream: bool = field(init=False)
    """Whether one side sends more than one message."""
    can_be_ended: bool = field(init=False)
    """Whether a call is ended from outside while its handler waits for a message: a client's stream is."""
    carries_files: bool = field(init=False)
    """Whether it is a stream of the bytes of files, which come at some speed or not at all."""
    takes_long: bool = field(init=False)
    """Whether it may take as long as a stream does: the operator's methods walk through all that is stored."""

    def __post_init__(self) -> None:
        is_stream = self.client_streams or self.server_streams
        found = {
            "is_stream": is_stream,
            "can_be_ended": self.client_streams and not self.server_streams,
            "carries_files": is_stream and self.name.startswith(("Upload", "Download")),
            "takes_long": is_stream or self.path.startswith("/releaseregistry.v1.AdminService/"),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)  # frozen, and not yet handed out


def methods_of(service: ServiceDescriptor) -> tuple[Method, ...]:
    """The methods of a service. Raises ContractBroken when one names no scope, or one that does not exist."""
    return tuple(_method(service, descriptor) for descriptor in service.methods)


def _method(service: ServiceDescriptor, descriptor: MethodDescriptor) -> Method:
    scope = scope_of(descriptor)
    if scope != ANY and scope not in SCOPES:
        raise ContractBroken(f"{descriptor.full_name} has the option required_scope = {scope!r}, which is no scope.")
    return Method(
        path=f"/{service.full_name}/{descriptor.name}",
        name=descriptor.name,
        scope=scope,
        request_type=GetMessageClass(descriptor.input_type),
        response_type=GetMessageClass(descriptor.output_type),
        client_streams=descriptor.client_streaming,
        server_streams=descriptor.server_streaming,
        label=f"{service.name}/{descriptor.name}",
        mutates=descriptor.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS,
    )
