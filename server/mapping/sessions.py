"""Sessions: what clients tell to what the store takes, and what it answers to messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final, NamedTuple

from releaseregistry.v1 import sessions_pb2 as pb

from server.edge.errors import InvalidName
from server.edge.validation import problems_one_by_one
from server.mapping.projects import named_project
from store.access.projects import ProjectSlugText
from store.errors import FrameOutOfOrder, InvalidField
from store.health.items import (
    MAX_DURATION_US,
    MAX_ERRORS,
    Recorded,
    Refusal,
    SessionCounts,
    SessionStatus,
    SessionUpdate,
)

MAX_REFUSED: Final = 100
"""So many refused items are told of."""

UPDATES: Final = "updates"
COUNTS: Final = "counts"

_UPDATE: Final = attrgetter(
    "session_id",
    "distinct_user_id",
    "sequence",
    "status",
    "error_count",
    "start_time.seconds",
    "start_time.nanos",
    "version",
    "environment",
    "project",
)
_COUNTS_OF: Final = attrgetter(
    "counts_id",
    "start_time.seconds",
    "start_time.nanos",
    "exited_count",
    "errored_count",
    "abnormal_count",
    "crashed_count",
    "distinct_user_id",
    "version",
    "environment",
    "project",
)
_PROJECT: Final = attrgetter("project")
_ERRORS: Final = attrgetter("error_count")
_COUNT_FIELDS: Final = ("exited_count", "errored_count", "abnormal_count", "crashed_count")
_ALL_COUNTS: Final = attrgetter(*_COUNT_FIELDS)
_OK: Final = int(SessionStatus.OK)
_UPDATE_OF: Final = partial(tuple.__new__, SessionUpdate)  # as _make does, without a call into Python for each


class Sent(NamedTuple):
    """The items of a message that can be shown to the store, with their places, and those that cannot."""

    updates: Sequence[SessionUpdate]
    update_places: Sequence[int]
    counts: Sequence[SessionCounts]
    counts_places: Sequence[int]
    refused: Sequence[Refusal]


class Receipt:
    """What was done with the items of one message, or of several."""

    def __init__(self) -> None:
        self._recorded = self._known = self._refused_count = 0
        self._refused: dict[str, list[Refusal]] = {UPDATES: [], COUNTS: []}

    def add(self, recorded: Recorded, refused: Sequence[Refusal]) -> None:
        """Add what the store did with a message, and what had been refused before."""
        self._recorded += recorded.recorded
        self._known += recorded.known
        both = sorted((*refused, *recorded.refused))
        self._refused_count += len(both)
        for refusal in both:
            told = self._refused[refusal.items]
            if len(told) < MAX_REFUSED:
                told.append(refusal)

    def message(self) -> pb.RecordedSessions:
        """The same as the answer says it."""
        told = [*self._refused[UPDATES], *self._refused[COUNTS]]
        return pb.RecordedSessions(
            recorded_count=self._recorded,
            known_count=self._known,
            refused_count=self._refused_count,
            refused=[
                pb.RefusedSession(field=refusal.path, reason=refusal.reason, description=refusal.description)
                for refusal in told[:MAX_REFUSED]
            ],
        )


def sent_items(request: Any, organization: str, *, updates_before: int = 0, counts_before: int = 0) -> Sent:
    """The items of a RecordSessionsRequest or a StreamSessionsRequest, of the organization that the call names so.

    Places are counted on from those before.
    """
    names = _Names(organization)
    refused: list[Refusal] = []
    # As lists: a repeated field makes its messages anew each time that it is gone through.
    updates = _sent(_UPDATES, list(request.updates), updates_before, names, refused)
    counts = _sent(_COUNTS, list(request.counts), counts_before, names, refused)
    return Sent(*updates, *counts, refused)


def session_messages(requests: Iterator[pb.StreamSessionsRequest]) -> Iterator[pb.StreamSessionsRequest]:
    """The messages of a stream: the first names the organization, the last says finish, and then it ends.

    Raises FrameOutOfOrder for another order, InvalidField for a later message that is of another organization.
    """
    first = request = next(requests, None)
    if first is None:
        raise FrameOutOfOrder(expected="a message with parent", found="end")
    parent = first.parent
    if not parent:
        raise InvalidField("parent", "is required in the stream's first message")
    del first  # not held for as long as the stream lasts: it has up to 4 MiB
    while request is not None:
        if request.parent not in ("", parent):
            raise InvalidField("parent", "differs from that of the stream's first message; leave it empty")
        finish = request.finish
        yield request
        request = next(requests, None)
        if finish:
            if request is not None:
                raise FrameOutOfOrder(expected="end", found="a message behind finish")
            return
    # The client is gone, or failed in the middle of sending: both look like a stream that just ends.
    raise FrameOutOfOrder(expected="sessions or finish", found="end")


class _Names:
    """The projects that items name: each name is read once."""

    def __init__(self, organization: str) -> None:
        self._organization = organization
        self.projects: dict[str, ProjectSlugText] = {}
        self.bad: dict[str, str] = {}

    def read(self, names: set[str]) -> None:
        """Read these, good or bad."""
        for name in names - self.projects.keys() - self.bad.keys():
            try:
                self.projects[name] = named_project(name, self._organization, field="project")
            except InvalidName as error:
                self.bad[name] = error.violations[0].description


class _Kind(NamedTuple):
    """How items of one list are read: by columns, because one by one they take several times as long.

    make turns good messages into items; are_within says whether all of these keep to the limits that are no rules of
    the contract; problem_of finds in a message what is wrong, as its field and a description.
    """

    name: str
    make: Callable[[list[Any], _Names], list[Any]]
    are_within: Callable[[list[Any]], bool]
    problem_of: Callable[[Any], tuple[str, str] | None]


def _sent(
    kind: _Kind, items: list[Any], before: int, names: _Names, refused: list[Refusal]
) -> tuple[Sequence[Any], Sequence[int]]:
    """What good messages say, and their places; what is wrong with each of the others is added."""
    if not items:
        return (), ()
    asked = set(map(_PROJECT, items))
    names.read(asked)
    problems = {index: (bad.field, bad.description) for index, bad in problems_one_by_one(items).items()}
    if not problems and names.bad.keys().isdisjoint(asked):
        made = kind.make(items, names)
        if kind.are_within(made):
            return made, range(before, before + len(items))
    for index, item in enumerate(items):
        problem = problems.get(index) or kind.problem_of(item)
        if problem is None and item.project in names.bad:
            problem = ("project", names.bad[item.project])
        if problem is not None:
            problems[index] = problem
    refused += [
        Refusal(kind.name, before + index, field, InvalidField.reason, description)
        for index, (field, description) in problems.items()
    ]
    good = [index for index in range(len(items)) if index not in problems]
    return kind.make([items[index] for index in good], names), [before + index for index in good]


def _made_updates(items: list[Any], names: _Names) -> list[SessionUpdate]:
    if not items:
        return []
    ids, users, sequences, statuses, errors, seconds, nanos, *texts, projects = zip(*map(_UPDATE, items), strict=True)
    columns = (
        _uuids(ids),
        users,
        sequences,
        [status or _OK for status in statuses],
        errors,
        map(_time, seconds, nanos),
        [_micros(item.duration) if item.HasField("duration") else None for item in items],
        *texts,
        map(names.projects.__getitem__, projects),
    )
    return list(map(_UPDATE_OF, zip(*columns, strict=True)))


def _updates_are_within(updates: list[SessionUpdate]) -> bool:
    durations = [update.duration for update in updates if update.duration is not None]
    return max(map(_ERRORS, updates)) <= MAX_ERRORS and (
        not durations or (min(durations) >= 0 and max(durations) <= MAX_DURATION_US)
    )


def _update_problem(update: pb.SessionUpdate) -> tuple[str, str] | None:
    if update.error_count > MAX_ERRORS:
        return "error_count", f"is {update.error_count}, and at most {MAX_ERRORS:,} are allowed"
    if update.HasField("duration"):
        duration = _micros(update.duration)
        if duration < 0:
            return "duration", "is negative"
        if duration > MAX_DURATION_US:
            return "duration", "is longer than 365 days"
    return None


def _made_counts(items: list[Any], names: _Names) -> list[SessionCounts]:
    if not items:
        return []
    ids, seconds, nanos, *rest, projects = zip(*map(_COUNTS_OF, items), strict=True)
    columns = (_uuids(ids), map(_time, seconds, nanos), *rest, map(names.projects.__getitem__, projects))
    return list(map(SessionCounts._make, zip(*columns, strict=True)))


def _counts_are_within(counts: list[SessionCounts]) -> bool:
    most: int = max(map(max, map(_ALL_COUNTS, counts)))
    return most <= MAX_ERRORS


def _counts_problem(counts: pb.SessionCounts) -> tuple[str, str] | None:
    for field, count in zip(_COUNT_FIELDS, _ALL_COUNTS(counts), strict=True):
        if count > MAX_ERRORS:
            return field, f"is {count}, and at most {MAX_ERRORS:,} are allowed"
    return None


def _micros(duration: Any) -> int:
    micros: int = duration.seconds * 1_000_000 + duration.nanos // 1000
    return micros


def _time(seconds: int, nanos: int) -> int:
    return seconds * 1_000_000 + nanos // 1000


def _uuids(texts: Iterable[str]) -> list[bytes]:
    """The 16 bytes of each: a UUID object takes five times as long."""
    together = bytes.fromhex("".join(texts).replace("-", ""))
    return [together[start : start + 16] for start in range(0, len(together), 16)]


_UPDATES: Final = _Kind(UPDATES, _made_updates, _updates_are_within, _update_problem)
_COUNTS: Final = _Kind(COUNTS, _made_counts, _counts_are_within, _counts_problem)
