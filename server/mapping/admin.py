"""The operator's RPCs: what the store answers to messages."""

from __future__ import annotations

from releaseregistry.v1 import admin_pb2 as pb

from server.mapping.times import to_timestamp
from store.backup.sending import CopiedDatabase
from store.blobs.check import Checked
from store.blobs.collector import Collected
from store.errors import InvalidField
from store.health.adoption import AdoptionRun


def collected_message(found: Collected) -> pb.CollectGarbageResponse:
    """What CollectGarbage answers."""
    return pb.CollectGarbageResponse(
        removed_content_count=found.contents,
        removed_chunk_count=found.chunks,
        removed_pack_count=found.packs,
        rewritten_pack_count=found.rewritten_packs,
        freed_bytes=found.freed_bytes,
    )


def adoption_message(run: AdoptionRun) -> pb.RunAdoptionResponse:
    """What RunAdoption answers."""
    return pb.RunAdoptionResponse(
        project_count=run.projects,
        adopted_count=run.adopted,
        replaced_count=run.replaced,
        created_release_count=run.created,
    )


def copy_message(copy: CopiedDatabase) -> pb.DownloadDatabaseResponse:
    """The first message of DownloadDatabase."""
    told = pb.DatabaseCopy(copy_time=to_timestamp(copy.copy_time), size_bytes=copy.size_bytes, sha256=copy.sha256.hex())
    return pb.DownloadDatabaseResponse(copy=told)


def checked_percent(request: pb.CheckStorageRequest) -> int:
    """The share of the chunks to read. Raises InvalidField."""
    if request.percent > 100:
        raise InvalidField("percent", "must be from 1 to 100, or 0 for 100")
    return request.percent or 100


def checked_message(checked: Checked) -> pb.CheckStorageResponse:
    """What CheckStorage answers."""
    return pb.CheckStorageResponse(
        checked_chunk_count=checked.chunks,
        checked_bytes=checked.bytes,
        damaged_chunk_count=checked.damaged,
        unknown_pack_count=checked.unknown_packs,
        findings=checked.findings,
        finding_count=checked.finding_count,
        repaired_count=checked.repaired,
    )
