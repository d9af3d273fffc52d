"""The progress of uploads, downloads and long walks on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from relctl.cli.application import is_terminal
from relctl.cli.text import human_bytes, one_line
from relctl.uploads import Standing


@contextmanager
def upload_bar(title: str) -> Iterator[Callable[[Standing], None]]:
    """A bar with rate, time left and bytes saved or compared on a terminal; nothing where nobody watches."""
    if not is_terminal():
        yield lambda _: None
        return
    with _progress(TextColumn("{task.fields[remark]}")) as progress:
        task = progress.add_task(escape(one_line(title)), total=None, remark="")

        def show(standing: Standing) -> None:
            progress.update(task, total=standing.total_bytes, completed=standing.done_bytes, remark=_remark(standing))

        yield show


@contextmanager
def download_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar of so many bytes with rate and time left on a terminal; nothing where nobody watches."""
    if not is_terminal():
        yield lambda _: None
        return
    with _progress() as progress:
        task = progress.add_task(escape(one_line(title)), total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def lines_bar(title: str, total_bytes: int | None) -> Iterator[Callable[[int, str], None]]:
    """A bar of what was read of a file, with a text behind it, on a terminal; nothing where nobody watches.

    What has no size has no end that could be told.
    """
    if not is_terminal():
        yield lambda _done, _remark: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[remark]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(one_line(title)), total=total_bytes, remark="")
        yield lambda done, remark: progress.update(task, completed=done, remark=escape(one_line(remark)))


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Something that moves, and what is known so far, while a call is waited for; nothing where nobody watches.

    It is gone in the end: what is printed then stands where it stood.
    """
    if not is_terminal():
        yield
        return
    with Console(stderr=True).status(escape(one_line(text))):
        yield


def _remark(standing: Standing) -> str:
    if standing.compared_bytes:
        return f"comparing, {human_bytes(standing.compared_bytes)} read"
    return f"saved {human_bytes(standing.saved_bytes)}" if standing.saved_bytes else ""


def _progress(*more: ProgressColumn) -> Progress:
    """A bar, and what stands behind it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, *more, console=Console(stderr=True), transient=True)
