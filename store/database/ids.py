"""Ids: ours, not the database's, so that a row's id is known before the row is written."""

from __future__ import annotations

import uuid_utils

ID_BYTES = 16


def new_id() -> bytes:
    """A new UUIDv7: 16 bytes that sort by the time they were made.

    Ids made by one process ascend even within one millisecond; ids of several processes ascend by millisecond.
    New rows therefore land at the end of their index, not all over it.
    """
    made: bytes = uuid_utils.uuid7().bytes
    return made
