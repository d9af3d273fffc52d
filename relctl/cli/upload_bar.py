"""The progress of an upload on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from relctl.cli.application import is_terminal
from relctl.cli.text import human_bytes, one_line
from relctl.uploads import Progress as Report
from relctl.uploads import Standing


@contextmanager
def upload_bar(title: str) -> Iterator[Report]:
    """A bar with rate, time left and bytes saved on a terminal; nothing where nobody watches."""
    if not is_terminal():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[saved]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(one_line(title)), total=None, saved="")

        def show(standing: Standing) -> None:
            saved = f"saved {human_bytes(standing.saved_bytes)}" if standing.saved_bytes else ""
            progress.update(task, total=standing.total_bytes, completed=standing.done_bytes, saved=saved)

        yield show
