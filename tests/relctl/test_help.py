"""What relctl tells of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import version

import click
import pytest

from relctl.cli import EPILOG
from relctl.cli import relctl as program
from relctl.cli.configuration import Configuration
from relctl.cli.options import shared_options
from tests.relctl.command_line import Relctl


@pytest.mark.parametrize("words", [(), ("release",), ("release", "create")])
def test_help_has_a_short_flag_everywhere(relctl: Relctl, words: tuple[str, ...]) -> None:
    assert relctl.ok(*words, "-h").out == relctl.ok(*words, "--help").out


def test_the_version_is_told(relctl: Relctl) -> None:
    assert relctl.ok("--version").out == f"relctl, version {version('release-registry-client')}\n"


def test_an_answer_of_no_has_a_documented_exit_code(relctl: Relctl) -> None:
    assert "1 refused by the server, or by you when asked" in relctl.ok("--help").out


def commands(group: click.Group) -> Iterator[click.Command]:
    """All commands below the group."""
    for command in group.commands.values():
        yield from commands(command) if isinstance(command, click.Group) else [command]


def test_no_argument_of_a_command_is_taken_for_a_flag_that_all_share() -> None:
    shared = {option.name for option in shared_options(at_root=False)}
    own = {
        command.name: shared.intersection(
            parameter.name for parameter in command.params if parameter.expose_value or parameter.name not in shared
        )
        for command in commands(program)
    }
    assert {name: both for name, both in own.items() if both} == {}


def test_the_help_tells_every_key_of_the_file_of_settings() -> None:
    assert ", ".join(field.name for field in fields(Configuration)) in " ".join(EPILOG.split())
