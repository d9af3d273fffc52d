"""Calling over the wire: a served registry with shorthands, and what a refused call told."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from releaseregistry.v1 import (
    deploy_service_pb2_grpc,
    errors_pb2,
    organizations_pb2,
    organizations_pb2_grpc,
    release_health_service_pb2_grpc,
    release_service_pb2_grpc,
    releases_pb2,
    tokens_pb2,
    tokens_pb2_grpc,
    uploads_pb2_grpc,
)

from server.serving import Server
from store.database import Database
from tests.clocks import ManualClock

Metadata = tuple[tuple[str, str], ...]

OPERATOR_TOKEN = "operator-of-the-rpc-tests"


@dataclass
class Refusal:
    """What a call that failed told its client."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)
    """Field to description, in the order of the answer."""
    retry_seconds: float | None = None
    request_id: str = ""
    """The request id of RequestInfo."""
    detail_bytes: int = 0
    trailing: dict[str, str | bytes] = field(default_factory=dict)

    def read(self, error: Any) -> None:
        """Take everything out of what grpc raised. Fails for an error without the details that every error has."""
        self.code, self.message = error.code(), error.details() or ""
        self.trailing = dict(error.trailing_metadata() or ())
        status = rpc_status.from_call(error)  # checks that code and message agree in both places
        assert status is not None, f"an error without details: {self.code} {self.message}"
        self.detail_bytes = status.ByteSize()
        for detail in status.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                assert info.domain == "releaseregistry.dev"
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest.FromString(detail.value)
                self.violations = {each.field: each.description for each in bad.field_violations}
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                self.retry_seconds = delay.seconds + delay.nanos / 1e9
            elif detail.Is(error_details_pb2.RequestInfo.DESCRIPTOR):
                self.request_id = error_details_pb2.RequestInfo.FromString(detail.value).request_id
        assert self.reason in REASONS, f"{self.reason} is no ErrorReason"
        assert self.detail_bytes < 6 * 1024
        assert self.request_id
        assert self.trailing["x-request-id"] == self.request_id


REASONS = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118


def refusal_of(error: grpc.RpcError) -> Refusal:
    """What a call that failed told its client."""
    refusal = Refusal()
    refusal.read(error)
    return refusal


def outcomes(count: int, call: Callable[[], str]) -> list[str]:
    """What so many calls at once return, or the reason for which they were refused."""

    def outcome(_: int) -> str:
        try:
            return call()
        except grpc.RpcError as error:
            return refusal_of(error).reason

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(outcome, range(count)))


@contextmanager
def raises_reason(reason: str, code: grpc.StatusCode | str) -> Iterator[Refusal]:
    """What is inside fails with this reason and code, such as NOT_FOUND; tells the rest.

    `tests/errors` looks for calls of this with a literal reason: every ErrorReason needs one.
    """
    wanted = grpc.StatusCode[code] if isinstance(code, str) else code
    refusal = Refusal()
    with pytest.raises(grpc.RpcError) as raised:
        yield refusal
    refusal.read(raised.value)
    assert (refusal.reason, refusal.code) == (reason, wanted), refusal.message


def bearer(secret: str, **more: str) -> Metadata:
    """The metadata of a call with this token; `x_caller="ci"` and the like are added as `x-caller`."""
    return (("authorization", f"Bearer {secret}"), *((key.replace("_", "-"), value) for key, value in more.items()))


class Served:
    """A server that runs in this process on a free port, with its database open beside it, and a client's channel.

    Calls of the operator carry `.operator`; of another token `bearer(secret)`.
    """

    def __init__(self, server: Server, database: Database, clock: ManualClock, channel: grpc.Channel) -> None:
        self.server = server
        self.database = database
        self.clock = clock
        self.channel = channel
        self.raw: Any = channel
        """The channel again, for calls with bytes in place of messages."""
        self.address = server.address
        self.operator = bearer(OPERATOR_TOKEN)
        self.organizations = organizations_pb2_grpc.OrganizationServiceStub(channel)
        self.tokens = tokens_pb2_grpc.TokenServiceStub(channel)
        self.releases = release_service_pb2_grpc.ReleaseServiceStub(channel)
        self.deploys = deploy_service_pb2_grpc.DeployServiceStub(channel)
        self.health = release_health_service_pb2_grpc.ReleaseHealthServiceStub(channel)
        self.uploads = uploads_pb2_grpc.UploadServiceStub(channel)

    def make_organization(
        self, slug: str = "acme", *, projects: Iterable[str] = (), open_membership: bool = False
    ) -> str:
        """Its name, `organizations/{slug}`."""
        organization = organizations_pb2.Organization(slug=slug, open_membership=open_membership)
        made = self.organizations.CreateOrganization(
            organizations_pb2.CreateOrganizationRequest(organization=organization), metadata=self.operator
        ).organization
        for project in projects:
            self.make_project(made.name, project)
        return made.name

    def make_project(self, organization: str, slug: str) -> str:
        """Its name, `organizations/{organization}/projects/{slug}`."""
        request = organizations_pb2.CreateProjectRequest(
            parent=organization, project=organizations_pb2.Project(slug=slug)
        )
        return self.organizations.CreateProject(request, metadata=self.operator).project.name

    def make_token(
        self,
        organization: str,
        *scopes: str,
        projects: Sequence[str] = (),
        all_projects: bool = False,
        expire_us: int | None = None,
    ) -> str:
        """Its secret. `projects` are slugs; a token of the installation when `organization` is ""."""
        token = tokens_pb2.Token(
            display_name="made by a test",
            scopes=scopes,
            all_projects=all_projects,
            projects=[f"{organization}/projects/{slug}" for slug in projects],
        )
        if expire_us is not None:
            token.expire_time.FromMicroseconds(expire_us)
        request = tokens_pb2.CreateTokenRequest(parent=organization, token=token, request_id=str(uuid.uuid4()))
        return self.tokens.CreateToken(request, metadata=self.operator).secret

    def make_release(self, organization: str, version: str, *projects: str) -> releases_pb2.Release:
        """The release; `projects` are slugs."""
        release = releases_pb2.Release(
            version=version, projects=[f"{organization}/projects/{slug}" for slug in projects]
        )
        request = releases_pb2.CreateReleaseRequest(parent=organization, release=release)
        return self.releases.CreateRelease(request, metadata=self.operator).release
