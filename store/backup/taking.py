"""Taking a backup: the database at one moment, then the packs that it needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from store.backup import manifest as manifests
from store.backup import postgres_part, sqlite_part
from store.backup.errors import BackupRefused
from store.backup.folders import whole_folder
from store.backup.manifest import FORMAT, DatabasePart, Manifest, read_manifest, read_pack_list
from store.backup.needed import Snapshot
from store.backup.pack_copies import copy_out
from store.blobs.packs import PackStore
from store.database import Database, migrations
from store.database.postgres import PostgresDatabase
from store.database.sqlite_copy import sync_file

Tell = Callable[[str], object]
WriteDatabase = Callable[[Path], tuple[str, Snapshot]]
"""Writes the database to a file in a folder: its kind, and what it says."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was taken. `took_seconds` is from the moment of the database to the last pack."""

    manifest: Manifest
    linked_count: int
    took_seconds: float


def database_writer(database: Database, url: str, tell: Tell) -> WriteDatabase:
    """Copies a database that this process has open. What it calls raises BackupRefused where it is not migrated."""

    def write(folder: Path) -> tuple[str, Snapshot]:
        if database.pending_migrations():
            raise BackupRefused("The database is not migrated to this version yet: start the server once.")
        if isinstance(database, PostgresDatabase):
            return postgres_part.write_part(database, url, folder, tell)
        database.copy_file(folder / sqlite_part.FILE)
        return sqlite_part.KIND, sqlite_part.read_snapshot(folder / sqlite_part.FILE)

    return write


def file_writer(write: Callable[[Path], object]) -> WriteDatabase:
    """Takes an SQLite database that a server sends: `write` writes it to a file."""

    def wrote(folder: Path) -> tuple[str, Snapshot]:
        write(folder / sqlite_part.FILE)
        snapshot = sqlite_part.read_snapshot(folder / sqlite_part.FILE)
        if unknown := migrations.unknown(snapshot.migrations, migrations.FOLDER):
            raise BackupRefused(f"The server is newer than this program ({unknown[-1]} is not known here).")
        return sqlite_part.KIND, snapshot

    return wrote


def take_backup(
    target: Path,
    *,
    write_database: WriteDatabase,
    open_packs: Callable[[bytes, bool], PackStore],
    in_bucket: bool,
    previous: Path | None,
    program: str,
    tell: Tell,
) -> Taken:
    """Take a backup into the folder `target`, which is there when this returns, and otherwise is not.

    `open_packs` opens the place of the packs, of this registry id and whether some are expected there. Packs that
    `previous`, an earlier backup, holds are linked from there. Packs that are not there are told by the manifest.
    Raises BackupRefused, BlobsDown, DatabaseDown, OSError.
    """
    earlier = _earlier(previous)
    with whole_folder(target) as folder:
        started, now = time.monotonic(), datetime.now(UTC)
        kind, snapshot = write_database(folder)
        file = next(path for path in folder.iterdir() if path.name.startswith("database."))
        sync_file(file)
        part = DatabasePart(kind, file.name, file.stat().st_size, manifests.sha256_of(file))
        tell(f"the database is copied, {part.size_bytes:,} bytes; packs that it needs: {len(snapshot.packs):,}")
        packs = open_packs(snapshot.registry_id, bool(snapshot.packs))
        try:
            copied = copy_out(packs, snapshot.packs, folder, whole=in_bucket, previous=earlier, tell=tell)
        finally:
            packs.close()
        took = time.monotonic() - started
        manifest = Manifest(
            format=FORMAT,
            program=program,
            copy_time=now.isoformat(timespec="seconds"),
            migrations=snapshot.migrations,
            registry_id=snapshot.registry_id.hex(),
            database=part,
            blobs="bucket" if in_bucket else "folder",
            pack_count=len(copied.packs),
            pack_bytes=sum(pack.size_bytes for pack in copied.packs),
            pack_list_sha256=manifests.write_pack_list(folder, copied.packs),
            missing_packs=tuple(pack_id.hex() for pack_id in copied.missing),
        )
        manifest.write(folder)
    return Taken(manifest, copied.linked_count, took)


def _earlier(previous: Path | None) -> tuple[Path, tuple[manifests.KeptPack, ...]] | None:
    if previous is None:
        return None
    return previous, read_pack_list(previous, read_manifest(previous))
