"""Creating a file of content that the organization has uploaded before (behaviour.md, Files)."""

from __future__ import annotations

from store.access import Access
from store.blobs.claims import claim_content
from store.crashpoints import crashpoint
from store.database import PLAIN, Database, Terms, Transaction
from store.database.terms import M
from store.errors import ContentUnknown
from store.files.place import file_project, place_file
from store.files.rows import FileDraft, UploadedFile
from store.releases.lookup import writable_release


def create_file(
    database: Database, access: Access, draft: FileDraft, sha256: bytes, terms: Terms[UploadedFile, M] = PLAIN
) -> M:
    """A file of the organization's own content with this SHA-256: no byte travels.

    Raises InvalidField, OrganizationNotFound, ReleaseNotFound (also when one of its projects is not the caller's),
    ProjectNotInRelease, FileExists, and ContentUnknown alike for content that nobody has, that only others have, and
    that was lost.
    """
    draft.check(within="file")
    answer = database.write(lambda tx: _create(tx, access, draft, sha256), terms)
    crashpoint("file.claimed")
    return answer


def _create(tx: Transaction, access: Access, draft: FileDraft, sha256: bytes) -> UploadedFile:
    release = writable_release(tx, access, draft.organization, draft.version)
    project_id = file_project(tx, release, draft.project)
    content = claim_content(tx, release.organization_id, sha256)
    if content is None:
        raise ContentUnknown(sha256.hex())
    file, created = place_file(tx, access, release, draft, project_id=project_id, content=content)
    crashpoint("file.claimed_in_rows")
    return UploadedFile(file, created)
