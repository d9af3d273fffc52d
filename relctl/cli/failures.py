"""How a failure is told: one line, and an exit code."""

from __future__ import annotations

from typing import ClassVar, Final

import grpc
from rich.cells import cell_len

from relctl.cli.text import CONTROL, one_line
from relctl.errors import RegistryError

REFUSED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NOT_ALLOWED: Final = 4
UNAVAILABLE: Final = 5
LOCAL: Final = 6
INTERRUPTED: Final = 130

# How much of a query is shown around the place that cannot be read.
SHOWN_BEFORE: Final = 60
SHOWN_BEHIND: Final = 40

EXIT_CODES: Final = {
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED: NOT_ALLOWED,
    grpc.StatusCode.PERMISSION_DENIED: NOT_ALLOWED,
    grpc.StatusCode.UNAVAILABLE: UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: UNAVAILABLE,
}


class NotDone(Exception):
    """Not all that was asked for is done, though no call failed; `reason` and the text say what, and why."""

    reason: ClassVar[str]


class Declined(NotDone):
    """Whoever was asked whether to go on said no; the text says what was not done."""

    reason = "DECLINED"


class LeftOver(NotDone):
    """Of many things some could not be changed; the text says how many, and why."""

    reason = "LEFT_OVER"


def exit_code(error: RegistryError) -> int:
    """The exit code that a failed call ends the program with."""
    return EXIT_CODES.get(error.code, REFUSED)


def describe(error: RegistryError, server: str) -> str:
    """A failed call in one line: its reason, and what the server or the connection says of it."""
    message = error.message
    if len(error.violations) > 1:
        message = "; ".join(f"{violation.field}: {violation.description}" for violation in error.violations)
    if error.code is grpc.StatusCode.UNAVAILABLE and error.reason == "UNAVAILABLE":
        message = f"cannot reach the server at {server}: {message}"
    if error.reason == "DEADLINE_EXCEEDED":
        message = f"no answer from the server at {server} in time; --timeout gives it more"
    if error.reason == "CREDENTIALS_MISSING":
        message = f"{message} Set RELCTL_TOKEN, or say --token."
    if error.code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN} and error.request_id:
        message = f"{message} (request {error.request_id})"
    return one_line(f"{error.reason}: {message}")


def point_out(error: RegistryError, query: str) -> list[str]:
    """The search query that a call failed for, and below it a caret at the place; of other errors nothing."""
    position = error.metadata.get("position", "")
    if error.reason != "QUERY_INVALID" or not position.isdecimal():
        return []
    place = min(max(int(position) - 1, 0), len(query))
    start, end = max(place - SHOWN_BEFORE, 0), place + SHOWN_BEHIND
    before = ("…" if start else "") + _harmless(query[start:place])
    behind = _harmless(query[place:end]) + ("…" if end < len(query) else "")
    return [f"  {before}{behind}", f"  {' ' * cell_len(before)}^"]


def _harmless(text: str) -> str:
    # Each character in a place of its own, else the caret would stand elsewhere.
    return "".join(" " if CONTROL.match(letter) else letter for letter in text)
