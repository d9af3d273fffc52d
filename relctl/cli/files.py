"""`relctl files`: files of a release."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

import click
from releaseregistry.v1.files_pb2 import ReleaseFile, UploadReleaseFileResponse
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from relctl.cli.application import Application, Columns, is_terminal, print_json
from relctl.cli.options import Folder, limit_option, pass_application
from relctl.cli.text import human_bytes, local_time, one_line
from relctl.errors import LocalError, NothingThere
from relctl.files import FileDraft
from relctl.files import Progress as Report
from relctl.names import last_part

STDIN: Final = "-"
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


@click.group(cls=Folder)
def files() -> None:
    """Files of a release: build artifacts, source maps, anything."""


@files.command()
@click.argument("version")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option("--name", help="What to call it, for one file. [default: the file's own name; - has none]")
@click.option("--project", metavar="SLUG", help="The one project of the release that it belongs to. [default: all]")
@click.option("--dist", help="The distribution that it belongs to.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Keep this with it; repeat for more.")
@pass_application
def upload(
    application: Application,
    version: str,
    paths: tuple[str, ...],
    name: str | None,
    project: str | None,
    dist: str | None,
    headers: tuple[str, ...],
) -> None:
    r"""Send files. Each is safe on the server's disk when it is reported.

    Sending the same content again changes nothing; other content under the same name is refused with FILE_EXISTS.
    What - reads from stdin cannot be sent again by itself when the server goes away in between.

    \b
    Examples:
      relctl files upload app@1.0.0 dist/app.tar.gz
      relctl files upload app@1.0.0 app.js --name "~/static/app.js" --header "Content-Type: text/javascript"
      tar cz dist | relctl files upload app@1.0.0 - --name dist.tar.gz
    """
    if name is not None and len(paths) > 1:
        raise click.UsageError("--name is for one file")
    if name == "":
        raise click.UsageError("--name is empty")
    if STDIN in paths and name is None:
        raise click.UsageError("what comes from stdin has no name: say --name")
    sources = [None if path == STDIN else Path(path) for path in paths]
    for path in sources:
        # Before the first byte of the first one travels.
        if path is not None and not path.is_file():
            raise LocalError(f"{path} is {'no file' if path.exists() else 'not there'}")
    for path in sources:
        own_name = "" if path is None else path.name
        draft = FileDraft(file_name=name or own_name, project=project, dist=dist, headers=_headers(headers))
        answer = _send(application, version, path, draft)
        if application.json:
            print_json(answer)
            continue
        was_there = "" if answer.created else ", was there before"
        application.say(f"{answer.file.file_name}: {human_bytes(answer.file.size_bytes)}{was_there}")
        click.echo(f"  sha256 {answer.file.sha256}")


@files.command("list")
@click.argument("version")
@limit_option
@pass_application
def list_(application: Application, version: str, limit: int | None) -> None:
    """List the files of a release, by name."""
    found = application.client.files.list(application.organization, version, limit=limit)
    application.show_list(found, LIST_COLUMNS, nothing=f"{version} has no files")


@files.command()
@click.argument("version")
@click.argument("name", metavar="NAME|UID")
@click.option("-o", "--output", metavar="PATH", help="Where to write it; - is stdout. [default: its name, here]")
@click.option("--project", metavar="SLUG", help="Which of several with one name.")
@click.option("--dist", help="Which of several with one name.")
@pass_application
def download(
    application: Application, version: str, name: str, output: str | None, project: str | None, dist: str | None
) -> None:
    r"""Read a file, checked to the last byte. What is not right is never left under its name.

    Without --output nothing that exists is replaced.

    \b
    Examples:
      relctl files download app@1.0.0 app.tar.gz
      relctl files download app@1.0.0 app.tar.gz -o - | tar tz
    """
    file = _find(application, version, name, project, dist)
    if output == "-":
        with _bar(file.file_name, file.size_bytes) as progress:
            application.client.files.download_to(file, sys.stdout.buffer, progress=progress)
            sys.stdout.buffer.flush()
        return
    target = _target(file, output)
    with _bar(target.name, file.size_bytes) as progress:
        application.client.files.download(file, target, progress=progress)
    if application.json:
        print_json(file)
    else:
        application.say(f"{target}: {human_bytes(file.size_bytes)}, sha256 is right")


def _send(application: Application, version: str, path: Path | None, draft: FileDraft) -> UploadReleaseFileResponse:
    """Upload a file, or stdin when there is no path."""
    files, organization = application.client.files, application.organization
    if path is not None:
        with _bar(path.name, path.stat().st_size) as progress:
            return files.upload(organization, version, path, draft, progress=progress)
    # Unbuffered, by its number and never closed: a thread may still wait for input when the program ends, and would
    # then hold the lock of Python's own stream.
    stdin = FileIO(0, "rb", closefd=False)
    with _bar(draft.file_name, None) as progress:
        return files.upload_from(organization, version, stdin, draft, progress=progress)


def _find(application: Application, version: str, name: str, project: str | None, dist: str | None) -> ReleaseFile:
    """The file of that name or uid, and of that project and dist when they are said."""
    found = [
        file
        for file in application.client.files.list(application.organization, version)
        if name in {file.file_name, file.uid, file.name}
        and (project is None or last_part(file.project) == project)
        and (dist is None or file.dist == dist)
    ]
    if not found:
        raise NothingThere(f"{version} has no file {name!r}; `relctl files list` shows them")
    if len(found) > 1:
        several = "; ".join(
            f"project {last_part(file.project) or 'none'}, dist {file.dist or 'none'}: {file.uid}" for file in found
        )
        raise LocalError(f"{version} has several files {name!r}, say --project, --dist or a uid ({several})")
    return found[0]


def _target(file: ReleaseFile, output: str | None) -> Path:
    own_name = last_part(file.file_name)
    if output is None or Path(output).is_dir():
        # A name is data: it decides about no place but a new file in the folder that was meant.
        if own_name in {"", ".", ".."}:
            raise LocalError(f"{file.file_name!r} gives no name for a file here; say --output")
        target = Path(output or ".", own_name)
        if target.exists() or target.is_symlink():
            raise LocalError(f"{target} exists; say --output with its whole path to replace it")
        return target
    return Path(output)


def _headers(texts: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for text in texts:
        name, separator, value = text.partition(":")
        if not separator or not name.strip():
            raise click.UsageError(f"--header {text!r}: write NAME:VALUE")
        headers[name.strip()] = value.strip()
    return headers


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Report]:
    """A progress bar on a terminal; nothing where nobody watches."""
    if not is_terminal():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(one_line(title)), total=total)
        yield lambda done: progress.update(task, completed=done)
