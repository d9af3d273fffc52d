"""What updates come to: which of them count, and what that changes in the sums of their hours. Nothing is read here.

The state of a session is its update with the highest sequence; of equal ones that with the graver status, then that
with more errors. It counts in the hour and the series that its first told update named. See behaviour.md, Sessions.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from operator import itemgetter
from typing import Final, TypeAlias

from store.health.items import SessionCounts, SessionStatus, SessionUpdate
from store.health.windows import HOUR_US

Place: TypeAlias = tuple[str, str, int]
"""What is summed up together: version (empty for all together), environment, and the beginning of the hour."""

ALL_VERSIONS: Final = ""

# Compared a thousand times a batch: a member of an enum takes longer.
_EXITED: Final = int(SessionStatus.EXITED)
_ABNORMAL: Final = int(SessionStatus.ABNORMAL)
_CRASHED: Final = int(SessionStatus.CRASHED)


SessionRow: TypeAlias = tuple[bytes, bytes, int, int, int, int, int]
"""A session as it is kept: its id, that of its series, the hour, sequence, status, errors, and 1 if its duration was
counted. No class of its own: a thousand come at once."""


class Change:
    """What is to be added to the sums of a place: users as numbers, durations in seconds, and when the first and the
    last of the sessions began that are new here. Whoever knows the place's series sets series_id and days_until."""

    __slots__ = (
        "abnormal_count",
        "crashed_count",
        "crashed_users",
        "days_until",
        "durations",
        "error_count",
        "errored_count",
        "first_time",
        "last_time",
        "place",
        "series_id",
        "session_count",
        "starts",
        "users",
    )

    def __init__(self, place: Place) -> None:
        self.place = place
        self.first_time: int | None = None
        self.last_time: int | None = None
        self.series_id = b""
        self.days_until = 0
        self.session_count = self.crashed_count = self.abnormal_count = self.errored_count = self.error_count = 0
        self.users: set[int] = set()
        self.crashed_users: set[int] = set()
        self.durations: list[float] = []
        self.starts: list[int] = []  # of which the first and the last are wanted, once all are there

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """The sums, in the order of the columns."""
        return self.session_count, self.crashed_count, self.abnormal_count, self.errored_count, self.error_count

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to add."""
        return not (self.users or self.durations or any(self.counts))

    def count(self, status: int, error_count: int, sessions: int) -> None:
        """A session is in this state (1), or no longer (-1); how many there are stays as it is."""
        if status == _CRASHED:
            self.crashed_count += sessions
        elif status == _ABNORMAL:
            self.abnormal_count += sessions
        elif error_count:
            self.errored_count += sessions
        self.error_count += sessions * error_count

    def add(self, other: Change) -> None:
        """Add another change."""
        self.session_count += other.session_count
        self.crashed_count += other.crashed_count
        self.abnormal_count += other.abnormal_count
        self.errored_count += other.errored_count
        self.error_count += other.error_count
        self.users |= other.users
        self.crashed_users |= other.crashed_users
        self.durations += other.durations
        if other.first_time is not None and (self.first_time is None or other.first_time < self.first_time):
            self.first_time = other.first_time
        if other.last_time is not None and (self.last_time is None or other.last_time > self.last_time):
            self.last_time = other.last_time


class Settling:
    """What updates and counts of one project come to, told one after the other."""

    def __init__(self, users: Mapping[str, int]) -> None:
        """With the number of each user that will be told of."""
        self._users = users
        self._kept: dict[bytes, SessionRow] = {}
        # Of each session its sequence, status and errors, and where it counts; None: nowhere, its series is gone.
        self._states: dict[bytes, tuple[int, int, int]] = {}
        self._places: dict[bytes, Change | None] = {}
        self._timed: set[bytes] = set()
        self._changed: list[tuple[bytes, Change]] = []
        self._changes: dict[Place, Change] = {}
        self.recorded = self.known = 0
        self.counted: dict[bytes, int] = {}
        """The hours of the counts that were not known, by id."""

    def know(self, rows: Iterable[SessionRow], series: Mapping[bytes, tuple[str, str]]) -> None:
        """These sessions were told before. series are the version and environment of each series that still counts."""
        for row in rows:
            id_, series_id, hour, sequence, status, errors, timed = row
            of = series.get(series_id)
            self._kept[id_] = row
            self._states[id_] = (sequence, status, errors)
            self._places[id_] = None if of is None else self._change((*of, hour))
            if timed:
                self._timed.add(id_)

    def settle(self, updates: Iterable[SessionUpdate]) -> None:
        """Settle updates in the order in which they were told."""
        states, places, timed, users = self._states, self._places, self._timed, self._users
        change: Change | None
        recorded = known = 0
        for id_, user, sequence, status, errors, start, duration, version, environment, _ in updates:
            state = states.get(id_)
            if state is None:
                change = places[id_] = self._change((version, environment, start - start % HOUR_US))
                change.session_count += 1
                change.starts.append(start)
            else:
                change = places[id_]
                if change is None:
                    known += 1
                    continue
            if state is None or (sequence, status, errors) > state:
                states[id_] = (sequence, status, errors)
                recorded += 1
            else:
                known += 1
            if user:
                number = users[user]
                change.users.add(number)
                if status == _CRASHED:
                    change.crashed_users.add(number)
            if status == _EXITED and duration is not None and id_ not in timed:
                timed.add(id_)
                change.durations.append(duration / 1_000_000)
        self.recorded += recorded
        self.known += known

    def settle_counts(self, counts: Iterable[SessionCounts], known: Container[bytes]) -> None:
        """Add counts, but for those whose ids are known."""
        for told in counts:
            if told.counts_id in known or told.counts_id in self.counted:
                self.known += 1
                continue
            self.recorded += 1
            hour = self.counted[told.counts_id] = told.start_time - told.start_time % HOUR_US
            sessions = told.exited_count + told.errored_count + told.abnormal_count + told.crashed_count
            if not sessions:
                continue
            change = self._change((told.version, told.environment, hour))
            change.session_count += sessions
            change.crashed_count += told.crashed_count
            change.abnormal_count += told.abnormal_count
            change.errored_count += told.errored_count
            change.error_count += told.errored_count + told.crashed_count  # one each: nobody says how many
            change.starts.append(told.start_time)
            if told.user:
                number = self._users[told.user]
                change.users.add(number)
                if told.crashed_count:
                    change.crashed_users.add(number)

    def finish(self) -> list[Change]:
        """What is to be added, all versions together included; called once, behind all that was told."""
        kept, places, changed = self._kept, self._places, self._changed
        for id_, state in self._states.items():
            change = places[id_]
            if change is None:
                continue
            before = kept.get(id_)
            if before is None:
                changed.append((id_, change))
            elif before[3:6] != state:
                change.count(before[4], before[5], -1)
                changed.append((id_, change))
            else:
                if not before[6] and id_ in self._timed:
                    changed.append((id_, change))
                continue
            change.count(state[1], state[2], 1)
        changes = [change for change in self._changes.values() if not change.is_nothing]
        together: dict[Place, Change] = {}
        for change in changes:
            _, environment, hour = change.place
            place = (ALL_VERSIONS, environment, hour)
            if change.starts:
                change.first_time, change.last_time = min(change.starts), max(change.starts)
            if place not in together:
                together[place] = Change(place)
            together[place].add(change)
        return [*changes, *together.values()]

    def sessions(self) -> list[SessionRow]:
        """What is to be kept anew, in the order of ids; once all is finished and the changes know their series."""
        kept, states, timed = self._kept, self._states, self._timed
        self._changed.sort(key=itemgetter(0))
        return [
            (
                id_,
                kept[id_][1] if id_ in kept else change.series_id,
                change.place[2],
                *states[id_],
                1 if id_ in timed else 0,
            )
            for id_, change in self._changed
        ]

    def _change(self, place: Place) -> Change:
        change = self._changes.get(place)
        if change is None:
            change = self._changes[place] = Change(place)
        return change
