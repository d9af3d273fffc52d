"""What a doctor finds."""

from __future__ import annotations

from typing import Final, NamedTuple

OK: Final = "ok"
WARNING: Final = "warning"
PROBLEM: Final = "problem"


class Finding(NamedTuple):
    """One line: how bad it is, what it is about, and what is so, with what to do about it."""

    level: str
    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<8} {self.topic}: {self.text}"


def ok(topic: str, text: str) -> Finding:
    """As it should be."""
    return Finding(OK, topic, text)


def warning(topic: str, text: str) -> Finding:
    """It works, and will not for long, or not under load."""
    return Finding(WARNING, topic, text)


def problem(topic: str, text: str) -> Finding:
    """It does not work, or not as promised."""
    return Finding(PROBLEM, topic, text)
