"""The files that two releases do not have alike, by file_name, project and dist (behaviour.md, Comparing releases)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import peewee

from store.access import Access
from store.database import CountField, Database, Query, Reader, hole, query_shape
from store.files.lookup import file_row, seen_projects, visible_params
from store.files.models import ReleaseFile
from store.files.rows import FileRow, select_files, visible_projects
from store.paging import PAGE_BYTES, Page, PageRequest, fitting, page_of, wire_bytes
from store.releases.compare import MOST_WALKED, ComparedReleases, Side
from store.releases.rows import ReleaseRow

_BEFORE_ALL: Final[tuple[Any, ...]] = ("", b"", "")
_FILE_BYTES: Final = 640
"""What two files take on the wire beside their texts, at most."""
_LIMIT: Final = CountField()
_LIMIT.name = "limit"


@dataclass(frozen=True, slots=True)
class FileDifference:
    """A file that two releases do not have alike: as the compared one has it, and as its base has it."""

    file: FileRow | None
    base_file: FileRow | None

    @property
    def side(self) -> Side:
        """Which of the releases has it."""
        if self.file is None:
            return Side.REMOVED
        return Side.ADDED if self.base_file is None else Side.CHANGED

    @property
    def key(self) -> tuple[Any, ...]:
        """What differences are sorted by."""
        file = self.file or self.base_file
        assert file is not None, "one of the releases has it"
        return _key(file)


def compare_files(db: Database, access: Access, compared: ComparedReleases, page: PageRequest) -> Page[FileDifference]:
    """A page of the files that differ, by file_name, project and dist: only one release has them, or their digests are
    not the same. Files of projects that the caller may not access are left out.

    A page ends before it passes 1 MiB, and before it has looked at more than 10,000 files.

    Raises `OrganizationNotFound` and `ReleaseNotFound` for either, `InvalidField` for a base of another organization.
    """

    def read(reader: Reader) -> Page[FileDifference]:
        # Told apart by their walks: a release may be compared with itself.
        walks = [
            _walk(reader, release, seen_projects(reader, access, release), page, is_base=is_base)
            for release, is_base in zip(compared.find(reader, access), (False, True), strict=True)
        ]
        return _page(merge(*walks, key=_place, reverse=page.backward), page)

    return db.read(read)


def _page(files: Iterator[tuple[bool, FileRow]], page: PageRequest) -> Page[FileDifference]:
    rows: list[FileDifference] = []
    walked = 0
    wall: tuple[Any, ...] | None = None
    last = _BEFORE_ALL
    for key, alike in groupby(files, key=_place):
        if walked >= MOST_WALKED:
            wall = last
            break
        last = key
        by_side = dict(alike)
        walked += len(by_side)
        file, base_file = by_side.get(False), by_side.get(True)
        if file is None or base_file is None or file.sha256 != base_file.sha256:
            rows.append(FileDifference(file, base_file))
            if len(rows) == page.limit:
                break
    fits = fitting(page, map(_bytes_of, rows), most=PAGE_BYTES)
    return page_of(rows[: fits.limit], fits, attrgetter("key"), wall=wall)


def _place(found: tuple[bool, FileRow]) -> tuple[Any, ...]:
    return _key(found[1])


def _key(file: FileRow) -> tuple[Any, ...]:
    return file.file_name, file.project_id, file.dist


def _walk(
    reader: Reader, release: ReleaseRow, visible: tuple[bytes, ...] | None, page: PageRequest, *, is_base: bool
) -> Iterator[tuple[bool, FileRow]]:
    """The files of a release in the order of their keys, each with is_base, read only as far as they are asked for."""
    place = page.position.key if page.position is not None else _BEFORE_ALL
    at_once = min(page.limit, 200)
    query = _files(None if visible is None else len(visible), backward=page.backward)
    while True:
        rows = reader.rows(
            query,
            release_id=release.id,
            file_name=place[0],
            project_id=place[1],
            dist=place[2],
            limit=at_once,
            **visible_params(visible),
        )
        for columns in rows:
            file = file_row(release, *columns)
            place = _key(file)
            yield is_base, file
        if len(rows) < at_once:
            return
        at_once = min(at_once * 2, 1000)


@query_shape
def _files(visible: int | None, *, backward: bool) -> Query[tuple[Any, ...]]:
    columns = (ReleaseFile.file_name, ReleaseFile.project_id, ReleaseFile.dist)
    place, start = peewee.Tuple(*columns), peewee.Tuple(*map(hole, columns))
    query = select_files(visible).where(
        ReleaseFile.release_id == hole(ReleaseFile.release_id), place < start if backward else place > start
    )
    if visible is not None:
        query = query.where(ReleaseFile.project_id.in_(visible_projects(visible)))
    ordered = query.order_by(*(column.desc() if backward else column.asc() for column in columns))
    return Query(ordered.limit(hole(_LIMIT)))


def _bytes_of(difference: FileDifference) -> int:
    size = _FILE_BYTES
    for file in (difference.file, difference.base_file):
        if file is not None:
            headers = [text for pair in file.headers.items() for text in pair]
            size += wire_bytes(file.file_name, file.dist, *headers) + 10 * len(headers)
    return size
