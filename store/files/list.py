"""Listing the files of a release, by pages and by what is sought (behaviour.md, Files).

A page costs the same at any size and depth. Without a filter it is a walk along an index. With one, files of sought
contents are few and found by content; else the walk passes at most `MOST_WALKED` files and then answers what it found:
such a page may hold fewer files than asked for, even none, and the next one goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import peewee

from store.access import Access
from store.access.projects import ProjectSlugText, projects_to_list
from store.blobs.models import Content
from store.database import CountField, Database, Query, Reader, hole, query_shape
from store.database.batches import SIZES
from store.database.fields import TextField
from store.files.lookup import file_row, seen_projects, visible_params
from store.files.models import NO_DIST, NO_PROJECT, ReleaseFile
from store.files.rows import FileRow, select_files, visible_projects
from store.organizations.lookup import find_organization
from store.paging import PAGE_BYTES, Page, PageRequest, Position, fitting, page_of, wire_bytes
from store.releases.lookup import readable_release
from store.releases.rows import ReleaseRow
from store.text import folded_key

MOST_WALKED: Final = 20_000
_TEXTS: Final = (1, 2, 4, 10, 20)
MOST_SOUGHT: Final = 2_000
"""So many files of sought contents are sorted for a page; where there are more, the walk finds some soon."""

_FILE_BYTES: Final = 320
"""What a file takes on the wire beside its texts, at most: name, uid, digest, tags, lengths, numbers and its time."""
_HEADER_BYTES: Final = 10
"""The same of a header."""


@dataclass(frozen=True, slots=True)
class FileFilter:
    """Which files are sought: those that match every field that is not empty.

    contains: file_name holds one of these, in any case. projects: None for files of no single project. dists: "" for
    files without one. sha256: of the content.
    """

    contains: frozenset[str] = frozenset()
    projects: frozenset[ProjectSlugText | None] = frozenset()
    dists: frozenset[str] = frozenset()
    sha256: frozenset[bytes] = frozenset()


EVERY_FILE: Final = FileFilter()


def list_files(
    database: Database,
    access: Access,
    *,
    organization: str,
    version: str,
    page: PageRequest,
    sought: FileFilter = EVERY_FILE,
) -> Page[FileRow]:
    """A page of the release's files, by file name, then id; those of projects that the caller may not access are
    left out. A page ends before it passes 1 MiB on the wire: headers alone may take a quarter of that a file.

    Raises OrganizationNotFound, ReleaseNotFound, ProjectForbidden.
    """

    def read(reader: Reader) -> Page[FileRow]:
        release = readable_release(reader, access, organization, version)
        search = _search(reader, access, release, sought)
        return Page((), None, None) if search is None else search.page(reader, page)

    return database.read(read)


@dataclass(frozen=True, slots=True)
class _Search:
    """One list call, its filter as the database knows it."""

    release: ReleaseRow
    visible: tuple[bytes, ...] | None
    contains: tuple[str, ...]
    projects: tuple[bytes, ...]
    dists: tuple[str, ...]
    contents: tuple[bytes, ...]

    def page(self, reader: Reader, request: PageRequest) -> Page[FileRow]:
        """The page, and the positions beside it."""
        few = self._few(reader)
        wall = None if few else self._wall(reader, request)
        rows = [file_row(self.release, *columns) for columns in self._rows(reader, request, wall, few=few)]
        request = fitting(request, map(_bytes_of, rows), most=PAGE_BYTES)
        rows = rows[: request.limit]
        page = page_of(rows, request, lambda file: (file.file_name, file.id))
        if wall is None or len(rows) > request.size:
            return page
        # The walk ended before the list and before the page was full: it goes on from there.
        beyond = Position(wall, backward=request.backward)
        return Page(page.items, page.next, beyond) if request.backward else Page(page.items, beyond, page.previous)

    def _rows(
        self, reader: Reader, request: PageRequest, wall: tuple[Any, ...] | None, *, few: bool
    ) -> list[tuple[Any, ...]]:
        query = _page_query(
            backward=request.backward,
            positioned=request.position is not None,
            walled=wall is not None,
            few=few,
            visible=None if self.visible is None else len(self.visible),
            contains=len(self.contains),
            projects=len(self.projects),
            dists=len(self.dists),
            contents=len(self.contents),
        )
        params: dict[str, Any] = {"release_id": self.release.id, "limit": request.limit}
        params.update(visible_params(self.visible))
        for name in ("contains", "projects", "dists", "contents"):
            params.update({f"{name}_{index}": value for index, value in enumerate(getattr(self, name))})
        if request.position is not None:
            params["file_name"], params["id"] = request.position.key
        if wall is not None:
            params["wall_name"], params["wall_id"] = wall
        return reader.rows(query, **params)

    def _wall(self, reader: Reader, request: PageRequest) -> tuple[Any, ...] | None:
        """The last file that the walk may pass; None where it needs no end, or the list ends before it."""
        if not (self.contains or self.projects or self.dists or self.contents):
            return None
        params: dict[str, Any] = {"release_id": self.release.id, "limit": 1, "walked": MOST_WALKED - 1}
        if request.position is not None:
            params["file_name"], params["id"] = request.position.key
        query = _wall_query(backward=request.backward, positioned=request.position is not None)
        return reader.row(query, **params)

    def _few(self, reader: Reader) -> bool:
        """Whether files of the sought contents are so few that they are found by content."""
        if not self.contents:
            return False
        params = {f"contents_{index}": content_id for index, content_id in enumerate(self.contents)}
        query = _count_query(len(self.contents))
        return len(reader.rows(query, release_id=self.release.id, limit=MOST_SOUGHT, **params)) < MOST_SOUGHT


def _search(reader: Reader, access: Access, release: ReleaseRow, sought: FileFilter) -> _Search | None:
    """What to look for; None when nothing can match."""
    contents: Iterable[bytes] = ()
    if sought.sha256:
        contents = _contents(reader, release.organization_id, sought.sha256)
        if not contents:
            return None
    return _Search(
        release,
        seen_projects(reader, access, release),
        _padded({folded_key(text) for text in sought.contains} if "" not in sought.contains else (), sizes=_TEXTS),
        _padded(_project_ids(reader, access, release, sought.projects)),
        _padded(text or NO_DIST for text in sought.dists),
        _padded(contents),
    )


def _project_ids(
    reader: Reader, access: Access, release: ReleaseRow, names: frozenset[ProjectSlugText | None]
) -> Iterable[bytes]:
    named = [name for name in names if name is not None]
    ids = {NO_PROJECT} if None in names else set()
    if named:
        organization = find_organization(reader, access, release.organization_slug)
        ids |= projects_to_list(reader, access, organization, named).ids
    return ids


def _contents(reader: Reader, organization_id: bytes, digests: Iterable[bytes]) -> list[bytes]:
    padded = _padded(digests)
    params = {f"sha256_{index}": sha256 for index, sha256 in enumerate(padded)}
    rows = reader.rows(_contents_query(len(padded)), organization_id=organization_id, **params)
    return [content_id for (content_id,) in rows]


def _padded(values: Iterable[Any], *, sizes: Sequence[int] = SIZES) -> tuple[Any, ...]:
    """The values, sorted, filled up to one of a few sizes by repeating the last: few shapes have to be compiled."""
    found = sorted(set(values))
    if not found:
        return ()
    size = next(size for size in sizes if size >= len(found))
    return (*found, *[found[-1]] * (size - len(found)))


def _bytes_of(file: FileRow) -> int:
    """What a file takes on the wire, at most."""
    texts = (file.organization, file.version, file.file_name, file.dist, file.organization, file.project or "")
    headers = sum(wire_bytes(name, value) + _HEADER_BYTES for name, value in file.headers.items())
    return _FILE_BYTES + wire_bytes(*texts) + headers


def _holes(field: Any, name: str, count: int) -> list[Any]:
    return [hole(field, f"{name}_{index}") for index in range(count)]


_ORDER: Final = (ReleaseFile.file_name, ReleaseFile.id)


@query_shape
def _page_query(
    *,
    backward: bool,
    positioned: bool,
    walled: bool,
    few: bool,
    visible: int | None,
    contains: int,
    projects: int,
    dists: int,
    contents: int,
) -> Query[tuple[Any, ...]]:
    query = select_files(visible).where(ReleaseFile.release_id == hole(ReleaseFile.release_id))
    if visible is not None:
        query = query.where(ReleaseFile.project_id.in_(visible_projects(visible)))
    if projects:
        query = query.where(ReleaseFile.project_id.in_(_holes(ReleaseFile.project_id, "projects", projects)))
    if dists:
        query = query.where(ReleaseFile.dist.in_(_holes(ReleaseFile.dist, "dists", dists)))
    if contents:
        query = query.where(ReleaseFile.content_id.in_(_holes(ReleaseFile.content_id, "contents", contents)))
    if contains:
        query = query.where(_any([_contains(text) for text in _holes(_TEXT, "contains", contains)]))
    place = peewee.Tuple(*_ORDER)
    if positioned:
        position = peewee.Tuple(*[hole(column) for column in _ORDER])
        query = query.where(place < position if backward else place > position)
    if walled:
        wall = peewee.Tuple(hole(ReleaseFile.file_name, "wall_name"), hole(ReleaseFile.id, "wall_id"))
        query = query.where(place >= wall if backward else place <= wall)
    # Few files are found by content and sorted: an order that no index has keeps SQLite from walking all the files.
    columns = (ReleaseFile.file_name.concat(""), ReleaseFile.id) if few else _ORDER
    return Query(query.order_by(*_ordered(columns, backward)).limit(hole(_NUMBER, "limit")))


@query_shape
def _wall_query(*, backward: bool, positioned: bool) -> Query[tuple[Any, ...]]:
    query = ReleaseFile.select(*_ORDER).where(ReleaseFile.release_id == hole(ReleaseFile.release_id))
    if positioned:
        place, position = peewee.Tuple(*_ORDER), peewee.Tuple(*[hole(column) for column in _ORDER])
        query = query.where(place < position if backward else place > position)
    return Query(
        query.order_by(*_ordered(_ORDER, backward)).limit(hole(_NUMBER, "limit")).offset(hole(_NUMBER, "walked"))
    )


@query_shape
def _count_query(contents: int) -> Query[tuple[Any, ...]]:
    query = ReleaseFile.select(ReleaseFile.release_id).where(
        ReleaseFile.release_id == hole(ReleaseFile.release_id),
        ReleaseFile.content_id.in_(_holes(ReleaseFile.content_id, "contents", contents)),
    )
    return Query(query.limit(hole(_NUMBER, "limit")))


@query_shape
def _contents_query(count: int) -> Query[tuple[Any, ...]]:
    return Query(
        Content.select(Content.id).where(
            Content.organization_id == hole(Content.organization_id),
            Content.sha256.in_(_holes(Content.sha256, "sha256", count)),
        )
    )


def _ordered(columns: Sequence[Any], backward: bool) -> list[Any]:
    return [column.desc() if backward else column.asc() for column in columns]


def _contains(text: Any) -> Any:
    # The one way to seek a substring that both databases have and that knows no wildcards.
    return peewee.fn.REPLACE(ReleaseFile.folded_name, text, "") != ReleaseFile.folded_name


def _any(conditions: Sequence[Any]) -> Any:
    found = conditions[0]
    for condition in conditions[1:]:
        found |= condition
    return found


_NUMBER: Final = CountField()
_NUMBER.name = "number"
_TEXT: Final = TextField()
_TEXT.name = "text"
