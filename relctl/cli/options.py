"""The flags that every command takes, in front of the command or behind it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from relctl.cli.application import Application
from relctl.cli.failures import Declined

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

pass_application = click.make_pass_decorator(Application)

# Behind a command only these show in its help; the others work there as well.
SHOWN_EVERYWHERE: Final = frozenset({"json", "organization"})


def shared_options(*, at_root: bool) -> list[click.Option]:
    """The flags, as the root takes them (where the environment speaks too) or as a command does."""

    def remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
        application = context.find_root().ensure_object(Application)
        if value is None or parameter.name is None:
            return
        if parameter.name == "json":
            application.json = application.json or bool(value)
        else:
            application.said[parameter.name] = value

    def option(*names: str, envvar: str | None = None, **extra: Any) -> click.Option:
        parameter = click.Option(
            names,
            envvar=envvar if at_root else None,
            show_envvar=at_root,
            expose_value=False,
            callback=remember,
            default=None,
            **extra,
        )
        parameter.hidden = not at_root and parameter.name not in SHOWN_EVERYWHERE
        return parameter

    return [
        option("--server", envvar="RELCTL_SERVER", metavar="HOST:PORT", help="The server. [default: 127.0.0.1:50051]"),
        option("--token", envvar="RELCTL_TOKEN", metavar="SECRET", help="The token to call with."),
        option(
            "--org", "organization", envvar="RELCTL_ORG", metavar="SLUG", help="The organization; else the token's own."
        ),
        option(
            "--tls/--plaintext",
            "tls",
            envvar="RELCTL_TLS",
            help="Encrypt or not. [default: encrypt, but not on this machine]",
        ),
        option(
            "--tls-ca", envvar="RELCTL_TLS_CA", metavar="FILE", help="Trust these certificates instead of the system's."
        ),
        option(
            "--certificate",
            envvar="RELCTL_CERTIFICATE",
            metavar="FILE",
            help="Present this certificate, PEM, to a server that asks for one.",
        ),
        option("--key", envvar="RELCTL_KEY", metavar="FILE", help="The private key of the certificate, PEM."),
        option(
            "--allow-plain-text",
            "plain_text",
            envvar="RELCTL_PLAIN_TEXT",
            is_flag=True,
            help="Send the token to another machine even where it travels readable.",
        ),
        option("--caller", envvar="RELCTL_CALLER", metavar="TEXT", help="On whose behalf, kept with activities."),
        option(
            "--timeout",
            envvar="RELCTL_TIMEOUT",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="How long a call may take that does not stream. [default: 30]",
        ),
        option("--json", is_flag=True, help="Print JSON, an object a line, instead of tables."),
    ]


class Leaf(click.Command):
    """A command that does something: it takes the shared flags as well."""

    def __init__(self, *arguments: Any, **extra: Any) -> None:
        super().__init__(*arguments, **extra)
        if self.help is not None:
            # Docstrings are raw, so click's mark for a block that is not to be wrapped stands in them as two letters.
            self.help = self.help.replace("\\b\n", "\b\n")
        self.params.extend(shared_options(at_root=False))


class Folder(click.Group):
    """A group of commands."""

    command_class = Leaf


Folder.group_class = Folder


def limit_option(command: CommandT) -> CommandT:
    """Add `--limit`: how many items a list shows."""
    return click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the first N.")(command)


def yes_option(command: CommandT) -> CommandT:
    """Add `--yes`, for commands that ask before they change much."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)


def need_somebody(*, yes: bool) -> None:
    """Go on only if somebody is there to be asked, or nobody has to be because of `--yes`."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked: say --yes to go on")


def ask(question: str, *, yes: bool, declined: str) -> None:
    """Go on only if somebody says yes, or said so with `--yes`; else raise Declined with what was not done."""
    need_somebody(yes=yes)
    if not yes and not click.confirm(question, err=True):
        raise Declined(declined)
