"""What the server insists on before it starts, and what stands beside the protos for clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from releaseregistry.v1 import tokens_pb2

from server.app import HealthServicer, ReleaseServicer, UploadServicer
from server.edge.annotations import scope_of
from server.edge.edge import Edge
from server.edge.idle import IdleWatch
from server.edge.methods import ContractBroken, methods_of
from server.edge.vigil import Vigil
from server.lanes.lanes import Lane
from server.servicers.admin import AdminServicer
from server.servicers.deploys import DeployServicer
from server.servicers.organizations import OrganizationServicer
from server.servicers.tokens import TokenServicer
from store.clock import SystemClock
from store.paging import PageTokens
from tests.rpc.serving import SERVICES

SERVICE_CONFIG = Path(__file__).parents[2] / "protos" / "releaseregistry" / "v1" / "grpc_service_config.json"


def edge() -> Edge:
    def nobody(*_: object) -> Any:
        raise AssertionError("nobody calls")

    tokens = PageTokens(b"k" * 32, clock=SystemClock())
    calls, streams = Lane("calls", 1), Lane("streams", 1)
    return Edge(authenticate=nobody, page_tokens=tokens, watch=IdleWatch(), vigil=Vigil(), calls=calls, streams=streams)


def made_service(*, scope: str | None) -> ServiceDescriptor:
    """A copy of the token service under another name, whose first method requires this scope, or none."""
    file = descriptor_pb2.FileDescriptorProto()
    tokens_pb2.DESCRIPTOR.CopyToProto(file)
    word = "none" if scope is None else scope.replace(":", "_")
    file.name, file.package = f"tests/tokens_{word}.proto", f"tests.tokens_{word}"
    del file.message_type[:], file.enum_type[:]
    file.dependency.append(tokens_pb2.DESCRIPTOR.name)
    method = file.service[0].method[0]
    options = tokens_pb2.DESCRIPTOR.services_by_name["TokenService"].methods[0].GetOptions()
    method.options.CopyFrom(type(options)())
    if scope is not None:
        from releaseregistry.v1 import annotations_pb2

        extension: Any = annotations_pb2.required_scope
        method.options.Extensions[extension] = scope
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{file.package}.TokenService")


def test_every_method_has_a_scope_and_a_handler() -> None:
    servicers: tuple[Any, ...] = (
        OrganizationServicer,
        TokenServicer,
        ReleaseServicer,
        DeployServicer,
        UploadServicer,
        HealthServicer,
        AdminServicer,
    )
    for service, servicer in zip(SERVICES, servicers, strict=True):
        behaviours = edge().behaviours(service, servicer.__new__(servicer))
        assert {method.name for method in behaviours} == {method.name for method in service.methods}


def test_a_method_without_a_scope_keeps_the_server_from_starting() -> None:
    with pytest.raises(ContractBroken, match="CreateToken"):
        methods_of(made_service(scope=None))


def test_a_scope_that_does_not_exist_keeps_the_server_from_starting() -> None:
    with pytest.raises(ContractBroken, match="release:raed"):
        methods_of(made_service(scope="release:raed"))


def test_a_method_without_a_handler_keeps_the_server_from_starting() -> None:
    class Incomplete:
        def CreateToken(self) -> None:  # noqa: N802 - the method's name
            """One of five."""

    with pytest.raises(ContractBroken, match=r"Incomplete has no handler for .*ListTokens"):
        edge().behaviours(tokens_pb2.DESCRIPTOR.services_by_name["TokenService"], Incomplete())


def test_only_what_tells_nothing_of_others_is_open_to_every_token() -> None:
    open_to_all = [method.name for service in SERVICES for method in service.methods if scope_of(method) == "any"]
    # RotateToken asks for token:admin itself, but for the calling token.
    assert open_to_all == ["RotateToken", "WhoAmI", "GetUploadLimits"]


def test_the_retry_policy_repeats_exactly_the_methods_that_bear_it() -> None:
    idempotency = descriptor_pb2.MethodOptions.IdempotencyLevel.Value
    repeatable = {
        (service.full_name, method.name)
        for service in SERVICES
        for method in service.methods
        if method.GetOptions().idempotency_level != idempotency("IDEMPOTENCY_UNKNOWN") and not method.client_streaming
    }
    policies = json.loads(SERVICE_CONFIG.read_text())["methodConfig"]
    named = [(name["service"], name["method"]) for policy in policies for name in policy["name"]]
    assert len(named) == len(set(named))
    assert set(named) == repeatable
    for policy in policies:
        assert policy["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


def test_grpc_takes_the_service_config_and_repeats_a_refused_call() -> None:
    import grpc

    text = SERVICE_CONFIG.read_text()
    with grpc.insecure_channel("127.0.0.1:1", options=(("grpc.service_config", text),)) as channel:
        whoami: Any = channel.unary_unary("/releaseregistry.v1.TokenService/WhoAmI")
        with pytest.raises(grpc.RpcError) as raised:
            whoami(b"", timeout=60)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE  # and not an error about the config
