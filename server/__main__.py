"""`release-server`: serve, make an operator's token, work on what is stored beside serving it, tell the settings."""

from __future__ import annotations

import importlib.metadata
import pkgutil
import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from server.exits import TOLD, told
from server.settings import SettingWrong, markdown

COMMANDS: Final = {
    "serve": "serve:serve",
    "check": "storage:check",
    "collect": "storage:collect",
    "adoption": "storage:adoption",
    "backup": "backup:backup",
    "restore": "backup:restore",
    "doctor": "doctor:doctor",
    "health": "health:health",
}
"""The module of `server.commands` and the function in it that carries a command out."""

USAGE: Final = """release-server knows what was released.

  release-server [serve] [flags]         serve until SIGTERM or SIGINT; `release-server serve --help` tells the flags
  release-server token create [flags]    make one more operator's token and print its secret
  release-server check [flags]           verify what is stored, rows against bytes and bytes against rows
  release-server collect [flags]         remove the bytes that no file refers to any more
  release-server adoption [flags]        find out now which releases are adopted or replaced
  release-server backup FOLDER [flags]   copy the database and all files to a new folder, while the server works
  release-server restore FOLDER [flags]  bring a backup back, to an empty database and an empty place for files
  release-server doctor [flags]          look for what is wrong with settings and machine, and say what to do
  release-server health [flags]          ask the server whether it serves: exit code 0 when it does
  release-server settings                print all settings, variables and flags, as docs/settings.md does
  release-server --version               print the version
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit: 0 when all went well, 78 for a wrong setting, 69 when something needed is not there."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_run(words))
    except TOLD as error:
        text, code = told(error)
        print(f"release-server: {text}", file=sys.stderr)
        sys.exit(code)


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
            return _command("tokens:create_token", flags)
        case [name, *flags] if name in COMMANDS:
            return _command(COMMANDS[name], flags)
        case ["worker", number, descriptor, *flags]:  # the supervisor's word, no operator's
            from server.processes.worker import work

            return work(number, descriptor, flags)
        case [first, *_] if not first.startswith("-"):
            command = " ".join(takewhile(lambda word: not word.startswith("-"), words))
            raise SettingWrong(f"{command!r} is no command. `release-server --help` tells them.")
        case flags:
            return _command(COMMANDS["serve"], flags)


def _command(place: str, flags: Sequence[str]) -> int:
    """Run a command, which answers its exit code, or what to print and that."""
    # Each command brings what it needs: one that supervises others has no gRPC.
    answer: int | tuple[list[str], int] = pkgutil.resolve_name(f"server.commands.{place}")(flags)
    lines, code = ([], answer) if isinstance(answer, int) else answer
    for line in lines:
        print(line)
    return code


if __name__ == "__main__":
    main()
