"""Settings of the limits: what one organization may have of the server, and what connections may come."""

from __future__ import annotations

from typing import Final

from server.settings.parsing import number
from server.settings.setting import Setting, SettingWrong
from server.settings.values import Settings

SETTINGS: Final = (
    Setting(
        "organization_percent",
        "75",
        "percent, 1 to 100",
        "How much of the call slots, and of the stream slots, one organization may have; its further calls are refused "
        "with ORGANIZATION_BUSY. 100 where there is only one.",
        number(1, 100),
    ),
    Setting(
        "connections",
        "4096",
        "connections, 8 to 1000000",
        "How many connections a process takes; a further one is closed at once. Never more than half of the "
        "descriptors that the process may open (`ulimit -n`), so that the other half stays for files and databases.",
        number(8, 1_000_000),
    ),
    Setting(
        "connection_age_seconds",
        "3600",
        "seconds, 5 to 86400",
        "How old a connection gets, a tenth more or less: its client is then told to make a new one, which may lead to "
        "another server or worker. Calls that run on it go on to their ends.",
        number(5, 86400),
    ),
)


def check_slots(settings: Settings) -> None:
    """Streams take at most half of the threads; raises SettingWrong."""
    if settings.stream_slots > settings.call_slots:
        slots = f"RELEASES_STREAM_SLOTS={settings.stream_slots}"
        raise SettingWrong(f"{slots}: must be at most RELEASES_CALL_SLOTS, {settings.call_slots}.")
