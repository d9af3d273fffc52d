"""The connection to a server: transport, credentials, deadlines, repetition of calls."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import ipaddress
import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from releaseregistry.v1 import (
    deploy_service_pb2,
    organizations_pb2,
    release_health_service_pb2,
    release_service_pb2,
    tokens_pb2,
    uploads_pb2,
)

from relctl.errors import LocalError, RegistryError, decode_error

DEFAULT_PORT: Final = 50051
MAX_PORT: Final = 65535
DEFAULT_DEADLINE_SECONDS: Final = 30.0
PAGE_SIZE: Final = 1000
MAX_CALLER_CHARS: Final = 200

# How often a call is sent in all where grpc does not repeat it, and how long between two times when the server does not
# say.
ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0

# Notices a server that went away without a word while a stream waits for its answer. Servers refuse clients that ask
# more often than every five minutes while nothing else travels.
KEEPALIVE_SECONDS: Final = 320

SERVICES: Final[tuple[ServiceDescriptor, ...]] = (
    organizations_pb2.DESCRIPTOR.services_by_name["OrganizationService"],
    tokens_pb2.DESCRIPTOR.services_by_name["TokenService"],
    release_service_pb2.DESCRIPTOR.services_by_name["ReleaseService"],
    deploy_service_pb2.DESCRIPTOR.services_by_name["DeployService"],
    uploads_pb2.DESCRIPTOR.services_by_name["UploadService"],
    release_health_service_pb2.DESCRIPTOR.services_by_name["ReleaseHealthService"],
)

RequestT_contra = TypeVar("RequestT_contra", bound=Message, contravariant=True)
ResponseT_co = TypeVar("ResponseT_co", covariant=True)
PageT = TypeVar("PageT", bound="Page")
T = TypeVar("T")


class UnaryMethod(Protocol[RequestT_contra, ResponseT_co]):
    """A method of a generated stub that takes one message and answers one."""

    def __call__(
        self, request: RequestT_contra, /, *, timeout: float | None, metadata: tuple[tuple[str, str], ...]
    ) -> ResponseT_co:
        """Call it and wait for the answer."""


class Page(Protocol):
    """An answer of a list."""

    next_page_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How bytes travel. Plain text unless `tls`; `ca_file` holds the certificates trusted instead of the system's.

    `certificate` and `key` (PEM both, or neither) are what the client presents to a server that asks for it. In plain
    text a token leaves this machine only with `allow_plain_text`.
    """

    tls: bool = False
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    allow_plain_text: bool = False


class Connection:
    """A channel with what every call of it carries. Safe to share between threads; close it in the end."""

    def __init__(
        self, channel: grpc.Channel, *, token: str = "", caller: str = "", deadline_seconds: float | None = None
    ) -> None:
        self.channel = channel
        self.deadline_seconds = DEFAULT_DEADLINE_SECONDS if deadline_seconds is None else deadline_seconds
        metadata = []
        if token:
            metadata.append(("authorization", f"Bearer {_header(token, 'the token')}"))
        if caller:
            if len(caller) > MAX_CALLER_CHARS:
                raise LocalError(f"the caller is longer than {MAX_CALLER_CHARS} characters")
            metadata.append(("x-caller", _header(caller, "the caller")))
        self.metadata: tuple[tuple[str, str], ...] = tuple(metadata)

    def call(
        self,
        method: UnaryMethod[RequestT_contra, ResponseT_co],
        request: RequestT_contra,
        *,
        deadline_seconds: float | None = None,
    ) -> ResponseT_co:
        """Call a unary method. Raises RegistryError; what is worth repeating was repeated already where that is safe.

        The deadline is for all of that together.
        """
        left = self.deadline_seconds if deadline_seconds is None else deadline_seconds
        end = monotonic() + left
        pauses = Pauses()
        while True:
            try:
                return method(request, timeout=left, metadata=self.metadata)
            except grpc.RpcError as error:
                refused = decode_error(error)
            if refused.is_unavailable:
                raise refused  # grpc repeats that itself, by the service config
            pauses.wait_after(refused, left_seconds=end - monotonic())
            left = end - monotonic()

    def pages(
        self, method: UnaryMethod[RequestT_contra, PageT], request: RequestT_contra, *, limit: int | None
    ) -> Iterator[PageT]:
        """Answer a list's pages, each fetched when it is asked for, till the last one or till `limit` items may be had.

        The caller stops taking items at its limit; here it only keeps the pages from being larger than needed.
        """
        wanted: Any = request  # a list request: what page_size and page_token are is the same in all of them
        wanted.page_size = PAGE_SIZE if limit is None else max(1, min(limit, PAGE_SIZE))
        while True:
            page = self.call(method, request)
            yield page
            if not page.next_page_token:
                return
            wanted.page_token = page.next_page_token

    def close(self) -> None:
        """End the connection; calls that run are cancelled."""
        self.channel.close()


def open_channel(server: str, transport: Transport) -> grpc.Channel:
    """Open a channel to `host:port` (50051 when no port is said), `[v6]:port` or `unix:/path`. Nothing travels yet.

    Raises LocalError when a file of certificates cannot be read, or the address has no such port.
    """
    options = [*channel_options().items()]
    target = server_target(server)
    if not transport.tls:
        return grpc.insecure_channel(target, options)
    if (transport.certificate is None) != (transport.key is None):
        missing = "key" if transport.key is None else "certificate"
        raise LocalError(f"the {missing} is missing: a client presents a certificate and its key, or neither")
    credentials = grpc.ssl_channel_credentials(
        _content(transport.ca_file, "the trusted certificates"),
        _content(transport.key, "the key"),
        _content(transport.certificate, "the certificate"),
    )
    return grpc.secure_channel(target, credentials, options)


def channel_options() -> dict[str, str | int]:
    """What gRPC is told of every channel."""
    return {
        "grpc.service_config": service_config(),
        "grpc.enable_retries": 1,
        "grpc.primary_user_agent": f"relctl/{client_version()}",
        "grpc.initial_reconnect_backoff_ms": 200,
        # The pauses of the retry policy come to some two seconds: where servers are restarted one after the other, the
        # last one must be known again by then.
        "grpc.max_reconnect_backoff_ms": 1_000,
        "grpc.keepalive_time_ms": KEEPALIVE_SECONDS * 1000,
    }


def check_secrecy(server: str, transport: Transport) -> None:
    """A token may be sent so: encrypted, or without leaving this machine, or because the user wants it in plain text.

    Raises LocalError.
    """
    if not (transport.tls or transport.allow_plain_text or is_loopback(server)):
        raise LocalError(
            f"the token would travel readable to {server}: use TLS, or allow it with --allow-plain-text or "
            "RELCTL_PLAIN_TEXT=yes"
        )


def server_target(server: str) -> str:
    """The address in the form that grpc wants: with a port. Raises LocalError when no port has that number."""
    if server.startswith("unix:"):
        return server
    host, separator, port = server.rpartition(":")
    if separator and port.isdigit() and (":" not in host or host.endswith("]")):
        if not 0 < int(port) <= MAX_PORT:  # grpc would take what is left of it in 16 bits
            raise LocalError(f"{server}: a port is a number from 1 to {MAX_PORT}")
        return server
    if ":" in server and not server.startswith("["):
        server = f"[{server}]"
    return f"{server}:{DEFAULT_PORT}"


def is_loopback(server: str) -> bool:
    """Whether what is sent to the address stays on this machine."""
    if server.startswith("unix:"):
        return True
    host = server_target(server).rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def service_config() -> str:
    """The retry policy as grpc takes it: the one beside the protos, and with it the methods that carry a request id.

    Those bear repetition only with the id, which this client always sends and others may not.
    """
    text = (importlib.resources.files("releaseregistry.v1") / "grpc_service_config.json").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text)
    names: list[dict[str, str]] = config["methodConfig"][0]["name"]
    for service in SERVICES:
        for method in service.methods:
            name = {"service": service.full_name, "method": method.name}
            if "request_id" in method.input_type.fields_by_name and name not in names:
                names.append(name)
    return json.dumps(config)


def repeat_while_busy(attempt: Callable[[], T], *, attempts: int = ATTEMPTS) -> T:
    """Carry out a call that streams, again when its error is worth repeating, waiting as long as the server asks for.

    grpc itself does not repeat a stream whose messages have left. Raises what the last attempt raised.
    """
    pauses = Pauses(attempts=attempts)
    while True:
        try:
            return attempt()
        except RegistryError as error:
            pauses.wait_after(error)


class Pauses:
    """The waits between attempts; they grow, and a server that says how long to wait is heard."""

    def __init__(self, *, attempts: int = ATTEMPTS) -> None:
        self._attempts = attempts
        self._failed = 0

    def wait_after(self, error: RegistryError, *, left_seconds: float | None = None) -> None:
        """Wait before the next attempt, which has to begin before `left_seconds` are over.

        Raises the error when it is not worth repeating, there were attempts enough, or the time does not suffice.
        """
        self._failed += 1
        if not error.is_worth_repeating or self._failed >= self._attempts:
            raise error
        pause = FIRST_PAUSE_SECONDS * 2 ** (self._failed - 1)
        if error.retry_after_seconds is not None:
            pause = max(pause, error.retry_after_seconds)
        # Spread, so that a hundred clients which were refused together do not come back together.
        pause = min(pause, LONGEST_PAUSE_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        if left_seconds is not None and pause >= left_seconds:
            raise error
        sleep(pause)

    def reset(self) -> None:
        """Count anew: there was progress since the last failure."""
        self._failed = 0


def new_request_id() -> str:
    """A fresh UUID, for request_id and upload_id."""
    return str(uuid.uuid4())


def client_version() -> str:
    """The version of this client's distribution; `0` when it runs without being installed."""
    try:
        return importlib.metadata.version("release-registry-client")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _content(file: Path | None, what: str) -> bytes | None:
    try:
        return None if file is None else file.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {what}: {file}: {error.strerror}") from None


def _header(value: str, what: str) -> str:
    # gRPC carries printable ASCII only, and fails with a text about metadata that helps nobody.
    if not value.isascii() or not value.isprintable():
        raise LocalError(f"{what} may only hold printable ASCII characters")
    return value
