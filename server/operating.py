"""`release-server check`, `collect` and `adoption`: what the operator does with the store beside serving it.

They work on the database and the blob store themselves. An SQLite database belongs to one process: where a server has
it, that server is asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn, TypeVar

import grpc
from releaseregistry.v1 import admin_pb2 as pb
from releaseregistry.v1 import admin_pb2_grpc

from server.app import open_settings_blobs, open_settings_database, settings_collector
from server.logs import start_logging
from server.mapping.admin import adoption_message, checked_message, collected_message
from server.settings import Settings, SettingWrong, read_settings
from store.blobs.check import check_storage
from store.blobs.collector import Collector
from store.database import CannotOpen, Database
from store.health.adoption import run_adoption

T = TypeVar("T")

FOUND: Final = 1
"""The exit code of a check that found something."""

Direct = Callable[[Database], T]
Asked = Callable[[admin_pb2_grpc.AdminServiceStub], T]


def check(flags: Sequence[str]) -> tuple[list[str], int]:
    """Check the store: what was found, a line each, and the exit code, 0 when it is sound now and 1 when it is not.

    Raises SettingWrong, CannotOpen, errors of the registry.
    """
    own = _Flags(add_help=False, allow_abbrev=False)
    own.add_argument("--percent", type=_percent, default=100)
    own.add_argument("--repair", action="store_true")
    named, rest = own.parse_known_args(flags)
    settings = read_settings(rest, program="release-server check [--percent 1..100] [--repair]")
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
        lambda admin: admin.CheckStorage(request, metadata=_credentials(settings)),
    )
    lines = list(answer.findings)
    if answer.finding_count > len(lines):
        lines.append(f"and {answer.finding_count - len(lines):,} more")
    lines.append(
        f"{answer.checked_chunk_count:,} chunks of {answer.checked_bytes:,} bytes verified, "
        f"{answer.damaged_chunk_count:,} damaged, {answer.unknown_pack_count:,} unknown packs; "
        f"{answer.finding_count:,} findings, {answer.repaired_count:,} mended"
    )
    return lines, FOUND if answer.finding_count > answer.repaired_count else 0


def collect(flags: Sequence[str]) -> tuple[list[str], int]:
    """Remove what nothing refers to, or count it with --dry-run: a line that tells how much, and exit code 0.

    Raises SettingWrong, CannotOpen, errors of the registry.
    """
    own = _Flags(add_help=False, allow_abbrev=False)
    own.add_argument("--dry-run", action="store_true")
    named, rest = own.parse_known_args(flags)
    settings = read_settings(rest, program="release-server collect [--dry-run]")
    request = pb.CollectGarbageRequest(validate_only=named.dry_run)
    answer: pb.CollectGarbageResponse = _carried_out(
        settings,
        _collecting(
            settings,
            lambda collector: collected_message(
                collector.preview() if request.validate_only else collector.collect(confirmed=True)
            ),
        ),
        lambda admin: admin.CollectGarbage(request, metadata=_credentials(settings)),
    )
    line = (
        f"{'would remove' if named.dry_run else 'removed'} {answer.removed_content_count:,} contents, "
        f"{answer.removed_chunk_count:,} chunks and {answer.removed_pack_count:,} packs, "
        f"{answer.freed_bytes:,} bytes; {answer.rewritten_pack_count:,} packs "
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
        lambda admin: admin.RunAdoption(pb.RunAdoptionRequest(), metadata=_credentials(settings)),
    )
    line = (
        f"{answer.adopted_count:,} adopted, {answer.replaced_count:,} replaced; projects with sessions in the last six "
        f"hours: {answer.project_count:,}; releases created: {answer.created_release_count:,}"
    )
    return [line], 0


class _Flags(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingWrong(f"{message}.")


def _percent(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 100")
    return int(text)


def _carried_out(settings: Settings, direct: Direct[T], asked: Asked[T]) -> T:
    start_logging("error")
    try:
        db = open_settings_database(settings)
    except CannotOpen as error:
        if not (settings.uses_sqlite and "in use by another" in str(error)):
            raise
        return _of_the_server(settings, asked)
    try:
        if db.pending_migrations():
            raise CannotOpen("The database is not migrated to this version yet: start the server once.")
        return direct(db)
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
        with _channel(settings) as channel:
            return asked(admin_pb2_grpc.AdminServiceStub(channel))
    except grpc.RpcError as error:
        raise CannotOpen(
            f"The server on {settings.listen}, which has the database to itself, answered: {error.details()}"
        ) from None


@contextmanager
def _channel(settings: Settings) -> Iterator[grpc.Channel]:
    if settings.tls_certificate is None:
        with grpc.insecure_channel(settings.listen) as channel:
            yield channel
        return
    # The server's own certificate is all that it can present, whoever signed it.
    credentials = grpc.ssl_channel_credentials(settings.tls_certificate.read_bytes())
    with grpc.secure_channel(settings.listen, credentials) as channel:
        yield channel


def _credentials(settings: Settings) -> tuple[tuple[str, str], ...]:
    secret = settings.bootstrap_token
    if secret is None:
        try:
            secret = settings.operator_token_file.read_text().strip()
        except FileNotFoundError:
            raise CannotOpen(
                "A server has the database to itself, and there is no operator's token to ask it with: set "
                "RELEASES_BOOTSTRAP_TOKEN."
            ) from None
    return (("authorization", f"Bearer {secret}"),)
