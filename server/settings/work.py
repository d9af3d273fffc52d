"""Settings of the work: how much is done at a time, how long it may take, and what the log tells of it."""

from __future__ import annotations

from typing import Final

from server.settings.parsing import choice, number
from server.settings.setting import Setting, SettingWrong
from server.settings.values import Settings

SETTINGS: Final = (
    Setting(
        "call_slots",
        "64",
        "calls, 1 to 1000",
        "How many unary calls are worked on at a time; further ones are refused with CALLS_BUSY.",
        number(1, 1000),
    ),
    Setting(
        "stream_slots",
        "24",
        "calls, 1 to 1000",
        "How many uploads, downloads, SetCommits and StreamSessions are worked on at a time; further ones are refused "
        "with STREAMS_BUSY. One connection reaches at most 96 slots of both kinds.",
        number(1, 1000),
    ),
    Setting(
        "call_seconds",
        "60",
        "seconds, 1 to 3600",
        "How long a unary call may take, whatever deadline its caller sets.",
        number(1, 3600),
    ),
    Setting(
        "silence_seconds",
        "60",
        "seconds, 5 to 86400",
        "How long a stream may keep the server waiting, for what it sends or until it takes what it is sent, before it "
        "is ended; and a unary call, until it takes an answer of more than 64 KiB. Each 16 KiB of files that come "
        "through give back a second of it.",
        number(5, 86400),
    ),
    Setting(
        "drain_seconds",
        "30",
        "seconds, 0 to 3600",
        "How long running calls get to end after SIGTERM; streams that go on for longer are then ended with DRAINING. "
        "A second signal ends the grace at once.",
        number(0, 3600),
    ),
    Setting(
        "session_days",
        "31",
        "days, 1 to 90",
        "How long ago a session may have begun that is told of. What was told of each is kept a day longer, so "
        "that nothing counts twice.",
        number(1, 90),
    ),
    Setting(
        "health_hour_days",
        "35",
        "days, 3 to 400",
        "How long what sessions say is kept hour by hour; longer than `RELEASES_SESSION_DAYS`.",
        number(3, 400),
    ),
    Setting(
        "health_days",
        "400",
        "days, 92 to 4000",
        "How long what sessions say is kept day by day; not shorter than hour by hour.",
        number(92, 4000),
    ),
    Setting(
        "log_level",
        "info",
        "debug, info, warning or error",
        "What the log on standard error holds; debug has a line for every call.",
        choice("debug", "info", "warning", "error"),
    ),
)


def check_days(settings: Settings) -> None:
    """What is made of something is kept longer than that; raises SettingWrong."""
    if settings.health_hour_days <= settings.session_days:
        days = f"RELEASES_SESSION_DAYS={settings.session_days}"
        raise SettingWrong(f"{days}: must be less than RELEASES_HEALTH_HOUR_DAYS, {settings.health_hour_days}.")
    if settings.health_days < settings.health_hour_days:
        days = f"RELEASES_HEALTH_DAYS={settings.health_days}"
        raise SettingWrong(f"{days}: must be at least RELEASES_HEALTH_HOUR_DAYS, {settings.health_hour_days}.")
