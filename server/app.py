"""The composition root: the one place where a server is put together from its parts."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

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

from server.discovery import Discovery
from server.edge import CallLimits, Edge
from server.errors import CallsBusy, Draining, StreamsBusy
from server.health import REFLECTION_SLOTS, Health, reflection_routes
from server.housekeeping import Housekeeping
from server.idle import IdleWatch
from server.lanes import Lane, Route, Router, handler
from server.operator_token import keep_operator_token
from server.servicers.admin import AdminServicer
from server.servicers.adoption import AdoptionRpcs
from server.servicers.bulk import BulkRpcs
from server.servicers.chunks import ChunkRpcs
from server.servicers.commits import CommitRpcs
from server.servicers.comparisons import ComparisonRpcs
from server.servicers.deploys import DeployServicer
from server.servicers.files import FileRpcs
from server.servicers.health import HealthRpcs
from server.servicers.organizations import OrganizationServicer
from server.servicers.release_batches import ReleaseBatchRpcs
from server.servicers.releases import ReleaseRpcs
from server.servicers.sessions import SessionRpcs
from server.servicers.suggestions import SuggestionRpcs
from server.servicers.thresholds import ThresholdRpcs
from server.servicers.tokens import TokenServicer
from server.servicers.uploads import UploadRpcs
from server.settings import Settings
from server.vigil import Vigil
from store import Store
from store.access.credentials import Authenticator
from store.blobs.blobs import Blobs, open_blobs
from store.blobs.collector import Collector
from store.blobs.s3_client import Bucket
from store.blobs.scrub import scrub
from store.clock import Clock
from store.database import Database, open_database
from store.database.replays import purge_expired
from store.errors import AdoptionBusy, CollectorBusy
from store.health.adoption import run_adoption_hourly
from store.health.items import SessionLimits
from store.health.sought import Sought
from store.health.upkeep import keep_up
from store.organizations.drain import drain_deleted_organizations, drain_deleted_projects
from store.paging import open_page_tokens
from store.releases.drain import drain_deleted_releases
from store.uploads.uploads import purge_uploads

log = logging.getLogger("server.app")

# What grpc leaves without a limit, limited. The slots of both lanes together stay below the streams of a connection, so
# that a client learns from a refusal that the server is full, and does not queue in its own process.
GRPC_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # a second server on the port fails to start, instead of sharing its calls
    ("grpc.max_concurrent_streams", 96),
    ("grpc.max_receive_message_length", 4 * 2**20),
    # A window that grows by itself lets a client that is faster than the disk leave tens of MiB here, a stream.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 * 2**20),
    ("grpc.max_metadata_size", 8 * 2**10),
    ("grpc.absolute_max_metadata_size", 8 * 2**10),  # the same: in between, calls are refused at random
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 15 * 60_000),
    ("grpc.keepalive_time_ms", 60_000),  # finds peers that vanished without a word
    ("grpc.keepalive_timeout_ms", 20_000),
)
# After the grace, for streams to come to their next message and end with DRAINING, and for that to reach their callers.
END_SECONDS: Final = 1.0
FLUSH_SECONDS: Final = 0.2
# After that, for handlers to notice that their calls were cut.
CUT_SECONDS: Final = 5.0


class ReleaseServicer(ReleaseRpcs, ReleaseBatchRpcs, CommitRpcs, FileRpcs, ComparisonRpcs, BulkRpcs, SuggestionRpcs):
    """All RPCs of the release service; each concept has a module."""


class UploadServicer(UploadRpcs, ChunkRpcs):
    """All RPCs of the upload service."""


class HealthServicer(SessionRpcs, HealthRpcs, AdoptionRpcs, ThresholdRpcs):
    """All RPCs of the release health service."""


class CannotListen(Exception):
    """The address cannot be listened on; one line for the operator."""


class Server:
    """A server, put together and not yet listening. `start` it, `drain` it, `close` it; or `close` it alone.

    `store` is what it serves. `made_operator_token` tells whether it wrote the operator's token file just now.
    """

    def __init__(self, settings: Settings, store: Store, services: Mapping[ServiceDescriptor, object]) -> None:
        self.settings = settings
        self.store = store
        self.made_operator_token = False
        self.port = 0
        self.housekeeping = Housekeeping(
            _jobs(
                store,
                settings_collector(settings, store.db, store.blobs),
                settings.session_limits,
                lambda: self._closing,
            )
        )
        self._closing = False
        self.discovery = Discovery(store.db, store.sought)
        self._watch = IdleWatch()
        self._vigil = Vigil()
        self._calls = Lane("calls", settings.call_slots)
        self._streams = Lane("streams", settings.stream_slots)
        self._reflection = Lane("reflection", REFLECTION_SLOTS)
        self._refusals = Lane("refusals", 2)
        self._health = Health([service.full_name for service in services], self._watch)
        self._edge = Edge(
            authenticate=Authenticator(store.db),
            page_tokens=store.page_tokens,
            watch=self._watch,
            vigil=self._vigil,
            limits=CallLimits(unary=settings.call_seconds, silence=settings.silence_seconds),
        )
        self._router = Router(self._routes(services), when_draining=self._refusal(Draining()))
        self._grpc = grpc.server(
            # Every handler brings its lane; grpc asks for a pool all the same.
            ThreadPoolExecutor(1, thread_name_prefix="lane-none"),
            handlers=[self._router],
            options=GRPC_OPTIONS,
        )
        self._started = False

    @property
    def address(self) -> str:
        """Where it listens, as host:port with the real port."""
        return f"{self.settings.listen.rpartition(':')[0]}:{self.port}"

    @property
    def running_calls(self) -> int:
        """How many calls are being worked on, health and reflection aside."""
        return self._calls.busy + self._streams.busy

    def start(self) -> None:
        """Listen and serve. Raises CannotListen."""
        self.port = self._bind()
        self._watch.start()
        self._vigil.start()
        self._grpc.start()
        self._started = True
        self.housekeeping.start()
        self.discovery.start()

    def drain(self, *, seconds: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Take no more calls, and return when the running ones have ended, after `seconds` or when `hurry` says so.

        Health says NOT_SERVING from the first moment and goes on answering; other calls get DRAINING, and in the end
        the streams that still run, too. What then waits for its peer, or is no stream, is left to `close`.
        """
        self._router.drain()
        self._health.stop_serving()
        self.housekeeping.stop(seconds=0)  # whoever is sent away now finds all there that he left
        self.discovery.stop(seconds=0)
        log.info("draining", extra={"fields": {"running_calls": self.running_calls}})
        deadline = time.monotonic() + seconds
        while self.running_calls and time.monotonic() < deadline and not hurry():
            for lane in (self._calls, self._streams):
                lane.wait_until_idle(min(deadline, time.monotonic() + 0.05))
        left = self.running_calls
        self._edge.end_streams()
        if left:
            self._streams.wait_until_idle(time.monotonic() + END_SECONDS)
        log.info(
            "drained", extra={"fields": {"ended_calls": left - self.running_calls, "cut_calls": self.running_calls}}
        )

    def close(self) -> bool:
        """Cut what still runs and let go of everything; whether every handler ended, so that it could."""
        self._closing = True
        if self._started:
            self._grpc.stop(FLUSH_SECONDS).wait(CUT_SECONDS)
        self.housekeeping.stop(seconds=CUT_SECONDS)
        self.discovery.stop(seconds=CUT_SECONDS)
        self._watch.stop()
        self._vigil.stop()
        deadline = time.monotonic() + CUT_SECONDS
        lanes = (self._calls, self._streams, self._reflection, self._refusals, self._health.lane)
        idle = [lane.wait_until_idle(deadline) for lane in lanes]
        for lane in lanes:
            lane.shutdown(wait=False, cancel_futures=True)
        if not all(idle):
            # What still runs may use them, and they bear being left open: a killed server leaves them so, too.
            log.warning("some calls did not notice that they were cut")
            return False
        self.store.blobs.close()
        self.store.db.close()
        return True

    def _bind(self) -> int:
        listen, settings = self.settings.listen, self.settings
        _try_to_listen(listen)
        try:
            if settings.tls_certificate is None or settings.tls_key is None:
                return self._grpc.add_insecure_port(listen)
            pair = (settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())
            return self._grpc.add_secure_port(listen, grpc.ssl_server_credentials([pair]))
        except OSError as error:
            raise CannotListen(f"{error.filename} cannot be read: {error.strerror}.") from None
        except RuntimeError:
            secure = "" if settings.tls_key is None else ", or the certificate and its key are no pair"
            raise CannotListen(f"Cannot listen on {listen}: the address was just taken{secure}.") from None

    def _routes(self, services: Mapping[ServiceDescriptor, object]) -> dict[str, Route]:
        calls_busy = self._refusal(CallsBusy(self._calls.slots))
        streams_busy = self._refusal(StreamsBusy(self._streams.slots))
        routes = self._health.routes()
        for service, servicer in services.items():
            for method, behaviour in self._edge.behaviours(service, servicer).items():
                lane, when_full = (self._streams, streams_busy) if method.takes_long else (self._calls, calls_busy)
                ends = method.can_be_ended
                bound = handler(behaviour, lane, server_streams=method.server_streams or ends, non_blocking=ends)
                routes[method.path] = Route(bound, lane, when_full)
        if self.settings.reflection:
            names = [service.full_name for service in services]
            busy = self._refusal(StreamsBusy(self._reflection.slots))
            routes |= reflection_routes(names, self._watch, self._reflection, busy)
        return routes

    def _refusal(self, error: CallsBusy | StreamsBusy | Draining) -> grpc.RpcMethodHandler[Any, Any]:
        return handler(self._edge.refusal(error), self._refusals, server_streams=False)


def open_server(settings: Settings, *, clock: Clock | None = None) -> Server:
    """A server with its database migrated, its store open and its operator's token kept; not yet listening.

    Raises CannotListen before anything is made, CannotOpen, ContractBroken, and errors of the registry when the
    database is down.
    """
    _try_to_listen(settings.listen)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    db = open_settings_database(settings, clock=clock)
    try:
        db.migrate()
        made = keep_operator_token(db, settings.operator_token_file, bootstrap_token=settings.bootstrap_token)
        server = assembled(settings, db)
    except BaseException:
        db.close()
        raise
    server.made_operator_token = made
    return server


def open_settings_database(settings: Settings, *, clock: Clock | None = None) -> Database:
    """The database that the settings name, not migrated. Raises CannotOpen."""
    return open_database(settings.database, clock=clock, server_side_prepares=settings.pooler != "transaction")


def open_settings_blobs(settings: Settings, db: Database) -> Blobs:
    """The blob store that the settings name, of a migrated database. Raises CannotOpen when its place is not fit."""
    return open_blobs(
        db,
        _place_of_blobs(settings),
        max_content_bytes=settings.max_file_bytes,
        max_streams=settings.stream_slots,
        grace_seconds=settings.grace_seconds,
    )


def settings_collector(settings: Settings, db: Database, blobs: Blobs) -> Collector:
    """What collects in that store."""
    return Collector(db, blobs.packs, grace_seconds=settings.grace_seconds)


def assembled(settings: Settings, db: Database) -> Server:
    """A server on a migrated database. Raises CannotOpen when the folder of the files is not fit."""
    blobs = open_settings_blobs(settings, db)
    store = Store(db=db, blobs=blobs, page_tokens=open_page_tokens(db), sought=Sought(db.clock))
    services = {
        organizations_pb2.DESCRIPTOR.services_by_name["OrganizationService"]: OrganizationServicer(store),
        tokens_pb2.DESCRIPTOR.services_by_name["TokenService"]: TokenServicer(store),
        release_service_pb2.DESCRIPTOR.services_by_name["ReleaseService"]: ReleaseServicer(store),
        deploy_service_pb2.DESCRIPTOR.services_by_name["DeployService"]: DeployServicer(store),
        uploads_pb2.DESCRIPTOR.services_by_name["UploadService"]: UploadServicer(store),
        release_health_service_pb2.DESCRIPTOR.services_by_name["ReleaseHealthService"]: HealthServicer(
            store, limits=settings.session_limits
        ),
        admin_pb2.DESCRIPTOR.services_by_name["AdminService"]: AdminServicer(
            store, settings_collector(settings, db, blobs)
        ),
    }
    try:
        return Server(settings, store, services)
    except BaseException:
        blobs.close()
        raise


def _place_of_blobs(settings: Settings) -> Path | Bucket:
    if settings.bucket is None:
        return settings.data / "blobs"
    name, prefix = settings.bucket
    return Bucket(
        name,
        prefix=prefix,
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key,
        session_token=settings.s3_session_token,
        path_style=settings.s3_path_style,
        allow_http=settings.s3_allow_http,
    )


def _try_to_listen(address: str) -> None:
    """Learn from the system why an address cannot be listened on: grpc does not tell."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen()
    except OSError as error:
        raise CannotListen(f"Cannot listen on {address}: {error.strerror}.") from None


def _jobs(
    store: Store, collector: Collector, limits: SessionLimits, stopped: Callable[[], bool]
) -> dict[str, Callable[[], object]]:
    return {
        # What these mark is what the drain of releases removes.
        "drain deleted projects": lambda: drain_deleted_projects(store.db, stopped=stopped),
        "drain deleted organizations": lambda: drain_deleted_organizations(store.db, stopped=stopped),
        "drain deleted releases": lambda: drain_deleted_releases(store.db, stopped=stopped),
        "purge answers of request ids": lambda: purge_expired(store.db),
        # While no file can be written, nobody can go on with one.
        "purge uploads": lambda: purge_uploads(store.db) if store.blobs.packs.writable else 0,
        "adoption": lambda: _adopted(store.db, stopped),
        "upkeep of release health": lambda: keep_up(store.db, limits, stopped=stopped).changes,
        # Behind whatever drops references.
        "collect": lambda: _collected(collector, stopped),
        "scrub": lambda: scrub(store.db, store.blobs.packs, stopped=stopped),
    }


def _adopted(db: Database, stopped: Callable[[], bool]) -> int:
    try:
        return run_adoption_hourly(db, stopped=stopped).changes
    except AdoptionBusy:
        return 0  # another server is at it


def _collected(collector: Collector, stopped: Callable[[], bool]) -> int:
    try:
        return collector.collect(stopped=stopped).removed
    except CollectorBusy:
        return 0  # another server is at it
