"""Restoring a backup to an empty database and an empty place for packs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from store.backup import postgres_part, sqlite_part
from store.backup.errors import BackupRefused
from store.backup.manifest import Manifest, pack_file, read_manifest, read_pack_list, sha256_of, write_synced
from store.backup.needed import forget_unused
from store.backup.pack_copies import PackPlace, copy_back
from store.blobs.local_sink import sync_folder
from store.database import Database, migrations, open_database
from store.database.postgres import PostgresDatabase
from store.database.sqlite_copy import sync_file

Tell = Callable[[str], object]

UNFINISHED: Final = "restore.unfinished"
"""This file lies in the data folder while something is restored into it: no server starts there."""

_LOGS: Final = ("-wal", "-shm", "-journal")
_NOT_OURS: Final = "The database is not empty: a backup is restored to an empty one."


class ClosingPlace(PackPlace, Protocol):
    """A place that packs are put back into, and that is closed then."""

    def close(self) -> None:
        """Gives back what it holds."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: a backup, and how many of its packs had to be copied."""

    manifest: Manifest
    copied_count: int


def check_backup(folder: Path) -> Manifest:
    """What the backup is, if this program can restore it and it is whole: its database is what was written, and every
    pack has its size. (That each pack's bytes are right is what `release-server check` reads afterwards.)

    Raises BackupRefused.
    """
    manifest = read_manifest(folder)
    if unknown := migrations.unknown(manifest.migrations, migrations.FOLDER):
        raise BackupRefused(
            f"{folder} was made by a newer version, {manifest.program} ({unknown[-1]} is not known here): restore it "
            "with that one."
        )
    file = folder / manifest.database.file
    if not file.is_file() or sha256_of(file) != manifest.database.sha256:
        raise BackupRefused(f"{file} is not what the manifest says: the backup is damaged.")
    for pack in read_pack_list(folder, manifest):
        path = pack_file(folder, pack.id)
        if not path.is_file() or path.stat().st_size != pack.size_bytes:
            raise BackupRefused(f"{path} is missing or has not {pack.size_bytes:,} bytes: the backup is damaged.")
    return manifest


def refuse_unfinished(data: Path) -> None:
    """Raises BackupRefused where a restore into this data folder did not end."""
    if (data / UNFINISHED).exists():
        raise BackupRefused(
            f"A restore into {data} did not end: run it again, or remove what it left, {data / UNFINISHED} last."
        )


def restore_backup(
    folder: Path,
    *,
    data: Path,
    database_url: str,
    open_postgres: Callable[[], Database],
    open_packs: Callable[[bytes], ClosingPlace],
    in_bucket: bool,
    tell: Tell,
) -> Restored:
    """Restore the backup to the database and the place of packs, which are empty, or the place is this registry's.

    Killed anywhere, the same call goes on; no server starts on the data folder until it has ended. Raises
    BackupRefused, CannotOpen, StorageFull, ReadOnly, BlobsDown, DatabaseDown, OSError.
    """
    manifest = check_backup(folder)
    if in_bucket and manifest.blobs != "bucket":
        raise BackupRefused("Packs of a folder do not do for a bucket: restore them to a folder.")
    target = _DatabaseTarget(database_url, open_postgres, manifest)
    target.check_empty(continued=_continues(data, manifest))
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Before the mark: a place that is another registry's is refused, and the server there must start again as ever.
    packs = open_packs(bytes.fromhex(manifest.registry_id))
    try:
        write_synced(data / UNFINISHED, (manifest.database.sha256 + "\n").encode())
        sync_folder(data)
        copied = copy_back(packs, read_pack_list(folder, manifest), folder, tell=tell)
    finally:
        packs.close()
    tell(f"packs are there, {copied:,} of {manifest.pack_count:,} copied; now the database")
    target.fill(folder / manifest.database.file, tell)
    (data / UNFINISHED).unlink()
    sync_folder(data)
    return Restored(manifest, copied)


def _continues(data: Path, manifest: Manifest) -> bool:
    """Whether an earlier restore of this backup into this folder did not end."""
    try:
        return (data / UNFINISHED).read_text().strip() == manifest.database.sha256
    except FileNotFoundError:
        return False


class _DatabaseTarget:
    """The empty database that is to be filled."""

    def __init__(self, url: str, open_postgres: Callable[[], Database], manifest: Manifest) -> None:
        self._url, self._open_postgres, self._manifest = url, open_postgres, manifest
        self._path = Path(url.removeprefix("sqlite://")) if url.startswith("sqlite:") else None
        self._is_filled = False
        is_sqlite = manifest.database.kind == sqlite_part.KIND
        if is_sqlite != (self._path is not None):
            made, named = ("SQLite", "PostgreSQL") if is_sqlite else ("PostgreSQL", "SQLite")
            raise BackupRefused(f"The backup is of {made}, the settings name {named}: restore it to {made}.")

    def check_empty(self, *, continued: bool) -> None:
        """Raises BackupRefused when it is not; what an earlier restore of this backup left is fine if `continued`."""
        if self._path is not None:
            self._is_filled = continued and self._path.exists()
            # A log beside it would be taken for the restored database's own, and be written into it.
            for path in (self._path, *(self._path.with_name(self._path.name + each) for each in _LOGS)):
                if path.exists() and not (self._is_filled and path == self._path):
                    raise BackupRefused(f"{path} is there already: a backup is restored to an empty place.")
            return
        with closing(self._opened()) as database:
            if not postgres_part.is_empty(database):
                if not continued or postgres_part.registry_id(database).hex() != self._manifest.registry_id:
                    raise BackupRefused(_NOT_OURS)
                self._is_filled = True

    def fill(self, file: Path, tell: Tell) -> None:
        """Bring the database back, at the schema of this program, without the rows whose bytes no backup holds."""
        if self._path is not None:
            if not self._is_filled:  # it gets its name when it is whole
                self._fill_file(self._path, file)
            return
        with closing(self._opened()) as database:
            if not self._is_filled:
                kind, applied = self._manifest.database.kind, self._manifest.migrations
                postgres_part.read_part(database, self._url, file, kind=kind, applied=applied, tell=tell)
            database.migrate()
            forget_unused(database)

    def _fill_file(self, path: Path, file: Path) -> None:
        draft = path.with_name(path.name + ".restoring")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove(draft)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        shutil.copyfile(file, draft)
        with closing(open_database(f"sqlite://{draft}")) as database:
            database.migrate()
            forget_unused(database)
        sync_file(draft)  # what its log held went into it when it was closed
        draft.rename(path)
        sync_folder(path.parent)
        self._remove(draft)

    @staticmethod
    def _remove(draft: Path) -> None:
        for suffix in ("", *_LOGS, ".lock"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)

    def _opened(self) -> PostgresDatabase:
        database = self._open_postgres()
        assert isinstance(database, PostgresDatabase)
        return database
