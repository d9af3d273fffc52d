"""`release-server check`, `collect` and `adoption`: what the operator does with the store beside serving it.

They work on the database and the blob store themselves. An SQLite database belongs to one process: where a server has
it, that server is asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message
from releaseregistry.v1 import admin_pb2 as pb
from releaseregistry.v1 import admin_pb2_grpc

from server.app import open_settings_blobs, open_settings_database, settings_collector
from server.commands.asking import channel_to, credentials, is_in_use
from server.mapping.admin import adoption_message, checked_message, collected_message
from server.settings import Settings, own_flags, parse_flags, read_settings, settings_from
from server.telemetry.audit import audited_command
from server.telemetry.logs import start_logging
from server.telemetry.named import counts_of
from server.words import counted
from store.blobs.check import check_storage
from store.blobs.collector import Collector
from store.database import CannotOpen, Database
from store.health.adoption import run_adoption

T = TypeVar("T", bound=Message)

FOUND: Final = 1
"""The exit code of a check that found something."""

Direct = Callable[[Database], T]
Asked = Callable[[admin_pb2_grpc.AdminServiceStub], T]


def check(flags: Sequence[str]) -> tuple[list[str], int]:
    """Check the store: what was found, a line each, and the exit code, 0 when it is sound now and 1 when it is not.

    Raises SettingWrong, CannotOpen, errors of the registry.
    """
    own = own_flags()
    own.add_argument(
        "--percent", metavar="PERCENT", type=_percent, default=100, help="How many of the chunks to read. [1..100; 100]"
    )
    own.add_argument("--repair", action="store_true", help="Mend what can be mended, and forget what cannot.")
    named = parse_flags(flags, program="release-server check", own=own)
    settings = settings_from(named)
    request = pb.CheckStorageRequest(percent=named.percent, repair=named.repair)
    answer: pb.CheckStorageResponse = _carried_out(
        settings,
        _collecting(
            settings,
            lambda collector: checked_message(
                check_storage(
                    collector.database,
                    collector.packs,
                    cutoff=collector.cutoff(),
                    percent=request.percent,
                    repair=request.repair,
                )
            ),
        ),
        lambda admin: admin.CheckStorage(request, metadata=credentials(settings)),
        changes="check --repair" if named.repair else "",
    )
    lines = list(answer.findings)
    if answer.finding_count > len(lines):
        lines.append(f"and {answer.finding_count - len(lines):,} more")
    lines.append(
        f"{counted(answer.checked_chunk_count, 'chunk')} of {counted(answer.checked_bytes, 'byte')} verified, "
        f"{answer.damaged_chunk_count:,} damaged, {counted(answer.unknown_pack_count, 'unknown pack')}; "
        f"{counted(answer.finding_count, 'finding')}, {answer.repaired_count:,} mended"
    )
    return lines, FOUND if answer.finding_count > answer.repaired_count else 0


def collect(flags: Sequence[str]) -> tuple[list[str], int]:
    """Remove what nothing refers to, or count it with --dry-run: a line that tells how much, and exit code 0.

    Raises SettingWrong, CannotOpen, errors of the registry.
    """
    own = own_flags()
    own.add_argument("--dry-run", action="store_true", help="Count what would be removed, remove nothing.")
    named = parse_flags(flags, program="release-server collect", own=own)
    settings = settings_from(named)
    request = pb.CollectGarbageRequest(validate_only=named.dry_run)
    answer: pb.CollectGarbageResponse = _carried_out(
        settings,
        _collecting(
            settings,
            lambda collector: collected_message(
                collector.preview() if request.validate_only else collector.collect(confirmed=True)
            ),
        ),
        lambda admin: admin.CollectGarbage(request, metadata=credentials(settings)),
        changes="" if named.dry_run else "collect",
    )
    line = (
        f"{'would remove' if named.dry_run else 'removed'} {counted(answer.removed_content_count, 'content')}, "
        f"{counted(answer.removed_chunk_count, 'chunk')} and {counted(answer.removed_pack_count, 'pack')}, "
        f"{counted(answer.freed_bytes, 'byte')}; {counted(answer.rewritten_pack_count, 'pack')} "
        f"{'would be ' if named.dry_run else ''}written anew"
    )
    return [line], 0


def adoption(flags: Sequence[str]) -> tuple[list[str], int]:
    """Find out which releases are adopted or replaced: a line that tells how many, and exit code 0.

    Raises SettingWrong, CannotOpen, errors of the registry.
    """
    settings = read_settings(flags, program="release-server adoption")
    answer: pb.RunAdoptionResponse = _carried_out(
        settings,
        lambda db: adoption_message(run_adoption(db)),
        lambda admin: admin.RunAdoption(pb.RunAdoptionRequest(), metadata=credentials(settings)),
        changes="adoption",
    )
    line = (
        f"{answer.adopted_count:,} adopted, {answer.replaced_count:,} replaced; projects with sessions in the last six "
        f"hours: {answer.project_count:,}; releases created: {answer.created_release_count:,}"
    )
    return [line], 0


def _percent(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 100")
    return int(text)


def _carried_out(settings: Settings, direct: Direct[T], asked: Asked[T], *, changes: str) -> T:
    """What comes of the command; what `changes` something is in the audit trail, the server's own if that is asked."""
    start_logging("error")
    try:
        db = open_settings_database(settings)
    except CannotOpen as error:
        if not is_in_use(settings, error):
            raise
        return _of_the_server(settings, asked)
    try:
        if db.pending_migrations():
            raise CannotOpen("The database is not migrated to this version yet: start the server once.")
        with audited_command(settings.audit if changes else None, changes) as told:
            answer = direct(db)
            told.update(counts_of(answer))
        return answer
    finally:
        db.close()


def _collecting(settings: Settings, work: Callable[[Collector], T]) -> Direct[T]:
    """What is done with the collector of a database."""

    def direct(db: Database) -> T:
        blobs = open_settings_blobs(settings, db)
        try:
            return work(settings_collector(settings, db, blobs))
        finally:
            blobs.close()

    return direct


def _of_the_server(settings: Settings, asked: Asked[T]) -> T:
    try:
        with channel_to(settings) as channel:
            return asked(admin_pb2_grpc.AdminServiceStub(channel))
    except grpc.RpcError as error:
        raise CannotOpen(
            f"The server on {settings.listen}, which has the database to itself, answered: {error.details()}"
        ) from None
