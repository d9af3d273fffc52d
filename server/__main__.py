"""`release-server`: serve, make an operator's token, work on what is stored beside serving it, tell the settings."""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final

from server.app import CannotListen, Server, open_server, open_settings_database
from server.logs import start_logging
from server.memory import keep_freed_blocks
from server.methods import ContractBroken
from server.operating import adoption, check, collect
from server.settings import Settings, SettingWrong, default_data_folder, is_loopback, markdown, read_settings
from store.access.operators import add_operator_token
from store.database import CannotOpen
from store.errors import InvalidField, RegistryError

log = logging.getLogger("server.main")

# sysexits.h: a setting is wrong; something that is needed is not there; the program is.
EX_CONFIG: Final = 78
EX_UNAVAILABLE: Final = 69
EX_SOFTWARE: Final = 70

# As every display name: the table of limits in annotations.proto.
MAX_NAME_CHARS: Final = 200

# Addresses that are listened on, and how a client of this machine calls them.
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - names it, listens on nothing

USAGE: Final = """release-server knows what was released.

  release-server [serve] [flags]         serve until SIGTERM or SIGINT; `release-server serve --help` tells the flags
  release-server token create [flags]    make one more operator's token and print its secret
  release-server check [flags]           verify what is stored, rows against bytes and bytes against rows
  release-server collect [flags]         remove the bytes that no file refers to any more
  release-server adoption [flags]        find out now which releases are adopted or replaced
  release-server settings                print all settings, variables and flags, as docs/settings.md does
  release-server --version               print the version
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit: 0 when all went well, 78 for a wrong setting, 69 when something needed is not there."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_run(words))
    except SettingWrong as error:
        _say(str(error), EX_CONFIG)
    except (CannotListen, CannotOpen) as error:
        _say(str(error), EX_UNAVAILABLE)
    except InvalidField as error:  # the operator's token is the one field that a start may refuse
        _say(error.message, EX_CONFIG)
    except RegistryError as error:
        _say(error.message, EX_UNAVAILABLE)
    except ContractBroken as error:
        _say(str(error), EX_SOFTWARE)
    except OSError as error:
        _say(f"{error.filename or 'The server'}: {error.strerror}.", EX_UNAVAILABLE)


def _run(words: list[str]) -> int:
    match words:
        case ["settings"]:
            print(markdown(), end="")
            return 0
        case ["-h" | "--help" | "help"]:
            print(USAGE, end="")
            return 0
        case ["--version"]:
            print(f"release-server, version {importlib.metadata.version('release-registry')}")
            return 0
        case ["token", "create", *flags]:
            return _create_token(flags)
        case ["check", *flags]:
            return _told(*check(flags))
        case ["collect", *flags]:
            return _told(*collect(flags))
        case ["adoption", *flags]:
            return _told(*adoption(flags))
        case ["serve", *flags]:
            return _serve(read_settings(flags))
        case [first, *_] if not first.startswith("-"):
            command = " ".join(takewhile(lambda word: not word.startswith("-"), words))
            raise SettingWrong(f"{command!r} is no command. `release-server --help` tells them.")
        case flags:
            return _serve(read_settings(flags))


def _told(lines: list[str], code: int) -> int:
    for line in lines:
        print(line)
    return code


def _say(text: str, code: int) -> None:
    print(f"release-server: {text}", file=sys.stderr)
    sys.exit(code)


# --- serve -------------------------------------------------------------------------------------------------------


class _Signals:
    """The signals that ask the server to end, waited for instead of handled.

    A handler would run on the main thread only, and a signal that the system hands to another thread does not wake it.
    """

    ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})

    def __init__(self) -> None:
        # Threads inherit what is blocked, so this comes before any is made.
        signal.pthread_sigmask(signal.SIG_BLOCK, self.ENDING)

    def wait(self) -> None:
        """Return when one has come."""
        signal.sigwait(self.ENDING)

    def came_again(self) -> bool:
        """Whether another one has come since."""
        return signal.sigtimedwait(self.ENDING, 0) is not None


def _serve(settings: Settings) -> int:
    start_logging(settings.log_level)
    keep_freed_blocks()
    signals = _Signals()
    server = open_server(settings)
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    _greet(server)
    log.info("serving", extra={"fields": {"address": server.address, "data": str(settings.data)}})
    signals.wait()
    server.drain(seconds=settings.drain_seconds, hurry=signals.came_again)
    ended = server.close()
    log.info("stopped")
    if not ended:
        # Python would wait for the threads of handlers that do not notice that their calls were cut.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _greet(server: Server) -> None:
    """Tell a person what to try next: on a terminal at every start, elsewhere at the one that made the token.

    A log collector so gets the JSON line alone, but whoever set the server up finds the token's place in its log.
    """
    settings = server.settings
    if not (server.made_operator_token or sys.stdout.isatty()):
        return
    if settings.bootstrap_token is not None:
        token = "the value of RELEASES_BOOTSTRAP_TOKEN"  # noqa: S105 - says where it is
    elif settings.operator_token_file.exists():
        token = str(settings.operator_token_file)
    else:
        token = "not kept here; `release-server token create` makes another"  # noqa: S105 - says where it is
    kind = "" if settings.tls_certificate else " (plain text)"
    lines = [
        f"Release registry listens on {server.address}{kind}",
        f"  data              {settings.data}",
        *([f"  files             {settings.blobs}"] if settings.blobs else []),
        f"  operator's token  {token}",
        "Try next, in another terminal:",
        f"  {_environment(server)}{_relctl()} org create acme",
    ]
    print("\n".join(lines), flush=True)


def _environment(server: Server) -> str:
    """What the next command must be told because it is not as it expects by itself."""
    settings = server.settings
    host, _, port = server.address.rpartition(":")
    address = f"{_ANY_ADDRESS.get(host, host)}:{port}"
    words = []
    if address != "127.0.0.1:50051":
        words.append(f"RELCTL_SERVER={address}")
    if settings.tls_certificate is not None:
        words.append("RELCTL_TLS=yes")
    if settings.bootstrap_token is not None:
        words.append("RELCTL_TOKEN=$RELEASES_BOOTSTRAP_TOKEN")
    elif not settings.operator_token_file.exists():
        words.append("RELCTL_TOKEN=SECRET")
    elif settings.data != default_data_folder() or not is_loopback(address):  # where, and for whom, relctl looks
        words.append(f"RELCTL_TOKEN=$(cat {shlex.quote(str(settings.operator_token_file))})")
    return "".join(word + " " for word in words)


def _relctl() -> str:
    """How a shell finds `relctl`: by its name, else where it is installed beside this program, as `make serve` does."""
    beside = Path(sys.executable).with_name("relctl")
    return "relctl" if shutil.which("relctl") or not beside.exists() else str(beside)


# --- token create ------------------------------------------------------------------------------------------------


def _create_token(flags: Sequence[str]) -> int:
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    default = "made by release-server token create"
    own.add_argument("--name", metavar="TEXT", default=default, help=f"What the token is called. [{default}]")
    settings = read_settings(flags, program="release-server token create", own=[own])
    named, _ = own.parse_known_args(flags)
    if not 0 < len(named.name) <= MAX_NAME_CHARS or not named.name.isprintable():
        raise SettingWrong(f"--name must have 1 to {MAX_NAME_CHARS} characters, none of them a control character.")
    start_logging("error")
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        db = open_settings_database(settings)
    except CannotOpen as error:
        if settings.uses_sqlite and "in use by another" in str(error):
            text = "A server is running on this data folder and has the database to itself: use `relctl token create`."
            raise CannotOpen(text) from None
        raise
    try:
        db.migrate()
        print(add_operator_token(db, named.name))
    finally:
        db.close()
    return 0


if __name__ == "__main__":
    main()
