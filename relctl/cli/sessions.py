"""`relctl sessions`: telling how software was used."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple

import click

from relctl.cli.application import Application, note
from relctl.cli.bars import lines_bar
from relctl.cli.failures import LeftOver
from relctl.cli.options import Folder, pass_application
from relctl.cli.session_lines import MAX_LINE_BYTES, BadLine, Usual, read_line
from relctl.cli.text import counted
from relctl.errors import LocalError, RegistryError
from relctl.sessions import BATCH_SIZE, MAX_BATCH_SIZE, RecordedBatch, SessionItem

STDIN: Final = "-"
SHOWN_REFUSALS: Final = 100


@click.group(cls=Folder)
def sessions() -> None:
    """Sessions: how software was used, and how that ended."""


@sessions.command()
@click.argument("path", metavar="FILE", type=click.Path())
@click.option("--project", default="", metavar="SLUG", help="The project of lines that name none.")
@click.option("--release", "version", default="", metavar="VERSION", help="The version of lines that name none.")
@click.option("--environment", "--env", default="", metavar="NAME", help="The environment of lines that name none.")
@click.option(
    "--batch",
    type=click.IntRange(1, MAX_BATCH_SIZE),
    default=BATCH_SIZE,
    metavar="N",
    help=f"So many lines a call. [default: {BATCH_SIZE:,}]",
)
@pass_application
def send(application: Application, path: str, project: str, version: str, environment: str, batch: int) -> None:
    r"""Send what FILE (or - for stdin) tells of sessions, a JSON object a line.

    A line tells of one session: session_id (a UUID), sequence, status (ok, exited, abnormal or crashed), error_count,
    start_time, duration (seconds), distinct_user_id, version, environment and project. Told anew, the highest sequence
    counts. Or it tells of many sessions, counted elsewhere: counts_id (a UUID), start_time, exited_count,
    errored_count, abnormal_count, crashed_count, distinct_user_id, version, environment and project.

    What is refused is told with its line, and all else is kept; the exit code is then 1. What is sent again counts
    once: after an error repeat the command. With --json each refused line is an object, and the last one tells counts.

    \b
    Examples:
      relctl sessions send sessions.jsonl --project web
      tail -n 1000 sessions.jsonl | relctl sessions send - --project web --release app@1.0.0
    """
    sent = Sending(
        application,
        Usual(organization=application.organization, project=project, version=version, environment=environment),
    )
    with ExitStack() as stack:
        file = _opened(path, stack)
        size = os.fstat(file.fileno()).st_size or None  # a pipe has none
        show = stack.enter_context(lines_bar(STDIN if path == STDIN else Path(path).name, size))
        try:
            sent.send(file, batch, show)
        except (RegistryError, KeyboardInterrupt):
            if sent.safe_lines:
                note(f"the first {counted(sent.safe_lines, 'line')} are done; what is sent again counts once")
            raise
    sent.tell()


def _opened(path: str, stack: ExitStack) -> IO[bytes]:
    try:
        if path == STDIN:
            return stack.enter_context(open(0, "rb", closefd=False))
        return stack.enter_context(open(path, "rb"))
    except OSError as error:
        raise LocalError(f"cannot read {'stdin' if path == STDIN else path}: {error.strerror}") from None


class BadLineAt(NamedTuple):
    """A line that was refused, by the server or here: which of its fields is wrong, and why."""

    line: int
    field: str
    reason: str
    description: str


@dataclass(slots=True)
class Sending:
    """A file of lines on its way, and what came of it so far."""

    application: Application
    usual: Usual
    recorded: int = 0
    known: int = 0
    refused: int = 0
    told: int = 0
    safe_lines: int = 0
    """Up to which line everything is answered."""
    read_bytes: int = 0
    waiting: deque[int] = field(default_factory=deque)
    """The lines of the items that were read and are not answered yet."""
    bad: list[BadLineAt] = field(default_factory=list)
    """The lines that were read and make no item, and are not told yet."""

    def send(self, file: IO[bytes], batch_size: int, show: Callable[[int, str], None]) -> None:
        """Send all lines. Raises RegistryError, LocalError when the file cannot be read."""
        health = self.application.client.health
        for batch in health.record_sessions(self.usual.organization, self._items(file), batch_size=batch_size):
            self._add(batch)
            show(self.read_bytes, f"{self.recorded + self.known:,} sent, {self.refused:,} refused")

    def tell(self) -> None:
        """Tell what was done. Raises LeftOver when something was refused."""
        self._tell_bad()
        if self.refused > self.told and not self.application.json:
            note(f"and {self.refused - self.told:,} more")
        values = {"recorded_count": self.recorded, "known_count": self.known, "refused_count": self.refused}
        if self.application.json:
            self.application.show_values(values)
        else:
            known = f", {self.known:,} known before" if self.known else ""
            self.application.say(f"{counted(self.recorded, 'item')} recorded{known}")
        if self.refused:
            raise LeftOver(f"{counted(self.refused, 'line')} refused")

    def _items(self, file: IO[bytes]) -> Iterator[SessionItem]:
        number = 0
        while line := _next_line(file):
            number += 1
            self.read_bytes += len(line)
            if not line.strip():
                continue
            try:
                item = read_line(line, self.usual)
            except BadLine as error:
                self.bad.append(BadLineAt(number, "", "INVALID_LINE", str(error)))
                continue
            self.waiting.append(number)
            yield item

    def _add(self, batch: RecordedBatch) -> None:
        lines = [self.waiting.popleft() for _ in batch.items]
        self.safe_lines = lines[-1]
        self.recorded += batch.recorded.recorded_count
        self.known += batch.recorded.known_count
        refused = batch.refused
        self.bad += [BadLineAt(lines[item.place], item.field, item.reason, item.description) for item in refused]
        self._tell_bad()
        self.refused += batch.recorded.refused_count - len(refused)

    def _tell_bad(self) -> None:
        for bad in sorted(self.bad):
            if self.application.json:
                click.echo(json.dumps(bad._asdict()))
            elif self.told < SHOWN_REFUSALS:
                self.told += 1
                place = f"line {bad.line}, {bad.field}" if bad.field else f"line {bad.line}"
                note(f"{place}: {bad.description} ({bad.reason})")
        self.refused += len(self.bad)
        self.bad.clear()


def _next_line(file: IO[bytes]) -> bytes:
    """The next line; of one that is far too long only as much as shows that it is."""
    try:
        line = start = file.readline(MAX_LINE_BYTES + 1)
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES + 1)
    except OSError as error:
        raise LocalError(f"cannot read the lines: {error.strerror}") from None
    return start
