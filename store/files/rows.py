"""What the operations on files hand to one another and to the server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import peewee

from store.access.projects import ProjectSlugText
from store.blobs.contents import ContentRow
from store.blobs.models import Content
from store.database import hole
from store.errors import InvalidField
from store.files.models import ReleaseFile
from store.files.names import FileNameIssue, is_line, name_issues, name_problem
from store.organizations.models import Project

MAX_DIST_CHARS: Final = 64
MAX_HEADERS: Final = 64
MAX_HEADER_NAME_CHARS: Final = 128
MAX_HEADER_VALUE_CHARS: Final = 1024


class FileKind(IntEnum):
    """What a file is for. The numbers are kept in the database, and are those of the contract."""

    RELEASE_FILE = 1
    DEBUG_FILE = 2
    ATTACHMENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDraft:
    """What is to stand in a release under a key: file_name, project and dist.

    project is the one project that the file belongs to; None when it belongs to all of the release. With replace it
    takes the place of a file with other content.
    """

    organization: str
    version: str
    file_name: str
    project: ProjectSlugText | None = None
    dist: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: FileKind = FileKind.RELEASE_FILE
    replace: bool = False

    def check(self, *, within: str = "header") -> None:
        """Returns when every field holds what it may (behaviour.md, Files); `within` is the path of the message that
        they stand in. Raises InvalidField."""
        check_file_name(self.file_name, within=within)
        if self.dist is not None:
            _check_line(f"{within}.dist", self.dist)
            if not 1 <= len(self.dist) <= MAX_DIST_CHARS:
                raise InvalidField(f"{within}.dist", f"must have 1 to {MAX_DIST_CHARS} characters")
        check_headers(self.headers, within=within)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadDraft(FileDraft):
    """A file that is to be uploaded, as its caller announces it.

    upload_id is the UUID (16 bytes) that the caller chose. size_bytes and sha256 (32 bytes) where known.
    """

    upload_id: bytes
    size_bytes: int | None = None
    sha256: bytes | None = None

    @property
    def fingerprint(self) -> bytes:
        """The SHA-256 over everything in it: a repeated upload says the same."""
        said = [
            self.organization,
            self.version,
            self.file_name,
            self.project,
            self.dist,
            sorted(self.headers.items()),
            self.kind,
            self.replace,
            self.size_bytes,
            None if self.sha256 is None else self.sha256.hex(),
        ]
        return hashlib.sha256(json.dumps(said).encode()).digest()


def check_file_name(file_name: str, *, within: str) -> None:
    """Returns when a file may be called so. Raises InvalidField."""
    problem = name_problem(file_name)
    if problem is not None:
        raise InvalidField(f"{within}.file_name", problem)


def check_headers(headers: Mapping[str, str], *, within: str) -> None:
    """Returns when a file may have these headers. Raises InvalidField."""
    field_name = f"{within}.headers"
    if len(headers) > MAX_HEADERS:
        raise InvalidField(field_name, f"has at most {MAX_HEADERS} entries")
    for name, value in headers.items():
        _check_line(field_name, name)
        _check_line(field_name, value)
        if not 1 <= len(name) <= MAX_HEADER_NAME_CHARS:
            raise InvalidField(field_name, f"names have 1 to {MAX_HEADER_NAME_CHARS} characters")
        if len(value) > MAX_HEADER_VALUE_CHARS:
            raise InvalidField(field_name, f"values have at most {MAX_HEADER_VALUE_CHARS} characters")


def _check_line(name: str, text: str) -> None:
    if not is_line(text):
        raise InvalidField(name, "is a single line without control characters")


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of a release, the slug of its organization and the version of its release.

    project is the current slug of its one project, None when it belongs to all of the release. collides tells that
    the reader sees another file of the release whose name differs only in case or in Unicode form. create_time is in
    microseconds UTC.
    """

    id: bytes
    organization_id: bytes
    release_id: bytes
    file_name: str
    project_id: bytes
    dist: str
    headers: dict[str, str]
    kind: int
    create_time: int
    content_id: bytes
    sha256: bytes
    size_bytes: int
    project: str | None
    collides: bool
    organization: str
    version: str

    @property
    def name_issues(self) -> tuple[FileNameIssue, ...]:
        """What keeps its name from some client's disk."""
        alone = name_issues(self.file_name)
        return (*alone, FileNameIssue.COLLISION) if self.collides else alone

    @property
    def content(self) -> ContentRow:
        """What is in it."""
        return ContentRow(self.content_id, self.organization_id, self.sha256, self.size_bytes)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """The answer to an upload: the file, and whether the upload made it; False when it was there before."""

    file: FileRow
    created: bool


FILE_COLUMNS: Final = (
    ReleaseFile.id,
    ReleaseFile.organization_id,
    ReleaseFile.release_id,
    ReleaseFile.file_name,
    ReleaseFile.project_id,
    ReleaseFile.dist,
    ReleaseFile.headers,
    ReleaseFile.kind,
    ReleaseFile.create_time,
    Content.id,
    Content.sha256,
    Content.size_bytes,
    Project.slug,
)
"""The columns of a `FileRow` up to its project."""


def select_files(visible: int | None = None) -> Any:
    """Release files with their contents and projects, as `FILE_COLUMNS` names them, and whether they collide.

    With `visible`, of other files only those of so many projects count: the parameters of `visible_projects`.
    """
    return (
        ReleaseFile.select(*FILE_COLUMNS, _collides(visible).alias("collides"))
        .join(Content, on=(Content.id == ReleaseFile.content_id))
        .join(Project, peewee.JOIN.LEFT_OUTER, on=(Project.id == ReleaseFile.project_id))
    )


def visible_projects(count: int) -> list[Any]:
    """So many parameters for the project ids of files that a caller sees: `project_0` and so on."""
    return [hole(ReleaseFile.project_id, f"project_{index}") for index in range(count)]


def _collides(visible: int | None) -> Any:
    """Two seeks in an index, one to each side of the name: the same name a thousand times costs nothing."""
    other = ReleaseFile.alias("other")
    sides = []
    for side in (other.file_name < ReleaseFile.file_name, other.file_name > ReleaseFile.file_name):
        alike = other.select(other.id).where(
            other.release_id == ReleaseFile.release_id, other.folded_name == ReleaseFile.folded_name, side
        )
        if visible is not None:
            alike = alike.where(other.project_id.in_(visible_projects(visible)))
        sides.append(peewee.fn.EXISTS(alike))
    return sides[0] | sides[1]
