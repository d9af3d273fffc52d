"""What clients tell of sessions, as the store takes it, and what it answers (behaviour.md, Sessions)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from store.access.projects import ProjectSlugText

MAX_ERRORS: Final = 1_000_000_000
"""The most errors of a session, and the most sessions of one of SessionCounts' kinds."""
MAX_DURATION_US: Final = 365 * 86_400 * 1_000_000
"""The longest duration."""
AHEAD_US: Final = 3_600_000_000
"""How far ahead of the server's clock a session may begin."""


class SessionStatus(IntEnum):
    """How a session stands; of updates with one sequence the higher status counts."""

    OK = 1
    EXITED = 2
    ABNORMAL = 3
    CRASHED = 4


class SessionUpdate(NamedTuple):
    """The state of a session as it was told once.

    session_id are the 16 bytes of its UUID; user is "" where it is unknown. Times are microseconds UTC, duration is
    microseconds or None. environment is "" where nobody says.
    """

    session_id: bytes
    user: str
    sequence: int
    status: int
    error_count: int
    start_time: int
    duration: int | None
    version: str
    environment: str
    project: ProjectSlugText


class SessionCounts(NamedTuple):
    """Sessions that a client counted itself: of one version and environment, begun in one hour, perhaps of one user."""

    counts_id: bytes
    start_time: int
    exited_count: int
    errored_count: int
    abnormal_count: int
    crashed_count: int
    user: str
    version: str
    environment: str
    project: ProjectSlugText


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long what sessions come to is kept, in days.

    session_days is how far back a session may have begun, and for a day more its updates are told apart. hour_days is
    how long hours are kept, days how long days are.
    """

    session_days: int = 31
    hour_days: int = 35
    days: int = 400


class Refusal(NamedTuple):
    """An item that was refused: the list it came in (`updates` or `counts`), its place there, and the field that is
    wrong. reason is as in errors: INVALID_FIELD or PROJECT_FORBIDDEN."""

    items: str
    place: int
    field: str
    reason: str
    description: str

    @property
    def path(self) -> str:
        """The field as a caller sees it, such as `updates[12].start_time`."""
        return f"{self.items}[{self.place}].{self.field}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of items: how many said something new, how many had been told before, and those refused.

    unlinked_projects are those of which sessions of a version came that is not a release yet, as far as is known.
    """

    recorded: int
    known: int
    refused: tuple[Refusal, ...]
    unlinked_projects: frozenset[bytes]
