"""What the operations on uploads hand to one another and to the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from store.access.projects import QualifiedSlug
from store.files.rows import FileKind, FileRow, UploadDraft

KEPT_US: Final = 24 * 3600 * 1_000_000
"""How long an upload is kept after its last byte, or its end, in microseconds."""

FINISH_WAIT_SECONDS: Final = 60.0
"""How long a finished upload waits for its turn to write, at most: its end would have to be sent again."""


def finish_wait(seconds: float | None) -> float:
    """How long a finished upload waits whose caller can wait for so long; None: as long as allowed."""
    return FINISH_WAIT_SECONDS if seconds is None else min(seconds, FINISH_WAIT_SECONDS)


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """The row of an upload. Times are in microseconds UTC."""

    organization_id: bytes
    id: bytes
    header_sha256: bytes
    header: dict[str, Any]
    release_id: bytes
    state: str
    fence: int
    committed_bytes: int
    file_id: bytes | None
    created: bool
    create_time: int
    expire_time: int


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload as its callers see it, and the slug of its organization; file is set when it is finished.

    state is OPEN, FINISHED or CANCELLED of the models. standing is told when it is registered: the file that stands
    under its key meanwhile.
    """

    organization: str
    id: bytes
    state: str
    committed_bytes: int
    file: FileRow | None
    create_time: int
    expire_time: int
    standing: FileRow | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """The right of one stream to go on with an upload: it ends when a later stream takes it (another fence).

    `begins` is whether no stream of the upload was there before.
    """

    organization: str
    organization_id: bytes
    upload_id: bytes
    fence: int
    committed_bytes: int
    begins: bool = False


def header_of(draft: UploadDraft) -> dict[str, Any]:
    """What the row of an upload keeps of its draft; `draft_of` makes it a draft again."""
    return {
        "version": draft.version,
        "file_name": draft.file_name,
        "project": draft.project,
        "dist": draft.dist,
        "headers": dict(draft.headers),
        "kind": int(draft.kind),
        "replace": draft.replace,
        "size_bytes": draft.size_bytes,
        "sha256": None if draft.sha256 is None else draft.sha256.hex(),
    }


def draft_of(organization: str, upload_id: bytes, header: dict[str, Any]) -> UploadDraft:
    """The draft that an upload of this organization (its slug) began with."""
    sha256, project = header["sha256"], header["project"]
    return UploadDraft(
        upload_id=upload_id,
        organization=organization,
        version=header["version"],
        file_name=header["file_name"],
        project=QualifiedSlug(*project) if isinstance(project, list) else project,
        dist=header["dist"],
        headers=header["headers"],
        kind=FileKind(header["kind"]),
        replace=header["replace"],
        size_bytes=header["size_bytes"],
        sha256=None if sha256 is None else bytes.fromhex(sha256),
    )
