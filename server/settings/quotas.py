"""Settings of quotas: how much an organization may have of which nothing else is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from server.settings.parsing import number
from server.settings.setting import Setting

MOST: Final = 10**17


def _limit(most: int) -> Callable[[str], int | None]:
    """Takes whole numbers from 0 to `most`, or nothing."""
    parse = number(0, most)

    def limit(text: str) -> int | None:
        return parse(text) if text else None

    return limit


SETTINGS: Final = (
    Setting(
        "quota_stored_bytes",
        "",
        "bytes, 0 to 100000000000000000",
        "How many bytes may be stored for an organization that has no quota of its own. Empty: no limit.",
        _limit(MOST),
    ),
    Setting(
        "quota_file_count",
        "",
        "files, 0 to 100000000000000000",
        "How many files the releases of an organization may have that has no quota of its own. Empty: no limit.",
        _limit(MOST),
    ),
    Setting(
        "quota_stream_count",
        "",
        "streams, 0 to 1000",
        "How many streams, such as uploads and downloads, may run at a time on a server process for an organization "
        "that has no quota of its own. Empty: no limit but its share of the slots.",
        _limit(1000),
    ),
)
