"""The commits of a release, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from store.access import Access
from store.commits.contents import COMMIT_COLUMNS, ChangedFileRow, CommitRow, with_details
from store.commits.mentions import may_mention
from store.commits.models import Commit, CommitFile, CommitReference, ReleaseCommit
from store.commits.positions import BEFORE_ALL
from store.database import Database, Query, Reader, hole, query_shape
from store.paging import Page, PageRequest, page_of
from store.releases.lookup import readable_release

PAGE_BYTES = 1024 * 1024
"""A page ends before it is larger than this on the wire."""

_COMMIT_BYTES = 64
"""What a commit takes on the wire beside its texts, at most: tags, lengths, numbers and its time."""
_FILE_BYTES = 8
"""What a changed file takes beside its path."""
_REFERENCE_BYTES = 4
"""What a reference takes beside its text."""
_COMMITS_AT_ONCE = 101
_FILES_AT_ONCE = 4_000
_MOST_FILES = PAGE_BYTES // _FILE_BYTES


@dataclass(frozen=True, slots=True)
class ListedCommit:
    """A commit and its position in the release, the lowest for the newest."""

    position: int
    commit: CommitRow


def _listed(position: int, *columns: Any) -> ListedCommit:
    return ListedCommit(position, CommitRow(*columns))


@query_shape
def _page(backward: bool) -> Query[ListedCommit]:
    place = ReleaseCommit.position
    joined = ReleaseCommit.select(place, *COMMIT_COLUMNS).join(Commit, on=(Commit.id == ReleaseCommit.commit_id))
    return Query(
        with_details(joined)
        .where(
            ReleaseCommit.release_id == hole(ReleaseCommit.release_id),
            place < hole(place) if backward else place > hole(place),
        )
        .order_by(place.desc() if backward else place)
        .limit(hole(place, "limit")),
        row=_listed,
    )


_FILES = Query(
    ReleaseCommit.select(ReleaseCommit.position, CommitFile.path, CommitFile.change_type)
    .join(CommitFile, on=(CommitFile.commit_id == ReleaseCommit.commit_id))
    .where(
        ReleaseCommit.release_id == hole(ReleaseCommit.release_id),
        ReleaseCommit.position >= hole(ReleaseCommit.position, "first"),
        ReleaseCommit.position <= hole(ReleaseCommit.position, "last"),
    )
    .order_by(ReleaseCommit.position, CommitFile.path)
    .limit(hole(ReleaseCommit.position, "limit"))
)


_REFERENCES = Query(
    ReleaseCommit.select(ReleaseCommit.position, CommitReference.reference)
    .join(CommitReference, on=(CommitReference.commit_id == ReleaseCommit.commit_id))
    .where(
        ReleaseCommit.release_id == hole(ReleaseCommit.release_id),
        ReleaseCommit.position >= hole(ReleaseCommit.position, "first"),
        ReleaseCommit.position <= hole(ReleaseCommit.position, "last"),
    )
    .order_by(ReleaseCommit.position, CommitReference.position)
)


def list_commits(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    request: PageRequest,
    *,
    changed_files: bool = False,
) -> Page[ListedCommit]:
    """A page of the release's commits, newest first; with their changed files, by path, if asked for.

    A page ends before it passes 1 MiB on the wire, but holds one commit at least: of a commit that is larger than
    that by itself, the changed files are cut. A call that sets the commits anew between two pages moves places: the
    next page goes on at the place where the last one ended.

    Raises `OrganizationNotFound`, `ReleaseNotFound`.
    """

    def read(reader: Reader) -> Page[ListedCommit]:
        release = readable_release(reader, access, organization_slug, version)
        items, size = _that_fit(_walk(reader, release.id, request, changed_files=changed_files), request.size)
        return page_of(items, replace(request, size=size), _key)

    return db.read(read)


def _key(listed: ListedCommit) -> tuple[int]:
    return (listed.position,)


def _walk(reader: Reader, release_id: bytes, request: PageRequest, *, changed_files: bool) -> Iterator[ListedCommit]:
    """The rows of the page and one more, read only as far as they are asked for: a message alone may have 256 KiB."""
    place = BEFORE_ALL if request.position is None else request.position.key[0]
    left = request.limit
    while left:
        limit = min(left, _COMMITS_AT_ONCE)
        rows = reader.rows(_page(request.backward), release_id=release_id, position=place, limit=limit)
        rows_with = _with_references(reader, release_id, rows)
        yield from _with_files(reader, release_id, rows_with) if changed_files else rows_with
        if len(rows) < limit:
            return
        place = rows[-1].position
        left -= limit


def _that_fit(rows: Iterator[ListedCommit], size: int) -> tuple[list[ListedCommit], int]:
    """The rows that the page has room for and one more if there is one, and how many the page is to have."""
    items: list[ListedCommit] = []
    room = PAGE_BYTES
    for listed in rows:
        own = _bytes_of(listed.commit)
        its_bytes = own + sum(_file_bytes(file) for file in listed.commit.changed_files)
        if its_bytes > room and not items:
            listed = ListedCommit(listed.position, _cut(listed.commit, room - own))
            its_bytes = room
        items.append(listed)
        if its_bytes > room:
            return items, len(items) - 1
        room -= its_bytes
    return items, size


def _cut(commit: CommitRow, room: int) -> CommitRow:
    kept: list[ChangedFileRow] = []
    for file in commit.changed_files:
        room -= _file_bytes(file)
        if room < 0:
            break
        kept.append(file)
    return replace(commit, changed_files=tuple(kept))


def _bytes_of(commit: CommitRow) -> int:
    texts = (commit.key, commit.repository, commit.author_name, commit.author_email, commit.message)
    size = _COMMIT_BYTES + sum(len(text.encode()) for text in texts if text is not None)
    return size + sum(_REFERENCE_BYTES + len(reference.encode()) for reference in commit.references)


def _file_bytes(file: ChangedFileRow) -> int:
    return _FILE_BYTES + len(file.path.encode())


def _with_references(reader: Reader, release_id: bytes, rows: Sequence[ListedCommit]) -> Sequence[ListedCommit]:
    places = [listed.position for listed in rows if may_mention(listed.commit.message)]
    if not places:
        return rows
    references: dict[int, list[str]] = {}
    for place, reference in reader.rows(_REFERENCES, release_id=release_id, first=min(places), last=max(places)):
        references.setdefault(place, []).append(reference)
    return [
        ListedCommit(listed.position, replace(listed.commit, references=tuple(references[listed.position])))
        if listed.position in references
        else listed
        for listed in rows
    ]


def _with_files(reader: Reader, release_id: bytes, rows: Sequence[ListedCommit]) -> Iterator[ListedCommit]:
    """The commits with their changed files, read some commits at a time and only as far as they are asked for."""
    start = 0
    while start < len(rows):
        end, count = start, 0
        while end < len(rows) and (end == start or count + rows[end].commit.changed_file_count <= _FILES_AT_ONCE):
            count += rows[end].commit.changed_file_count
            end += 1
        files: dict[int, list[ChangedFileRow]] = {listed.position: [] for listed in rows[start:end]}
        if count:
            found = reader.rows(
                _FILES,
                release_id=release_id,
                first=min(files),
                last=max(files),
                limit=count if count <= _FILES_AT_ONCE else _MOST_FILES,
            )
            for position, path, change_type in found:
                files[position].append(ChangedFileRow(path, change_type))
        for listed in rows[start:end]:
            commit = replace(listed.commit, changed_files=tuple(files[listed.position]))
            yield ListedCommit(listed.position, commit)
        start = end
