"""What the operations on files hand to one another and to the server."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import peewee

from store.access.projects import ProjectSlugText
from store.blobs.contents import ContentRow
from store.blobs.models import Content
from store.errors import InvalidField
from store.files.models import ReleaseFile
from store.organizations.models import Project

MAX_NAME_BYTES: Final = 1024
MAX_DIST_CHARS: Final = 64
MAX_HEADERS: Final = 64
MAX_HEADER_NAME_CHARS: Final = 128
MAX_HEADER_VALUE_CHARS: Final = 1024

# C0, DEL, C1, and the two separators that end a line.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class UploadDraft:
    """What is to be uploaded, as its caller announces it.

    upload_id is the UUID (16 bytes) that the caller chose. project is the one project that the file belongs to;
    None when it belongs to all of the release. size_bytes and sha256 (32 bytes) where known.
    """

    upload_id: bytes
    organization: str
    version: str
    file_name: str
    project: ProjectSlugText | None = None
    dist: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
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
            self.size_bytes,
            None if self.sha256 is None else self.sha256.hex(),
        ]
        return hashlib.sha256(json.dumps(said).encode()).digest()

    def check(self) -> None:
        """Returns when every field holds what it may (behaviour.md, Files). Raises InvalidField."""
        _check_line("header.file_name", self.file_name)
        if not 1 <= len(self.file_name.encode()) <= MAX_NAME_BYTES:
            raise InvalidField("header.file_name", f"must have 1 to {MAX_NAME_BYTES} bytes in UTF-8")
        if "\\" in self.file_name:
            raise InvalidField("header.file_name", "must not hold a backslash")
        if self.dist is not None:
            _check_line("header.dist", self.dist)
            if not 1 <= len(self.dist) <= MAX_DIST_CHARS:
                raise InvalidField("header.dist", f"must have 1 to {MAX_DIST_CHARS} characters")
        if len(self.headers) > MAX_HEADERS:
            raise InvalidField("header.headers", f"has at most {MAX_HEADERS} entries")
        for name, value in self.headers.items():
            _check_line("header.headers", name)
            _check_line("header.headers", value)
            if not 1 <= len(name) <= MAX_HEADER_NAME_CHARS:
                raise InvalidField("header.headers", f"names have 1 to {MAX_HEADER_NAME_CHARS} characters")
            if len(value) > MAX_HEADER_VALUE_CHARS:
                raise InvalidField("header.headers", f"values have at most {MAX_HEADER_VALUE_CHARS} characters")


def _check_line(name: str, text: str) -> None:
    if _CONTROL.search(text):
        raise InvalidField(name, "is a single line without control characters")


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of a release, the slug of its organization and the version of its release.

    project is the current slug of its one project, None when it belongs to all of the release. create_time is in
    microseconds UTC.
    """

    id: bytes
    organization_id: bytes
    release_id: bytes
    file_name: str
    project_id: bytes
    dist: str
    headers: dict[str, str]
    create_time: int
    content_id: bytes
    sha256: bytes
    size_bytes: int
    project: str | None
    organization: str
    version: str

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
    ReleaseFile.create_time,
    Content.id,
    Content.sha256,
    Content.size_bytes,
    Project.slug,
)
"""The columns of a `FileRow` up to its project."""


def select_files() -> Any:
    """Release files with their contents and projects, as `FILE_COLUMNS` names them."""
    return (
        ReleaseFile.select(*FILE_COLUMNS)
        .join(Content, on=(Content.id == ReleaseFile.content_id))
        .join(Project, peewee.JOIN.LEFT_OUTER, on=(Project.id == ReleaseFile.project_id))
    )
