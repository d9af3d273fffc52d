"""Finding files of a release, within what the caller may see (behaviour.md, Files)."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from store.access import Access
from store.access.projects import accessible_projects
from store.blobs.blobs import Blobs
from store.blobs.source import ContentMissing
from store.database import Database, Query, Reader, hole, query_shape
from store.errors import ChunkLost, FileNotFound, ReadOutOfRange, ScopeMissing
from store.files.models import NO_PROJECT, ReleaseFile
from store.files.rows import FileKind, FileRow, select_files, visible_projects
from store.metrics import DOWNLOADED_BYTES
from store.organizations.lookup import find_organization
from store.organizations.rows import OrganizationRow
from store.releases.lookup import readable_release
from store.releases.rows import ReleaseRow


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file being read: the file, whole, and the bytes of the range that was asked for; a context manager.

    data yields verified pieces of at most 1 MiB, and raises ChunkLost where bytes are damaged or gone, BlobsDown, and
    FileNotFound when the file was deleted more than a grace time ago; it holds no connection between pieces.
    """

    file: FileRow
    data: Generator[bytes, None, None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.data.close()


def open_file(
    database: Database,
    blobs: Blobs,
    access: Access,
    *,
    organization: str,
    version: str,
    file_id: bytes,
    offset: int = 0,
    limit: int | None = None,
) -> OpenFile:
    """The file, and its bytes from `offset` on, at most `limit` of them.

    Raises OrganizationNotFound, ReleaseNotFound, FileNotFound, ScopeMissing when the organization asks for a scope for
    files of this kind that the caller lacks, ReadOutOfRange when offset is beyond the end.
    """

    def find(reader: Reader) -> FileRow:
        file = find_file(reader, access, organization=organization, version=version, file_id=file_id)
        scope = _download_scope(find_organization(reader, access, organization), file)
        if not access.may(scope):
            raise ScopeMissing(scope)
        return file

    file = database.read(find)
    if offset > file.size_bytes:
        raise ReadOutOfRange(file.size_bytes)
    return OpenFile(file, _data(database, file, blobs.read(file.content, offset=offset, limit=limit)))


def _data(database: Database, file: FileRow, data: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """The same; whose content was collected while it was read, because the file was deleted, was not found."""
    with closing(data):
        try:
            # Without a name for them: nobody keeps a piece here while a slow peer takes it.
            yield from map(_counted, data)
        except ContentMissing:
            if database.row(_STANDS, id=file.id, content_id=file.content_id) is None:
                raise FileNotFound(file.organization, file.version, str(uuid.UUID(bytes=file.id))) from None
            raise ChunkLost(file.sha256.hex()) from None


def _counted(piece: bytes) -> bytes:
    DOWNLOADED_BYTES.inc(len(piece))
    return piece


def get_file(database: Database, access: Access, *, organization: str, version: str, file_id: bytes) -> FileRow:
    """The file. Raises OrganizationNotFound, ReleaseNotFound, FileNotFound."""
    return database.read(
        lambda reader: find_file(reader, access, organization=organization, version=version, file_id=file_id)
    )


def find_file(reader: Reader, access: Access, *, organization: str, version: str, file_id: bytes) -> FileRow:
    """The file, if the caller may read its release and access its project.

    Raises OrganizationNotFound, ReleaseNotFound, FileNotFound.
    """
    release = readable_release(reader, access, organization, version)
    visible = seen_projects(reader, access, release)
    found = file_by_id(reader, release, file_id, visible=visible)
    if found is None:
        raise FileNotFound(release.organization_slug, release.version, str(uuid.UUID(bytes=file_id)))
    return found


def _download_scope(organization: OrganizationRow, file: FileRow) -> str:
    role = {
        FileKind.DEBUG_FILE: organization.debug_files_role,
        FileKind.ATTACHMENT: organization.attachments_role,
    }.get(FileKind(file.kind))
    return role or "release:read"


def file_by_id(
    reader: Reader, release: ReleaseRow, file_id: bytes, *, visible: Sequence[bytes] | None = None
) -> FileRow | None:
    """The release's file with this id; with `visible`, if its project_id is one of these."""
    query = _by_id(None if visible is None else len(visible))
    columns = reader.row(query, id=file_id, release_id=release.id, **visible_params(visible))
    return None if columns is None else file_row(release, *columns)


def file_by_key(reader: Reader, release: ReleaseRow, *, file_name: str, project_id: bytes, dist: str) -> FileRow | None:
    """The release's file of this name, project (or NO_PROJECT) and dist (or NO_DIST)."""
    columns = reader.row(_BY_KEY, release_id=release.id, file_name=file_name, project_id=project_id, dist=dist)
    return None if columns is None else file_row(release, *columns)


def file_row(release: ReleaseRow, *columns: Any) -> FileRow:
    """The file of this release from its columns as `select_files` reads them."""
    return FileRow(*(*columns[:-1], bool(columns[-1]), release.organization_slug, release.version))


def seen_projects(reader: Reader, access: Access, release: ReleaseRow) -> tuple[bytes, ...] | None:
    """The project_ids of files that the caller sees in this release; None when it sees all."""
    allowed = accessible_projects(access, find_organization(reader, access, release.organization_slug))
    if allowed.allows_all(release.project_ids):
        return None
    return (NO_PROJECT, *(project_id for project_id in release.project_ids if allowed.allows(project_id)))


def visible_params(visible: Sequence[bytes] | None) -> dict[str, Any]:
    """What fills the parameters of `visible_projects`."""
    return {f"project_{index}": project_id for index, project_id in enumerate(visible or ())}


@query_shape
def _by_id(visible: int | None) -> Query[tuple[Any, ...]]:
    query = select_files(visible).where(
        ReleaseFile.id == hole(ReleaseFile.id), ReleaseFile.release_id == hole(ReleaseFile.release_id)
    )
    return Query(query if visible is None else query.where(ReleaseFile.project_id.in_(visible_projects(visible))))


_BY_KEY: Final = Query(
    select_files().where(
        ReleaseFile.release_id == hole(ReleaseFile.release_id),
        ReleaseFile.file_name == hole(ReleaseFile.file_name),
        ReleaseFile.project_id == hole(ReleaseFile.project_id),
        ReleaseFile.dist == hole(ReleaseFile.dist),
    )
)
_STANDS: Final = Query(
    ReleaseFile.select(ReleaseFile.id).where(
        ReleaseFile.id == hole(ReleaseFile.id), ReleaseFile.content_id == hole(ReleaseFile.content_id)
    )
)
