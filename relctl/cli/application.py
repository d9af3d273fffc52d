"""What every command works with: settings, the client, the organization, and how answers are shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relctl.cli.configuration import Configuration, configure
from relctl.cli.text import one_line
from relctl.client import Client, connect
from relctl.errors import LocalError
from relctl.names import last_part

# Wide enough that nothing wraps where no terminal has a width.
FILE_WIDTH: Final = 4000
TABLE_ROWS: Final = 1000
# Longer texts than these a column may fold.
LONG_TEXT: Final = 40

MessageT = TypeVar("MessageT", bound=Message)
Columns = Sequence[tuple[str, Callable[[MessageT], object]]]


class Application:
    """One run of the program. `said` gathers the flags while they are read; the client is made when first needed."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self.json = False
        self.query = ""
        """The search query of this run: what an error of it is about."""
        self._configuration: Configuration | None = None
        self._client: Client | None = None

    @property
    def configuration(self) -> Configuration:
        """The settings of this run."""
        if self._configuration is None:
            self._configuration = configure(self.said)
        return self._configuration

    @property
    def client(self) -> Client:
        """The client of the server that the settings name."""
        if self._client is None:
            settings = self.configuration
            self._client = connect(
                settings.address(),
                token=settings.secret(),
                caller=settings.caller or "",
                transport=settings.transport(),
                deadline_seconds=settings.timeout,
            )
        return self._client

    @property
    def organization(self) -> str:
        """The organization's slug: the one said, else the token's own, else the only one there is.

        Raises LocalError when that is none, or not one.
        """
        if self.configuration.organization:
            return self.configuration.organization
        own = self.client.tokens.who_am_i().organization
        if own:
            return last_part(own)
        found = list(self.client.organizations.list(limit=2))
        if not found:
            raise LocalError("there is no organization yet; make one with `relctl org create SLUG`")
        if len(found) > 1:
            raise LocalError("there are several organizations; say which with --org, or set RELCTL_ORG")
        return found[0].slug

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._client is not None:
            self._client.close()

    def show(self, message: MessageT, columns: Columns[MessageT]) -> None:
        """Show one thing: its values below one another, or as a line of JSON."""
        if self.json:
            print_json(message)
            return
        grid = Table.grid(padding=(0, 2))
        for title, value in columns:
            text = cell(value(message))
            if text:
                grid.add_row(Text(title, style="dim"), Text(text, overflow="fold"))
        _print(grid)

    def show_list(self, messages: Iterable[MessageT], columns: Columns[MessageT], *, nothing: str) -> None:
        """Show many things: a table, or a line of JSON each; when there are none, say `nothing` beside the output."""
        if self.json:
            for message in messages:
                print_json(message)
            return
        rows: list[list[str]] = []
        shown = False
        for message in messages:
            rows.append([cell(value(message)) for _, value in columns])
            if len(rows) == TABLE_ROWS:
                _print_table([title for title, _ in columns], rows, with_header=not shown)
                rows, shown = [], True
        if rows:
            _print_table([title for title, _ in columns], rows, with_header=not shown)
        elif not shown:
            note(nothing)

    def show_table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table of texts, for people."""
        _print_table(list(titles), [[one_line(text) for text in row] for row in rows], with_header=True)

    def show_lines(self, values: Iterable[str], *, nothing: str) -> None:
        """Show texts, one a line, for people and scripts; when there are none, say `nothing` beside the output."""
        shown = False
        for value in values:
            click.echo(one_line(value))
            shown = True
        if not shown:
            note(nothing)

    def show_values(self, values: Mapping[str, int]) -> None:
        """Show numbers by name, as a line of JSON."""
        click.echo(json.dumps(values))

    def say(self, text: str) -> None:
        """Tell a person what was done; scripts that asked for JSON get none of it."""
        if not self.json:
            click.echo(one_line(text))


def print_json(message: Message) -> None:
    """Print a message as one line: its proto JSON with the names of the protos, every field there."""
    values = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    click.echo(json.dumps(values, ensure_ascii=False).encode())  # JSON is UTF-8, whatever the locale says


def note(text: str) -> None:
    """Tell a person something beside the output."""
    click.echo(one_line(text), err=True)


def cell(value: object) -> str:
    """A value as a cell of a table shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return one_line(str(value))


def is_terminal() -> bool:
    """Whether a person watches what the program says beside its output."""
    return sys.stderr.isatty()


def _print(table: Table, *, narrowest: int = 0) -> None:
    # Where a terminal is too narrow, whole lines that it wraps are easier to read than columns of broken words.
    if sys.stdout.isatty() and narrowest <= (terminal := Console(highlight=False)).width:
        terminal.print(table)
        return
    console = Console(highlight=False, width=FILE_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def _print_table(titles: list[str], rows: list[list[str]], *, with_header: bool) -> None:
    table = Table(box=None, pad_edge=False, show_header=with_header, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    columns = zip(*([titles, *rows] if with_header else rows), strict=True)
    _print(table, narrowest=sum(min(LONG_TEXT, max(map(cell_len, column))) + 2 for column in columns) - 2)
