"""Changing and deleting a file of a release (behaviour.md, Files)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from store.access import Access
from store.crashpoints import crashpoint
from store.database import PLAIN, Database, Statement, Terms, Transaction, hole, holes_for
from store.database.terms import M
from store.errors import FileExists, FileNotFound
from store.files.lookup import file_by_id, file_by_key
from store.files.models import ReleaseFile
from store.files.place import remove_file
from store.files.rows import FileRow, check_file_name, check_headers
from store.releases.lookup import writable_release
from store.releases.rows import ReleaseRow
from store.text import folded_key

_UPDATE: Final = Statement(
    ReleaseFile.update(holes_for(ReleaseFile.file_name, ReleaseFile.folded_name, ReleaseFile.headers)).where(
        ReleaseFile.id == hole(ReleaseFile.id)
    )
)


@dataclass(frozen=True, slots=True)
class FileChanges:
    """What to change: only the fields that `fields` names, out of file_name and headers."""

    fields: frozenset[str]
    file_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Returns when the named fields hold what they may. Raises InvalidField."""
        if "file_name" in self.fields:
            check_file_name(self.file_name, within="file")
        if "headers" in self.fields:
            check_headers(self.headers, within="file")


def update_file(
    database: Database,
    access: Access,
    *,
    organization: str,
    version: str,
    file_id: bytes,
    changes: FileChanges,
    terms: Terms[FileRow, M] = PLAIN,
) -> M:
    """Change the named fields; the file as it then is.

    Raises InvalidField, OrganizationNotFound, ReleaseNotFound (also when one of its projects is not the caller's),
    FileNotFound, FileExists when another file has the key, be its content the same or not.
    """
    changes.check()

    def update(tx: Transaction) -> FileRow:
        release, file = _writable_file(tx, access, organization, version, file_id)
        file_name = changes.file_name if "file_name" in changes.fields else file.file_name
        headers = dict(sorted(changes.headers.items())) if "headers" in changes.fields else file.headers
        if file_name != file.file_name:
            other = file_by_key(tx, release, file_name=file_name, project_id=file.project_id, dist=file.dist)
            if other is not None:
                raise FileExists(other.file_name, other.sha256.hex())
        tx.run(_UPDATE, id=file.id, file_name=file_name, folded_name=folded_key(file_name), headers=headers)
        return _required(tx, release, file.id)

    return database.write(update, terms)


def delete_file(
    database: Database,
    access: Access,
    *,
    organization: str,
    version: str,
    file_id: bytes,
    terms: Terms[None, M] = PLAIN,
) -> M:
    """Delete the file. Its content goes some time after nothing refers to it any more; downloads under way go on.

    Raises OrganizationNotFound, ReleaseNotFound (also when one of its projects is not the caller's), FileNotFound.
    """
    answer = database.write(
        lambda tx: remove_file(tx, *_writable_file(tx, access, organization, version, file_id)), terms
    )
    crashpoint("file.deleted")
    return answer


def _writable_file(
    tx: Transaction, access: Access, organization: str, version: str, file_id: bytes
) -> tuple[ReleaseRow, FileRow]:
    release = writable_release(tx, access, organization, version)
    return release, _required(tx, release, file_id)


def _required(tx: Transaction, release: ReleaseRow, file_id: bytes) -> FileRow:
    file = file_by_id(tx, release, file_id)
    if file is None:
        raise FileNotFound(release.organization_slug, release.version, str(uuid.UUID(bytes=file_id)))
    return file
