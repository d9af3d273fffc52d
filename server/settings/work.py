"""Settings of the work: how much is done at a time, how long it may take, and what the log tells of it."""

from __future__ import annotations

from typing import Final

from server.settings.parsing import choice, number
from server.settings.setting import Setting

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
        "How many uploads, downloads and SetCommits are worked on at a time; further ones are refused with "
        "STREAMS_BUSY. One connection reaches at most 96 slots of both kinds.",
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
        "300",
        "seconds, 5 to 86400",
        "How long a stream may neither send what it is waited for nor take what it is sent, before it is cancelled.",
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
        "log_level",
        "info",
        "debug, info, warning or error",
        "What the log on standard error holds; debug has a line for every call.",
        choice("debug", "info", "warning", "error"),
    ),
)
