"""`relctl avatar`: the picture of an organization."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from releaseregistry.v1.organizations_pb2 import DownloadAvatarResponse

from relctl.cli.application import Application, print_json
from relctl.cli.options import Folder, pass_application
from relctl.cli.text import human_bytes
from relctl.errors import LocalError


@click.group(cls=Folder)
def avatar() -> None:
    """The picture of an organization."""


@avatar.command("set")
@click.argument("path", type=click.Path(path_type=Path))
@pass_application
def set_(application: Application, path: Path) -> None:
    r"""Send a picture, and have it stand for the organization from now on.

    A square PNG, JPEG, GIF or WEBP of 256 to 1,024 pixels a side, of at most 5,000,000 bytes. `org update --avatar
    letter` goes back to a letter and keeps the picture.

    \b
    Example:
      relctl avatar set logo.png
    """
    try:
        picture = path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror or error}") from None
    organization = application.client.avatars.upload(application.organization, picture)
    if application.json:
        print_json(organization)
    else:
        application.say(f"{path} stands for {organization.slug} from now on")


@avatar.command()
@click.option("--size", type=click.IntRange(min=1), metavar="PIXELS", help="About this large. [default: the largest]")
@click.option("-o", "--output", metavar="PATH", help="Where to write it; - is stdout. [default: SLUG.png, here]")
@pass_application
def get(application: Application, size: int | None, output: str | None) -> None:
    r"""Read the picture, as PNG.

    Without --output nothing that exists is replaced. With --json and without --output it is not written but printed.

    \b
    Example:
      relctl avatar get --size 64 -o avatar.png
    """
    slug = application.organization
    answer = application.client.avatars.download(slug, size_pixels=size or 0)
    if output == "-":
        sys.stdout.buffer.write(answer.data)
        sys.stdout.buffer.flush()
        return
    if output is not None or not application.json:
        target = _written(answer, Path(f"{slug}.png") if output is None else Path(output), replace=output is not None)
        application.say(f"{target}: {answer.size_pixels} pixels a side, {human_bytes(len(answer.data))}")
    if application.json:
        print_json(answer)


def _written(answer: DownloadAvatarResponse, target: Path, *, replace: bool) -> Path:
    try:
        with target.open("wb" if replace else "xb") as file:
            file.write(answer.data)
    except FileExistsError:
        raise LocalError(f"{target} exists; say --output with its whole path to replace it") from None
    except OSError as error:
        raise LocalError(f"cannot write {target}: {error.strerror or error}") from None
    return target
