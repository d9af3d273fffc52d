"""The composition root: the one place where a server is put together from its parts."""

from __future__ import annotations

import logging
from pathlib import Path

from releaseregistry.v1 import (
    admin_pb2,
    deploy_service_pb2,
    organizations_pb2,
    release_health_service_pb2,
    release_service_pb2,
    tokens_pb2,
    uploads_pb2,
)

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
from server.serving import Server
from server.settings import Settings
from server.transport import try_to_listen
from store import Store
from store.backup.restoring import refuse_unfinished
from store.blobs.blobs import Blobs, open_blobs, open_packs
from store.blobs.collector import Collector
from store.blobs.local import LocalPacks
from store.blobs.s3 import S3Packs
from store.blobs.s3_client import Bucket
from store.clock import Clock
from store.database import CannotOpen, Database, open_database
from store.health.sought import Sought
from store.paging import open_page_tokens
from store.quotas.usage import set_default_quota

log = logging.getLogger("server.app")


class ReleaseServicer(ReleaseRpcs, ReleaseBatchRpcs, CommitRpcs, FileRpcs, ComparisonRpcs, BulkRpcs, SuggestionRpcs):
    """All RPCs of the release service; each concept has a module."""


class UploadServicer(UploadRpcs, ChunkRpcs):
    """All RPCs of the upload service."""


class HealthServicer(SessionRpcs, HealthRpcs, AdoptionRpcs, ThresholdRpcs):
    """All RPCs of the release health service."""


def open_server(settings: Settings, *, clock: Clock | None = None, shares_port: bool = False) -> Server:
    """A server with its database migrated, its store open and its operator's token kept; not yet listening.

    With `shares_port` other processes may listen on the address as well. Raises CannotListen before anything is made,
    CannotOpen, ContractBroken, and errors of the registry when the database is down.
    """
    if not shares_port:
        try_to_listen(settings.listen)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_unfinished(settings.data)
    db = open_settings_database(settings, clock=clock)
    try:
        db.migrate()
        made = keep_operator_token(db, settings.operator_token_file, bootstrap_token=settings.bootstrap_token)
        server = assembled(settings, db, shares_port=shares_port)
    except BaseException:
        db.close()
        raise
    server.made_operator_token = made
    return server


def join_server(settings: Settings) -> Server:
    """One more server on what `open_server` has made ready in another process, on the same address; not yet listening.

    Raises CannotOpen, ContractBroken, and errors of the registry when the database is down.
    """
    db = open_settings_database(settings)
    try:
        if db.pending_migrations():
            raise CannotOpen("The database is not migrated to this version yet: restart the server.")
        return assembled(settings, db, shares_port=True)
    except BaseException:
        db.close()
        raise


def open_settings_database(settings: Settings, *, clock: Clock | None = None) -> Database:
    """The database that the settings name, not migrated. Raises CannotOpen."""
    return open_database(settings.database, clock=clock, server_side_prepares=settings.pooler != "transaction")


def open_settings_blobs(settings: Settings, db: Database) -> Blobs:
    """The blob store that the settings name, of a migrated database. Raises CannotOpen when its place is not fit."""
    return open_blobs(
        db,
        place_of_blobs(settings),
        max_content_bytes=settings.max_file_bytes,
        max_streams=settings.stream_slots,
        grace_seconds=settings.grace_seconds,
    )


def open_settings_packs(settings: Settings, *, registry_id: bytes, expected: bool) -> LocalPacks | S3Packs:
    """The place of packs that the settings name, of this installation; `expected` says that there are some.

    Raises CannotOpen when it is not fit, or another installation's.
    """
    return open_packs(place_of_blobs(settings), registry_id=registry_id, expected=expected)


def settings_collector(settings: Settings, db: Database, blobs: Blobs) -> Collector:
    """What collects in that store."""
    return Collector(db, blobs.packs, grace_seconds=settings.grace_seconds)


def assembled(settings: Settings, db: Database, *, shares_port: bool = False) -> Server:
    """A server on a migrated database. Raises CannotOpen when the folder of the files is not fit."""
    set_default_quota(db, settings.default_quota)
    blobs = open_settings_blobs(settings, db)
    store = Store(db=db, blobs=blobs, page_tokens=open_page_tokens(db), sought=Sought(db.clock))
    collector = settings_collector(settings, db, blobs)
    services = {
        organizations_pb2.DESCRIPTOR.services_by_name["OrganizationService"]: OrganizationServicer(store),
        tokens_pb2.DESCRIPTOR.services_by_name["TokenService"]: TokenServicer(store),
        release_service_pb2.DESCRIPTOR.services_by_name["ReleaseService"]: ReleaseServicer(store),
        deploy_service_pb2.DESCRIPTOR.services_by_name["DeployService"]: DeployServicer(store),
        uploads_pb2.DESCRIPTOR.services_by_name["UploadService"]: UploadServicer(store),
        release_health_service_pb2.DESCRIPTOR.services_by_name["ReleaseHealthService"]: HealthServicer(
            store, limits=settings.session_limits
        ),
        admin_pb2.DESCRIPTOR.services_by_name["AdminService"]: AdminServicer(store, collector),
    }
    try:
        return Server(settings, store, services, collector=collector, shares_port=shares_port)
    except BaseException:
        blobs.close()
        raise


def place_of_blobs(settings: Settings) -> Path | Bucket:
    """Where the settings keep the bytes of files."""
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
