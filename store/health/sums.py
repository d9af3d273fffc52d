"""Adding up what series count: numbers, and sketches.

Merging sketches takes several times what reading them takes, and what is asked again is mostly what was asked before:
days that are over. So what some sketches come to is remembered by the digest of their bytes. Nothing that is remembered
can be out of date: other bytes have another digest.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Any, Final, TypeAlias

from cachetools import LRUCache
from xxhash import xxh3_128

from store.health.sketches import Durations, Users

# Each takes up to 12 KiB: two unions of 4 KiB, and the durations.
_MOST_REMEMBERED: Final = 2_000


class Merged:
    """What sketches come to. Durations in seconds, None where there are none. Never changed once it is made."""

    __slots__ = (
        "crashed_user_count",
        "crashed_users",
        "duration_p50",
        "duration_p90",
        "durations",
        "user_count",
        "users",
    )

    def __init__(self, users: Users, crashed_users: Users, durations: Durations) -> None:
        self.users = users
        self.crashed_users = crashed_users
        self.durations = durations
        self.user_count = users.estimate()
        self.crashed_user_count = crashed_users.estimate()
        self.duration_p50 = durations.quantile(0.5)
        self.duration_p90 = durations.quantile(0.9)


class _Remembered:
    """What was merged last, by digest. Safe to use from any number of threads."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._merged: LRUCache[bytes, Merged] = LRUCache(most)

    def get(self, digest: bytes) -> Merged | None:
        with self._lock:
            return self._merged.get(digest)

    def put(self, digest: bytes, merged: Merged) -> None:
        with self._lock:
            self._merged[digest] = merged

    def clear(self) -> None:
        with self._lock:
            self._merged.clear()


_REMEMBERED: Final = _Remembered(_MOST_REMEMBERED)


def forget() -> None:
    """Remember nothing of what was merged."""
    _REMEMBERED.clear()


_Sketches: TypeAlias = tuple[list[bytes], list[bytes], list[bytes]]
"""Of users, of crashed users, of durations."""


class Sums:
    """What is counted together: rows, each as a `RollupRow` is, or parts that were added up before. Of sketches the
    bytes, until they are asked for."""

    __slots__ = ("_digest", "_merged", "_parts", "_sketches", "abnormal", "crashed", "errored", "errors", "sessions")

    def __init__(self, rows: Sequence[tuple[Any, ...]] = (), parts: Sequence[Sums] = ()) -> None:
        self.sessions = self.crashed = self.abnormal = self.errored = self.errors = 0
        self._sketches: _Sketches = ([], [], [])
        self._parts = parts
        self._digest: bytes | None = None
        self._merged: Merged | None = None
        if rows:
            _, _, sessions, crashed, abnormal, errored, errors, *sketches = zip(*rows, strict=True)
            self.sessions = sum(sessions)
            self.crashed = sum(crashed)
            self.abnormal = sum(abnormal)
            self.errored = sum(errored)
            self.errors = sum(errors)
            of_users, of_crashed_users, of_durations = map(_without_none, sketches)
            self._sketches = of_users, of_crashed_users, of_durations
        for part in parts:
            self.sessions += part.sessions
            self.crashed += part.crashed
            self.abnormal += part.abnormal
            self.errored += part.errored
            self.errors += part.errors

    @classmethod
    def of_users(cls, sketches: list[bytes]) -> Sums:
        """Only users, of sketches of them."""
        sums = cls()
        sums._sketches = sketches, [], []
        return sums

    def digest(self) -> bytes:
        """Tells what is merged from whatever else may be merged."""
        if self._digest is None:
            digest = xxh3_128()
            update = digest.update
            for part in self._parts:
                update(part.digest())
            # A sketch's first bytes say how long it is: that they stand together without lengths leads nowhere else.
            for name, sketches in zip((b"users", b"crashed", b"durations"), self._sketches, strict=True):
                update(name)
                for sketch in sketches:
                    update(sketch)
            self._digest = digest.digest()
        return self._digest

    def merged(self) -> Merged:
        """What the sketches come to."""
        if self._merged is None:
            digest = self.digest()
            self._merged = _REMEMBERED.get(digest)
            if self._merged is None:
                self._merged = self._merge()
                _REMEMBERED.put(digest, self._merged)
        return self._merged

    def _merge(self) -> Merged:
        of_users, of_crashed_users, of_durations = self._sketches
        users, crashed_users = Users.union(of_users), Users.union(of_crashed_users)
        durations = Durations.union(of_durations)
        for part in self._parts:
            merged = part.merged()
            users.include(merged.users)
            crashed_users.include(merged.crashed_users)
            durations.include(merged.durations)
        return Merged(users, crashed_users, durations)


def _without_none(sketches: Sequence[bytes | None]) -> list[bytes]:
    return [sketch for sketch in sketches if sketch is not None]


def total(parts: Collection[Sums]) -> Sums:
    """All of these together."""
    return next(iter(parts)) if len(parts) == 1 else Sums(parts=tuple(parts))
