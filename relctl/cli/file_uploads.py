"""`relctl files upload`: files, whole folders, and what comes from stdin."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Final

import click
from releaseregistry.v1.files_pb2 import FileKind, UploadReleaseFileResponse

from relctl.cli.application import Application, note, print_json
from relctl.cli.bars import upload_bar
from relctl.cli.found_files import KINDS
from relctl.cli.options import Leaf, pass_application
from relctl.cli.text import human_bytes
from relctl.errors import LocalError
from relctl.files import FileDraft
from relctl.hash_cache import HashCache, default_cache_path
from relctl.uploads import DEFAULT_JOBS, DEFAULT_STREAMS, FileToUpload, Standing, UploadedFile

STDIN: Final = "-"
MAX_AT_ONCE: Final = 16


@click.command(cls=Leaf)
@click.argument("version")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--file-name",
    "--name",
    "file_name",
    metavar="NAME",
    help="What to call it, for one file. [default: its own name; - has none]",
)
@click.option("--project", metavar="SLUG", help="The one project of the release that it belongs to. [default: all]")
@click.option("--dist", help="The distribution that it belongs to.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Keep this with it; repeat for more.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="What it is for. [default: file]")
@click.option("--replace", is_flag=True, help="Take the place of a file with other content under the same name.")
@click.option(
    "--jobs",
    type=click.IntRange(1, MAX_AT_ONCE),
    default=DEFAULT_JOBS,
    metavar="N",
    help=f"So many files at a time. [default: {DEFAULT_JOBS}]",
)
@click.option(
    "--streams",
    type=click.IntRange(1, MAX_AT_ONCE),
    default=DEFAULT_STREAMS,
    metavar="N",
    help=f"So many streams for large files in all. [default: {DEFAULT_STREAMS}]",
)
@pass_application
def upload(
    application: Application,
    version: str,
    paths: tuple[str, ...],
    file_name: str | None,
    project: str | None,
    dist: str | None,
    headers: tuple[str, ...],
    kind: str | None,
    replace: bool,
    jobs: int,
    streams: int,
) -> None:
    r"""Send files and folders. Each file is safe on the server's storage when it is reported.

    Of a folder every file below it is sent, called as its path from that folder on, with /. Sending the same content
    again changes nothing; other content under the same name is refused with FILE_EXISTS, unless --replace is said.

    Of files above 1 MiB only those parts travel that the organization does not have from other files; they may make
    files for 24 hours. So an upload that broke off goes on where it was when the command is repeated. While the server
    is unavailable the command waits for it, some two minutes. What - reads from stdin travels whole and cannot be sent
    again by itself when the server goes away in between.

    \b
    Examples:
      relctl files upload app@1.0.0 build/app.tar.gz
      relctl files upload app@1.0.0 dist/ --dist 42
      relctl files upload app@1.0.0 app.js --file-name "~/static/app.js" --header "Content-Type: text/javascript"
      tar cz dist | relctl files upload app@1.0.0 - --name dist.tar.gz
    """
    if file_name == "":
        raise click.UsageError("--file-name is empty")
    if file_name is not None and (len(paths) > 1 or Path(paths[0]).is_dir()):
        raise click.UsageError("--file-name is for one file")
    if STDIN in paths and file_name is None:
        raise click.UsageError("what comes from stdin has no name: say --name")
    kept = _headers(headers)

    def draft_of(own_name: str) -> FileDraft:
        return FileDraft(
            file_name=file_name or own_name,
            project=project,
            dist=dist,
            headers=kept,
            kind=FileKind.FILE_KIND_UNSPECIFIED if kind is None else KINDS[kind],
            replace=replace,
        )

    if STDIN in paths:
        _tell(application, _send_stdin(application, version, draft_of("")))
        return
    items = [
        FileToUpload(path=path, draft=draft_of(own_name)) for path, own_name in _found([Path(path) for path in paths])
    ]
    organization, uploads = application.organization, application.client.uploads
    title = items[0].path.name if len(items) == 1 else f"{len(items):,} files"
    cache = HashCache(default_cache_path())
    done: list[UploadedFile] = []
    with upload_bar(title) as progress:
        for uploaded in uploads.upload(
            organization, version, items, cache=cache, jobs=jobs, streams=streams, progress=progress
        ):
            done.append(uploaded)
            _tell(application, uploaded)
    if len(items) > 1:
        size, sent = sum(each.file.size_bytes for each in done), sum(each.sent_bytes for each in done)
        application.say(f"{len(done):,} files, {human_bytes(size)}, of which {human_bytes(sent)} travelled")


def _send_stdin(application: Application, version: str, draft: FileDraft) -> UploadedFile:
    """Upload what stdin holds until it ends."""
    # Unbuffered, by its number and never closed: a thread may still wait for input when the program ends, and would
    # then hold the lock of Python's own stream.
    stdin = FileIO(0, "rb", closefd=False)
    files, organization = application.client.files, application.organization
    with upload_bar(draft.file_name) as progress:

        def show(sent: int) -> None:
            progress(Standing(total_bytes=None, done_bytes=sent, sent_bytes=sent))

        answer = files.upload_from(organization, version, stdin, draft, progress=show)
    return UploadedFile(path=Path(STDIN), file=answer.file, created=answer.created, sent_bytes=answer.file.size_bytes)


def _tell(application: Application, uploaded: UploadedFile) -> None:
    file = uploaded.file
    if application.json:
        print_json(UploadReleaseFileResponse(file=file, created=uploaded.created))
        return
    text = f"{file.file_name}: {human_bytes(file.size_bytes)}"
    if uploaded.sent_bytes < file.size_bytes:
        text += f", {human_bytes(uploaded.sent_bytes)} travelled"
    application.say(text if uploaded.created else f"{text}, was there before")
    click.echo(f"  sha256 {file.sha256}")


def _found(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """The files at the paths, and in folders there, with what they are called.

    Raises LocalError when there is none, or two are called alike: before the first byte travels.
    """
    found: dict[str, Path] = {}
    for given in paths:
        if given.is_dir():
            pairs = [(path, path.relative_to(given).as_posix()) for path in _below(given)]
        elif given.is_file():
            pairs = [(given, given.name)]
        else:
            raise LocalError(f"{given} is {'no file' if given.exists() else 'not there'}")
        for path, name in pairs:
            other = found.setdefault(name, path)
            if other != path:
                raise LocalError(f"{other} and {path} would both be called {name!r}; upload them one by one")
    if not found:
        raise LocalError(f"there is no file below {', '.join(map(str, paths))}")
    return [(path, name) for name, path in found.items()]


def _below(folder: Path) -> Iterator[Path]:
    """The files below a folder, in order. Links to files count as files, links to folders are not followed."""

    def refuse(error: OSError) -> None:
        raise LocalError(f"cannot read {error.filename}: {error.strerror or error}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file():
                yield path
            else:
                note(f"{path} is left out: it is no file")


def _headers(texts: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for text in texts:
        name, separator, value = text.partition(":")
        if not separator or not name.strip():
            raise click.UsageError(f"--header {text!r}: write NAME:VALUE")
        headers[name.strip()] = value.strip()
    return headers
