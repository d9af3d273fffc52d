"""The methods of the contract, as the descriptors tell them."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from server.annotations import scope_of
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

    @property
    def is_stream(self) -> bool:
        """Whether one side sends more than one message."""
        return self.client_streams or self.server_streams

    @property
    def can_be_ended(self) -> bool:
        """Whether a call is ended from outside while its handler waits for a message: a client's stream is."""
        return self.client_streams and not self.server_streams

    @property
    def takes_long(self) -> bool:
        """Whether it may take as long as a stream does: the operator's methods walk through all that is stored."""
        return self.is_stream or self.path.startswith("/releaseregistry.v1.AdminService/")


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
    )
