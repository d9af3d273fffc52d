"""Settings of the processes: how many serve together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from server.settings.cpus import usable_cpus
from server.settings.setting import Setting, SettingWrong
from server.settings.values import Settings

AUTO: Final = 0
"""As many as fit: the setting's value until the database is known."""
MOST_BY_ITSELF: Final = 8
"""More are started only where somebody says so: each has connections to the database of its own."""


def _workers(text: str) -> int:
    if text.lower() == "auto":
        return AUTO
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:4]) <= 64 or len(text) > 2:
        raise ValueError("must be auto or a whole number from 1 to 64")
    return int(text)


SETTINGS: Final = (
    Setting(
        "workers",
        "auto",
        "auto, or processes, 1 to 64",
        "How many processes serve together on the address. `auto` is one on SQLite, which takes no more, and on "
        "PostgreSQL one for each processor that the server may use, 8 at most. Each has up to 8 connections to the "
        "database, and slots of its own.",
        _workers,
    ),
)


def fitting_number(database: str) -> int:
    """How many processes fit the database and this machine."""
    return 1 if database.startswith("sqlite:") else min(MOST_BY_ITSELF, usable_cpus())


def check_workers(settings: Settings, said: Mapping[str, str]) -> None:
    """A file belongs to one process; raises SettingWrong. `said` holds by what each setting was set, if it was."""
    if settings.uses_sqlite and settings.workers > 1:
        raise SettingWrong(
            f"{said['workers']}={str(settings.workers)!r}: SQLite serves one process; name a PostgreSQL database by "
            "RELEASES_DATABASE, or leave this at auto."
        )
