"""How a check names what it found, so that a person knows what is hit."""

from __future__ import annotations

from typing import Any, Final

from store.blobs.models import ContentChunk
from store.database import Database, Query, hole
from store.files.models import ReleaseFile
from store.organizations.models import Organization
from store.releases.models import Release

MOST_FILES: Final = 3
"""So many files are named that have a chunk."""

_SLUG: Final = Query(Organization.select(Organization.slug).where(Organization.id == hole(Organization.id)))
_FILES: Final[Query[tuple[Any, ...]]] = Query(
    ReleaseFile.select(Release.version, ReleaseFile.file_name)
    .join(Release, on=(Release.id == ReleaseFile.release_id))
    .where(
        ReleaseFile.content_id.in_(
            ContentChunk.select(ContentChunk.content_id).where(
                ContentChunk.organization_id == hole(ContentChunk.organization_id),
                ContentChunk.chunk_sha256 == hole(ContentChunk.chunk_sha256),
            )
        ),
        Release.delete_time.is_null(),
    )
    .order_by(Release.version, ReleaseFile.file_name)
    .limit(MOST_FILES + 1)
)


def organization_words(database: Database, organization_id: bytes) -> str:
    """The organization by its slug, or by its id where that is all there is."""
    found = database.row(_SLUG, id=organization_id)
    return f"organization {organization_id.hex() if found is None else found[0]}"


def chunk_words(database: Database, organization_id: bytes, sha256: bytes) -> str:
    """The chunk and its organization."""
    return f"chunk {sha256.hex()} of {organization_words(database, organization_id)}"


def files_words(database: Database, organization_id: bytes, sha256: bytes) -> str:
    """Some of the files that have the chunk, as the rest of a sentence; nothing when none has."""
    rows = database.rows(_FILES, organization_id=organization_id, chunk_sha256=sha256)
    if not rows:
        return ""
    named = ", ".join(f"{file_name!r} of release {version!r}" for version, file_name in rows[:MOST_FILES])
    return f"; in {named}{' and others' if len(rows) > MOST_FILES else ''}"
