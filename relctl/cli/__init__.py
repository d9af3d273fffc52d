"""The command line: `relctl`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final

import click

from relctl.cli import quiet  # noqa: F401 - before whatever imports grpc
from relctl.cli.activity import activity, environments
from relctl.cli.application import Application
from relctl.cli.avatars import avatar
from relctl.cli.changed_files import changed_files
from relctl.cli.commits import commits
from relctl.cli.compare import compare
from relctl.cli.deploys import current, deploys
from relctl.cli.failures import (
    INTERRUPTED,
    LOCAL,
    NOT_FOUND,
    REFUSED,
    USAGE,
    NotDone,
    describe,
    exit_code,
    point_out,
)
from relctl.cli.files import files
from relctl.cli.health import adoption, health
from relctl.cli.options import Folder, shared_options
from relctl.cli.organizations import org
from relctl.cli.projects import project
from relctl.cli.releases import release
from relctl.cli.repositories import repo
from relctl.cli.sessions import sessions
from relctl.cli.text import one_line
from relctl.cli.thresholds import threshold
from relctl.cli.tokens import token, whoami
from relctl.cli.where import where
from relctl.connection import client_version
from relctl.errors import LocalError, NothingThere, RegistryError

EPILOG: Final = """\b
Settings come from flags, the environment (RELCTL_*), or a file, in this order:
  ~/.config/relctl.toml, or the one that RELCTL_CONFIG names, with the keys
  server, token, organization, tls, tls_ca, certificate, key, plain_text, caller, timeout.
Without a token, and with a server on this machine, the operator's token is read
  from its data folder (RELEASES_DATA, else release-registry in XDG_DATA_HOME, which
  is ~/.local/share when it is not set).

\b
--json prints an object a line: the messages of releaseregistry.v1 as proto JSON,
  with snake_case names, 64-bit numbers as text, times as RFC 3339; empty fields are
  there, times and parts that are not set are not.

\b
Exit codes: 0 done, 1 refused by the server, or by you when asked, 2 wrong usage, 3 not found,
  4 no or wrong credentials, 5 unavailable or too late, 6 a problem on this side
  (git, a file, a setting), 130 interrupted. An error is one line on stderr:
  relctl: RELEASE_NOT_FOUND: ...
Below that of a search query stands the query, and a caret at the place.

\b
Begin with:
  relctl org create acme
  relctl project create web
  relctl release create app@1.0.0 --project web
  relctl release set-commits app@1.0.0 --auto
  relctl files upload app@1.0.0 app.tar.gz
  relctl deploys create app@1.0.0 --env production
  relctl health app@1.0.0
"""


@click.group(
    cls=Folder,
    params=[*shared_options(at_root=True)],
    epilog=EPILOG,
    context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]},
)
@click.version_option(client_version(), prog_name="relctl")
def relctl() -> None:
    """Releases, their commits and their files: the command line of the release registry."""


for command in (
    org,
    avatar,
    project,
    repo,
    token,
    whoami,
    release,
    commits,
    changed_files,
    where,
    compare,
    deploys,
    current,
    environments,
    files,
    sessions,
    health,
    adoption,
    threshold,
    activity,
):
    relctl.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and end it with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the terminal cannot show is no reason to end
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program; answers its exit code. Whatever goes wrong is told in one line on stderr."""
    application = Application()
    try:
        relctl.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="relctl",
            standalone_mode=False,
            obj=application,
        )
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except (BrokenPipeError, SystemExit):
        # Whoever read the output has seen enough (click ends the program with 1 then). Nothing more may be written, at
        # exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (
        RegistryError,
        LocalError,
        NotDone,
        click.ClickException,
        click.Abort,
        KeyboardInterrupt,
        OSError,
        UnicodeEncodeError,
    ) as error:
        text, code = _explain(error, application)
        click.echo(one_line(f"relctl: {text}"), err=True)
        for line in point_out(error, application.query) if isinstance(error, RegistryError) else ():
            click.echo(line, err=True)
        return code
    finally:
        application.close()
    return 0


def _explain(error: BaseException, application: Application) -> tuple[str, int]:
    """What to say of a failure, with its reason first, and the exit code. What is no failure but a defect is raised."""
    match error:
        case RegistryError():
            return describe(error, application.configuration.address()), exit_code(error)
        case NothingThere():
            return f"NOT_FOUND: {error}", NOT_FOUND
        case LocalError():
            return f"LOCAL: {error}", LOCAL
        case NotDone():
            return f"{error.reason}: {error}", REFUSED
        case click.UsageError():
            hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx is not None else ""
            return f"USAGE: {error.format_message().rstrip('.')}{hint}", USAGE
        case click.ClickException():
            return f"LOCAL: {error.format_message()}", LOCAL
        case click.Abort() | KeyboardInterrupt():
            return "INTERRUPTED: nothing more is done", INTERRUPTED
        case UnicodeEncodeError():
            # Bytes of the command line that are no UTF-8 come as lone surrogates, which no message can carry.
            return "USAGE: an argument is not valid UTF-8; name a file with --name", USAGE
        case OSError():
            return f"LOCAL: cannot write the output: {error.strerror or error}", LOCAL
    raise error
