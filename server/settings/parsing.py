"""Texts of settings turned into values; each raises ValueError with what is expected."""

from __future__ import annotations

import re
from collections.abc import Callable


def any_text(text: str) -> str:
    """The text as it is."""
    return text


def secret(text: str) -> str | None:
    """The text as it is; None when it is empty."""
    return text or None


def number(least: int, most: int) -> Callable[[str], int]:
    """Takes whole numbers from `least` to `most`, in ASCII digits."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    """Takes one of the words, in whatever case, and makes it small."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return parse


def yes_or_no(text: str) -> bool:
    """Takes yes, true, 1 and on, and no, false, 0 and off, in whatever case."""
    if text.lower() not in ("yes", "true", "1", "on", "no", "false", "0", "off"):
        raise ValueError("must be yes or no")
    return text.lower() in ("yes", "true", "1", "on")
