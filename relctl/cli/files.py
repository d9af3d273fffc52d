"""`relctl files`: files of a release."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from releaseregistry.v1.files_pb2 import ReleaseFile

from relctl.cli.application import Application, print_json
from relctl.cli.bars import download_bar
from relctl.cli.file_changes import delete, get, rename
from relctl.cli.file_uploads import upload
from relctl.cli.found_files import LIST_COLUMNS, find_file
from relctl.cli.options import Folder, limit_option, pass_application
from relctl.cli.text import human_bytes
from relctl.errors import LocalError
from relctl.files import FileFilter
from relctl.names import last_part


@click.group(cls=Folder)
def files() -> None:
    """Files of a release: build artifacts, source maps, anything."""


for command in (upload, get, rename, delete):
    files.add_command(command)


@files.command("list")
@click.argument("version")
@click.option(
    "--name-contains", multiple=True, metavar="TEXT", help="Only those whose name contains this, in any case."
)
@click.option("--project", "projects", multiple=True, metavar="SLUG", help='Only those of this project; "" is of none.')
@click.option("--dist", "dists", multiple=True, help='Only those of this distribution; "" is of none.')
@click.option("--sha256", multiple=True, metavar="DIGEST", help="Only those with this content: 64 hexadecimal digits.")
@limit_option
@pass_application
def list_(
    application: Application,
    version: str,
    name_contains: tuple[str, ...],
    projects: tuple[str, ...],
    dists: tuple[str, ...],
    sha256: tuple[str, ...],
    limit: int | None,
) -> None:
    r"""List the files of a release, by name.

    A filter that is said several times lets through what any of its values does.

    \b
    Example:
      relctl files list app@1.0.0 --name-contains .js --name-contains .css --dist 42
    """
    only = FileFilter(
        file_name_contains=name_contains,
        projects=projects,
        dists=dists,
        sha256=tuple(digest.lower() for digest in sha256),
    )
    found = application.client.files.list(application.organization, version, only=only, limit=limit)
    nothing = f"{version} has no such files" if only != FileFilter() else f"{version} has no files"
    application.show_list(found, LIST_COLUMNS, nothing=nothing)


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
    file = find_file(application, version, name, project=project, dist=dist)
    if output == "-":
        with download_bar(file.file_name, file.size_bytes) as progress:
            application.client.files.download_to(file, sys.stdout.buffer, progress=progress)
            sys.stdout.buffer.flush()
        return
    target = _target(file, output)
    with download_bar(target.name, file.size_bytes) as progress:
        application.client.files.download(file, target, progress=progress)
    if application.json:
        print_json(file)
    else:
        application.say(f"{target}: {human_bytes(file.size_bytes)}, sha256 is right")


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
