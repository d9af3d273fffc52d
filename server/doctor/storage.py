"""The database and the place of files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from server.app import open_settings_database, place_of_blobs
from server.doctor.findings import Finding, ok, problem, warning
from server.settings import Settings
from server.words import counted
from store.access.secrets import known_secret
from store.backup.restoring import UNFINISHED
from store.blobs.blobs import REGISTRY_PURPOSE, registry_id_of
from store.blobs.probing import Probe, probe_bucket, probe_folder
from store.database import CannotOpen, Database
from store.database.looking import WAL_LIMIT_BYTES, look_at_postgres, look_at_sqlite, wal_bytes
from store.errors import RegistryError

CONNECTIONS_A_WORKER: Final = 8
AHEAD_SECONDS: Final = 5.0
"""So much two clocks may differ: tokens and grace times are told by one, logs by the other."""


def look_at_storage(settings: Settings) -> Iterator[Finding]:
    """The database, then the place of files, which must be the same installation's."""
    if (settings.data / UNFINISHED).exists():
        yield problem("restore", f"a restore into {settings.data} did not end: run it again")
    owner = ""
    path = Path(settings.database.removeprefix("sqlite://"))
    if settings.uses_sqlite:
        yield from _look_at_log(path)
    if settings.uses_sqlite and not path.exists():
        yield ok("database", f"{path} will be made at the first start")
    else:
        try:
            database = open_settings_database(settings)
        except CannotOpen as error:
            if settings.uses_sqlite and "in use by another" in str(error):
                yield ok("database", f"a server has {path} to itself, so it is not looked into")
            else:
                yield problem("database", str(error).rstrip("."))
        else:
            try:
                yield from _look_at_database(settings, database)
                secret = (
                    None
                    if database.pending_migrations()
                    else database.read(partial(known_secret, purpose=REGISTRY_PURPOSE))
                )
                owner = "" if secret is None else registry_id_of(secret).hex()
            except RegistryError as error:
                yield problem("database", error.message)
            except CannotOpen as error:
                yield problem("database", str(error).rstrip("."))
            finally:
                database.close()
    yield from _look_at_blobs(settings, owner)


def _look_at_log(path: Path) -> Iterator[Finding]:
    size = wal_bytes(path)
    if size > 2 * WAL_LIMIT_BYTES:
        yield warning(
            "database", f"its write-ahead log has {size:,} bytes: something reads for long, or a server was killed"
        )


def _look_at_database(settings: Settings, database: Database) -> Iterator[Finding]:
    if pending := database.pending_migrations():
        yield warning("database", f"the next start applies {counted(len(pending), 'migration')}: take a backup first")
    if settings.uses_sqlite:
        file = look_at_sqlite(database)
        if file.damage:
            yield problem("database", f"the file is damaged ({file.damage}): restore a backup")
        else:
            yield ok("database", f"SQLite {file.library}, {file.size_bytes:,} bytes, sound")
        return
    yield from _look_at_server(settings, database)


def _look_at_server(settings: Settings, database: Database) -> Iterator[Finding]:
    server = look_at_postgres(database)
    yield ok("database", f"PostgreSQL {server.version}")
    if server.is_read_only:
        yield problem("database", "it takes no writes: it is a replica, or default_transaction_read_only is on")
    if not server.is_durable:
        yield problem("database", "fsync, full_page_writes or synchronous_commit is off: what was answered may be lost")
    if not server.may_make_tables:
        yield problem("database", "this user may not make tables in its schema: GRANT CREATE ON SCHEMA")
    wanted, free = settings.workers * CONNECTIONS_A_WORKER, server.most_connections - server.used_connections
    told = (
        f"this server takes up to {wanted} ({counted(settings.workers, 'worker')} of {CONNECTIONS_A_WORKER}), "
        f"the database gives {server.most_connections}, of which others use {server.used_connections}; "
        "each further server takes its own"
    )
    if free < wanted:
        yield problem("connections", f"{told}: raise max_connections, or lower RELEASES_WORKERS")
    else:
        yield ok("connections", told)
    yield from _look_at_clock(server.ahead_seconds, "the database's")


def _look_at_clock(ahead: float, whose: str) -> Iterator[Finding]:
    if abs(ahead) > AHEAD_SECONDS:
        yield problem("clock", f"{whose} is {ahead:+.0f} s off this machine's: let both be set by NTP")
    else:
        yield ok("clock", f"{whose} agrees with this machine's")


def _look_at_blobs(settings: Settings, owner: str) -> Iterator[Finding]:
    place = place_of_blobs(settings)
    if isinstance(place, Path):
        if not place.exists():
            # Without a database there is nothing yet; with one, a disk is missing.
            if owner:
                yield problem("files", f"{place} is not there: mount it")
            else:
                yield ok("files", f"{place} will be made at the first start")
            return
        probe = probe_folder(place)
    else:
        probe = probe_bucket(place)
    yield _told(probe, str(place), owner)
    if probe.ahead_seconds is not None:
        yield from _look_at_clock(probe.ahead_seconds, "the bucket's")


def _told(probe: Probe, place: str, owner: str) -> Finding:
    if probe.problem:
        return problem("files", probe.problem)
    if owner and probe.owner and probe.owner != owner:
        return problem("files", f"{place} belongs to another registry than the database")
    if owner and not probe.owner:
        return problem("files", f"{place} is nobody's, and the database has one already: it is empty, or not mounted")
    return ok("files", f"{place} takes bytes and gives them back")
