"""The flags that set and remove labels of releases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class Label(click.ParamType[tuple[str, str]]):
    """A label: `KEY=VALUE`."""

    name = "label"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Read the text of a flag. The first `=` ends the key."""
        if isinstance(value, tuple):
            return value
        key, separator, text = value.partition("=")
        if not (key and separator and text):
            self.fail(f"{value!r} is no label; write KEY=VALUE", param, ctx)
        return key, text


LABEL: Final = Label()


def label_option(command: CommandT) -> CommandT:
    """Add `--label`: the labels to set."""
    return click.option(
        "--label", "labels", type=LABEL, multiple=True, metavar="KEY=VALUE", help="A label to set; repeat for more."
    )(command)


def remove_label_option(command: CommandT) -> CommandT:
    """Add `--remove-label`: the labels to remove."""
    return click.option(
        "--remove-label",
        "removed_labels",
        multiple=True,
        metavar="KEY",
        help="A label to remove, if it is there; repeat for more.",
    )(command)
