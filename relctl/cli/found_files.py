"""Files of a release as people name and see them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
from releaseregistry.v1.files_pb2 import FileKind, FileNameIssue, ReleaseFile

from relctl.cli.application import Application, Columns
from relctl.cli.text import human_bytes, local_time
from relctl.errors import LocalError, NothingThere, RegistryError
from relctl.files import FileFilter
from relctl.names import last_part

KINDS: Final = {
    "file": FileKind.FILE_KIND_RELEASE_FILE,
    "debug": FileKind.FILE_KIND_DEBUG_FILE,
    "attachment": FileKind.FILE_KIND_ATTACHMENT,
}
COLUMNS: Final[Columns[ReleaseFile]] = (
    ("file", lambda it: it.file_name),
    ("size", lambda it: human_bytes(it.size_bytes)),
    ("project", lambda it: last_part(it.project)),
    ("dist", lambda it: it.dist),
    ("sha256", lambda it: it.sha256),
    ("created", lambda it: local_time(it.create_time)),
)
LIST_COLUMNS: Final[Columns[ReleaseFile]] = tuple(
    (title, (lambda it: it.sha256[:12]) if title == "sha256" else value) for title, value in COLUMNS
)
DETAILED_COLUMNS: Final[Columns[ReleaseFile]] = (
    ("uid", lambda it: it.uid),
    *COLUMNS,
    ("kind", lambda it: next((word for word, kind in KINDS.items() if kind == it.kind), "")),
    ("headers", lambda it: "; ".join(f"{name}: {value}" for name, value in sorted(it.headers.items()))),
    ("beware", lambda it: ", ".join(_word(number) for number in it.file_name_issues)),
)
# The longest part of a name that a list can be asked for.
MAX_PART_CHARS: Final = 200

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def find_file(
    application: Application, version: str, name: str, *, project: str | None = None, dist: str | None = None
) -> ReleaseFile:
    """The file of that name or uid, and of that project and dist when they are said.

    Raises NothingThere, LocalError when there are several.
    """
    organization = application.organization
    found = []
    if (uid := _as_uid(name)) is not None:
        try:
            found = [application.client.files.get(organization, version, uid)]
        except RegistryError as error:
            if error.reason != "FILE_NOT_FOUND":
                raise
    only = FileFilter(
        file_name_contains=[name] if 0 < len(name) <= MAX_PART_CHARS else [],
        projects=[] if project is None else [project],
        dists=[] if dist is None else [dist],
    )
    if not found:
        listed = application.client.files.list(organization, version, only=only)
        found = [file for file in listed if file.file_name == name]
    if not found:
        raise NothingThere(f"{version} has no file {name!r}; `relctl files list` shows them")
    if len(found) > 1:
        several = "; ".join(
            f"project {last_part(file.project) or 'none'}, dist {file.dist or 'none'}: {file.uid}" for file in found
        )
        raise LocalError(f"{version} has several files {name!r}, say --project, --dist or a uid ({several})")
    return found[0]


def _as_uid(name: str) -> str | None:
    """The uid that a name, also a full resource name, may be."""
    try:
        return str(uuid.UUID(last_part(name) or name))
    except ValueError:
        return None


def which_options(command: CommandT) -> CommandT:
    """Add `--project` and `--dist`: which file is meant where a name is not enough."""
    project = click.option("--project", metavar="SLUG", help="Which of several with one name.")
    dist = click.option("--dist", help="Which of several with one name.")
    return project(dist(command))


def _word(issue: FileNameIssue) -> str:
    return FileNameIssue.Name(issue).removeprefix("FILE_NAME_ISSUE_").lower()
