"""`release-server backup` and `restore`: the database and the bytes of files, to a folder and back."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import grpc
from releaseregistry.v1 import admin_pb2 as pb
from releaseregistry.v1 import admin_pb2_grpc

from server.app import open_settings_database, open_settings_packs
from server.commands.asking import channel_to, credentials, is_in_use
from server.settings import Settings, own_flags, parse_flags, settings_from
from server.telemetry.audit import audited_command
from server.telemetry.logs import start_logging
from server.words import counted
from store.backup.errors import BackupRefused
from store.backup.restoring import restore_backup
from store.backup.taking import Taken, WriteDatabase, database_writer, file_writer, take_backup
from store.database import CannotOpen

INCOMPLETE: Final = 1
"""The exit code of a backup that lacks packs, because they were not there."""


def backup(flags: Sequence[str]) -> tuple[list[str], int]:
    """Take a backup into a folder that does not exist yet: what was done, and the exit code, 0 when nothing is missing.

    Raises SettingWrong, CannotOpen, errors of the registry, OSError.
    """
    own = own_flags()
    own.add_argument("folder", metavar="FOLDER", type=_folder, help="Where the backup is to be; not there yet.")
    own.add_argument(
        "--previous", metavar="FOLDER", type=_folder, help="An earlier backup: packs that it holds are linked."
    )
    named = parse_flags(flags, program="release-server backup", own=own)
    settings = settings_from(named)
    start_logging("error")
    with audited_command(settings.audit, "backup") as told:
        told["folder"] = str(named.folder)
        taken = _backed_up(settings, named)
        told["pack_count"] = taken.manifest.pack_count
    return _summary(settings, named.folder, taken)


def restore(flags: Sequence[str]) -> tuple[list[str], int]:
    """Restore a backup to an empty database and an empty place for files: what was done, and exit code 0.

    Raises SettingWrong, CannotOpen, errors of the registry, OSError.
    """
    own = own_flags()
    own.add_argument("folder", metavar="FOLDER", type=_folder, help="The backup.")
    named = parse_flags(flags, program="release-server restore", own=own)
    settings = settings_from(named)
    start_logging("error")
    with audited_command(settings.audit, "restore") as told:
        told["folder"] = str(named.folder)
        restored = restore_backup(
            named.folder,
            data=settings.data,
            database_url=settings.database,
            open_postgres=lambda: open_settings_database(settings),
            open_packs=lambda registry_id: open_settings_packs(settings, registry_id=registry_id, expected=False),
            in_bucket=settings.bucket is not None,
            tell=_tell,
        )
        told["pack_count"] = restored.manifest.pack_count
    manifest = restored.manifest
    lines = [
        (
            f"restored what was backed up at {manifest.copy_time}: the database, and "
            f"{counted(manifest.pack_count, 'pack')} of {counted(manifest.pack_bytes, 'byte')}"
        ),
        "next: `release-server check`, then start the server; tokens are those of the backup",
    ]
    if manifest.missing_packs:
        missing = counted(len(manifest.missing_packs), "missing pack")
        lines.insert(1, f"it was taken with {missing}: check names the files that need them")
    return lines, 0


def _backed_up(settings: Settings, named: argparse.Namespace) -> Taken:
    """Takes it from the database itself, or, where a server has that to itself, asks for a copy."""
    try:
        database = open_settings_database(settings)
    except CannotOpen as error:
        if not is_in_use(settings, error):
            raise
        return _taken(settings, named, file_writer(lambda file: _download(settings, file)))
    try:
        return _taken(settings, named, database_writer(database, settings.database, _tell))
    finally:
        database.close()


def _taken(settings: Settings, named: argparse.Namespace, write_database: WriteDatabase) -> Taken:
    return take_backup(
        named.folder,
        write_database=write_database,
        open_packs=lambda registry_id, expected: open_settings_packs(
            settings, registry_id=registry_id, expected=expected
        ),
        in_bucket=settings.bucket is not None,
        previous=named.previous,
        program=importlib.metadata.version("release-registry"),
        tell=_tell,
    )


def _summary(settings: Settings, folder: Path, taken: Taken) -> tuple[list[str], int]:
    manifest = taken.manifest
    done = (
        f"{folder}: the database as of {manifest.copy_time}, {manifest.database.size_bytes:,} bytes; "
        f"{counted(manifest.pack_count, 'pack')} of {counted(manifest.pack_bytes, 'byte')}, "
        f"{taken.linked_count:,} linked from the previous backup; {taken.took_seconds:,.0f} s"
    )
    lines = [done]
    if taken.took_seconds > settings.grace_seconds / 2:
        lines.append(
            f"this took more than half of the grace time of {settings.grace_seconds:,} s, after which a pack may be "
            "removed: raise RELEASES_GRACE_SECONDS, or use --previous"
        )
    if manifest.missing_packs:
        lines.append(
            f"it lacks {counted(len(manifest.missing_packs), 'pack')} that files need, for the store lacks them: "
            "`release-server check` tells whose; the backup holds all the rest"
        )
    return lines, INCOMPLETE if manifest.missing_packs else 0


def _download(settings: Settings, file: Path) -> None:
    """Writes the database that a running server sends."""
    _tell(f"the server on {settings.listen} has the database to itself, and is asked for a copy")
    digest, size = hashlib.sha256(), 0
    try:
        with channel_to(settings) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            answers = stub.DownloadDatabase(pb.DownloadDatabaseRequest(), metadata=credentials(settings))
            copy = next(answers).copy
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                for answer in answers:
                    stream.write(answer.data)
                    digest.update(answer.data)
                    size += len(answer.data)
    except grpc.RpcError as error:
        raise CannotOpen(
            f"The server on {settings.listen}, which has the database to itself, answered: {error.details()}"
        ) from None
    if (size, digest.hexdigest()) != (copy.size_bytes, copy.sha256):
        raise BackupRefused("The copy of the database did not arrive as it was sent: try again.")


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must be a folder")
    return Path(text).expanduser().absolute()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
