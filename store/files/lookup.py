"""Finding files of a release, within what the caller may see (behaviour.md, Files)."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import peewee

from store.access import Access
from store.access.projects import accessible_projects
from store.blobs.blobs import Blobs
from store.database import CountField, Database, Query, Reader, hole, query_shape
from store.errors import FileNotFound, ReadOutOfRange
from store.files.models import NO_PROJECT, ReleaseFile
from store.files.rows import FileRow, select_files
from store.organizations.lookup import find_organization
from store.paging import PAGE_BYTES, Page, PageRequest, fitting, page_of, wire_bytes
from store.releases.lookup import readable_release
from store.releases.rows import ReleaseRow

_FILE_BYTES: Final = 320
"""What a file takes on the wire beside its texts, at most: name, uid, digest, tags, lengths, numbers and its time."""
_HEADER_BYTES: Final = 10
"""The same of a header."""

_BY_ID: Final = Query(
    select_files().where(ReleaseFile.id == hole(ReleaseFile.id), ReleaseFile.release_id == hole(ReleaseFile.release_id))
)
_BY_KEY: Final = Query(
    select_files().where(
        ReleaseFile.release_id == hole(ReleaseFile.release_id),
        ReleaseFile.file_name == hole(ReleaseFile.file_name),
        ReleaseFile.project_id == hole(ReleaseFile.project_id),
        ReleaseFile.dist == hole(ReleaseFile.dist),
    )
)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file being read: the file, whole, and the bytes of the range that was asked for; a context manager.

    data yields verified pieces of at most 1 MiB, and raises ChunkLost where bytes are damaged or gone, BlobsDown; it
    holds no connection between pieces.
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

    Raises OrganizationNotFound, ReleaseNotFound, FileNotFound, ReadOutOfRange when offset is beyond the end.
    """

    def find(reader: Reader) -> FileRow:
        release = readable_release(reader, access, organization, version)
        found = file_by_id(reader, release, file_id)
        if found is None or not _sees(reader, access, release, found):
            raise FileNotFound(release.organization_slug, release.version, str(uuid.UUID(bytes=file_id)))
        return found

    file = database.read(find)
    if offset > file.size_bytes:
        raise ReadOutOfRange(file.size_bytes)
    return OpenFile(file, blobs.read(file.content, offset=offset, limit=limit))


def list_files(
    database: Database, access: Access, *, organization: str, version: str, page: PageRequest
) -> Page[FileRow]:
    """A page of the release's files, by file name, then id; those of projects that the caller may not access are
    left out. A page ends before it passes 1 MiB on the wire: headers alone may take a quarter of that a file.

    Raises OrganizationNotFound, ReleaseNotFound.
    """

    def read(reader: Reader) -> list[FileRow]:
        release = readable_release(reader, access, organization, version)
        visible = _visible_projects(reader, access, release)
        query = _page_query(
            backward=page.backward,
            positioned=page.position is not None,
            projects=None if visible is None else len(visible),
        )
        params: dict[str, Any] = {"release_id": release.id, "limit": page.limit}
        if visible is not None:
            params.update({f"project_{index}": project_id for index, project_id in enumerate(visible)})
        if page.position is not None:
            params["file_name"], params["id"] = page.position.key
        return [_row(release, columns) for columns in reader.rows(query, **params)]

    found = database.read(read)
    shown = fitting(page, map(_bytes_of, found), most=PAGE_BYTES)
    return page_of(found[: shown.limit], shown, lambda file: (file.file_name, file.id))


def file_by_id(reader: Reader, release: ReleaseRow, file_id: bytes) -> FileRow | None:
    """The release's file with this id."""
    columns = reader.row(_BY_ID, id=file_id, release_id=release.id)
    return None if columns is None else _row(release, columns)


def file_by_key(reader: Reader, release: ReleaseRow, *, file_name: str, project_id: bytes, dist: str) -> FileRow | None:
    """The release's file of this name, project (or NO_PROJECT) and dist (or NO_DIST)."""
    columns = reader.row(_BY_KEY, release_id=release.id, file_name=file_name, project_id=project_id, dist=dist)
    return None if columns is None else _row(release, columns)


def _bytes_of(file: FileRow) -> int:
    """What a file takes on the wire, at most."""
    texts = (file.organization, file.version, file.file_name, file.dist, file.organization, file.project or "")
    headers = sum(wire_bytes(name, value) + _HEADER_BYTES for name, value in file.headers.items())
    return _FILE_BYTES + wire_bytes(*texts) + headers


def _row(release: ReleaseRow, columns: tuple[Any, ...]) -> FileRow:
    return FileRow(*(*columns, release.organization_slug, release.version))


def _sees(reader: Reader, access: Access, release: ReleaseRow, file: FileRow) -> bool:
    visible = _visible_projects(reader, access, release)
    return visible is None or file.project_id in visible


def _visible_projects(reader: Reader, access: Access, release: ReleaseRow) -> list[bytes] | None:
    """The project_ids of files that the caller sees in this release; None when it sees all."""
    allowed = accessible_projects(access, find_organization(reader, access, release.organization_slug))
    if allowed.allows_all(release.project_ids):
        return None
    return [NO_PROJECT, *(project_id for project_id in release.project_ids if allowed.allows(project_id))]


@query_shape
def _page_query(*, backward: bool, positioned: bool, projects: int | None) -> Query[tuple[Any, ...]]:
    columns = (ReleaseFile.file_name, ReleaseFile.id)
    query = select_files().where(ReleaseFile.release_id == hole(ReleaseFile.release_id))
    if projects is not None:
        holes = [hole(ReleaseFile.project_id, f"project_{index}") for index in range(projects)]
        query = query.where(ReleaseFile.project_id.in_(holes))
    if positioned:
        place, position = peewee.Tuple(*columns), peewee.Tuple(*[hole(column) for column in columns])
        query = query.where(place < position if backward else place > position)
    order = [column.desc() if backward else column.asc() for column in columns]
    return Query(query.order_by(*order).limit(hole(_LIMIT)))


_LIMIT: Final = CountField()
_LIMIT.name = "limit"
