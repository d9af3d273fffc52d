"""How a failure is told: one line, and an exit code."""

from __future__ import annotations

from typing import Final

import grpc

from relctl.cli.text import one_line
from relctl.errors import RegistryError

REFUSED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NOT_ALLOWED: Final = 4
UNAVAILABLE: Final = 5
LOCAL: Final = 6
INTERRUPTED: Final = 130

EXIT_CODES: Final = {
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED: NOT_ALLOWED,
    grpc.StatusCode.PERMISSION_DENIED: NOT_ALLOWED,
    grpc.StatusCode.UNAVAILABLE: UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: UNAVAILABLE,
}


class Declined(Exception):
    """Whoever was asked whether to go on said no; the text says what was not done."""


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
