"""Servers in this process, on a free port: the real one, and one whose handlers a test writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from releaseregistry.v1 import (
    admin_pb2,
    deploy_service_pb2,
    organizations_pb2,
    release_health_service_pb2,
    release_service_pb2,
    tokens_pb2,
    uploads_pb2,
)

from server.app import assembled, settings_collector
from server.serving import Server
from server.settings import Settings, read_settings
from store.access.operators import ensure_operator_token
from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.wire import OPERATOR_TOKEN, Served

SERVICES: tuple[ServiceDescriptor, ...] = (
    organizations_pb2.DESCRIPTOR.services_by_name["OrganizationService"],
    tokens_pb2.DESCRIPTOR.services_by_name["TokenService"],
    release_service_pb2.DESCRIPTOR.services_by_name["ReleaseService"],
    deploy_service_pb2.DESCRIPTOR.services_by_name["DeployService"],
    uploads_pb2.DESCRIPTOR.services_by_name["UploadService"],
    release_health_service_pb2.DESCRIPTOR.services_by_name["ReleaseHealthService"],
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"],
)
CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # connections of one test are not another's
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 8 << 20),
)


def settings_of(folder: Path, **settings: object) -> Settings:
    """Settings for a server of the tests: a free port, data in the folder, the rest as given or by default.

    One organization may have all slots, unless a test is about that: most callers of the tests are the operator.
    """
    given = {"organization_percent": 100, **settings}
    environment = {f"RELEASES_{name.upper()}": str(value) for name, value in given.items()}
    return read_settings((), {"RELEASES_LISTEN": "127.0.0.1:0", "RELEASES_DATA": str(folder / "data"), **environment})


@contextmanager
def served(
    database: Database,
    clock: ManualClock,
    folder: Path,
    *,
    script: dict[str, Callable[..., Any]] | None = None,
    discovers: bool = False,
    **settings: object,
) -> Iterator[Served]:
    """A running server on this database. With a `script`, its handlers by method name replace all of the real ones.

    Its housekeeping runs when a test says so (`server.housekeeping.run_once()`), and so does what finds releases of
    sessions (`server.discovery.run_once()`), unless it `discovers`: by itself it would change what is counted.
    """
    made = settings_of(folder, **settings)
    made.data.mkdir(exist_ok=True)
    ensure_operator_token(database, OPERATOR_TOKEN)
    server = assembled(made, database)
    if script is not None:
        server = Server(
            made,
            server.store,
            dict.fromkeys(SERVICES, Scripted(script)),
            collector=settings_collector(made, database, server.store.blobs),
        )
    server.housekeeping._first_seconds = 1e6
    if not discovers:
        server.discovery.start = lambda: None  # type: ignore[method-assign]
    server.start()
    try:
        with grpc.insecure_channel(server.address, options=CHANNEL_OPTIONS) as channel:
            yield Served(server, database, clock, channel)
    finally:
        assert server.close(), "a handler did not end when the server did"


class Scripted:
    """Handlers of all services, as a test wrote them; it may exchange them while the server runs."""

    def __init__(self, script: dict[str, Callable[..., Any]]) -> None:
        self._script = script

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def current(*arguments: object) -> Any:
            return self._script[name](*arguments)

        return current
