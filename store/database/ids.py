"""Ids: ours, not the database's, so that a row's id is known before the row is written."""

from __future__ import annotations

import secrets
from typing import Final

import uuid_utils

ID_BYTES: Final = 16

_VERSION: Final = 7 << 12
_VARIANT: Final = 2 << 62
_RANDOM_BITS: Final = 62


def new_id() -> bytes:
    """A new UUIDv7: 16 bytes that sort by the time they were made.

    Ids made by one process ascend even within one millisecond; ids of several processes ascend by millisecond.
    New rows therefore land at the end of their index, not all over it.
    """
    made: bytes = uuid_utils.uuid7().bytes
    return made


def id_at(time_us: int) -> bytes:
    """A new UUIDv7 of that microsecond: ids so made sort as their times do, whoever makes them.

    A row whose id is made of its time needs no index by time, and none by what it is found by and time together.
    Milliseconds stand first, then the microseconds within (RFC 9562, 6.2, method 3), then 62 random bits.
    """
    return _of(time_us, secrets.randbits(_RANDOM_BITS))


def first_id_at(time_us: int) -> bytes:
    """The lowest id that `id_at` makes of that microsecond, or of the nearest that has one: where the ids of a time
    begin."""
    return _of(min(max(time_us, 0), _LAST_US), 0)


def _of(time_us: int, random: int) -> bytes:
    milliseconds, microseconds = divmod(time_us, 1000)
    high = milliseconds << 16 | _VERSION | microseconds
    return (high << 64 | _VARIANT | random).to_bytes(ID_BYTES, "big")


_LAST_US: Final = (1 << 48) * 1000 - 1
