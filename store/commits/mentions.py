"""The issues that a commit's message says it fixes (behaviour.md, References)."""

from __future__ import annotations

import re
from typing import Final

MOST: Final = 100
"""The most references kept of one commit."""
CHARACTERS: Final = 200
"""How long a reference may be; a longer one is none."""

_KEYWORD: Final = re.compile(r"\b(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)\b:?\s+", re.IGNORECASE)
_MARKDOWN_LINK: Final = re.compile(r"\[([^][]+)\]\([^()\s]+\)")
_SHORT_ID: Final = re.compile(r"[A-Za-z]\w*(?:-\w+)*-[A-Za-z0-9]*[0-9][A-Za-z0-9]*", re.ASCII)
_LINK: Final = re.compile(r"https?://[^\s,<>\"]+", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]+")
_BEHIND_LINK: Final = ".;:!?)]}'*_"
# Nothing of a word may stand behind a short id: `WEB-12.5` and `WEB-12/api` are something else.
_WORD_BEHIND: Final = re.compile(r"[\w-]|[./@+#:=]\w")
_BETWEEN: Final = re.compile(r"[^\S\n]*,\s*(?:(?:and|&)\s+)?|[^\S\n]+(?:(?:and|&)\s+)?", re.IGNORECASE)


def may_mention(message: str | None) -> bool:
    """Whether it is worth looking for references in a message; most have none, and this takes no time."""
    if not message:
        return False
    lowered = message.lower()
    return "fix" in lowered or "close" in lowered or "resolve" in lowered


def references_in(message: str | None) -> tuple[str, ...]:
    """The issues that follow "fixes", "closes" or "resolves" in a message, in its order, each once, at most 100.

    A short id such as `web-12` is answered in capitals; a link whose path holds a number or a short id, as it is.
    """
    if message is None or not may_mention(message):
        return ()
    text = _MARKDOWN_LINK.sub(r"\1", message) if "](" in message else message
    found: dict[str, None] = {}
    for keyword in _KEYWORD.finditer(text):
        place = keyword.end()
        while len(found) < MOST:
            reference, end = _reference_at(text, place)
            if reference is None:
                break
            found[reference] = None
            separator = _BETWEEN.match(text, end)
            if separator is None:
                break
            place = separator.end()
    return tuple(found)


def _reference_at(text: str, place: int) -> tuple[str | None, int]:
    """The reference that begins here, if one does, and where it ends."""
    link = _LINK.match(text, place) if text[place : place + 4].lower() == "http" else None
    if link is not None:
        address = link[0].rstrip(_BEHIND_LINK)
        return (address if _names_an_issue(address) else None), place + len(address)
    short = _SHORT_ID.match(text, place)
    if short is None or _WORD_BEHIND.match(text, short.end()) or len(short[0]) > CHARACTERS:
        return None, place
    return short[0].upper(), short.end()


def _names_an_issue(address: str) -> bool:
    if len(address) > CHARACTERS:
        return False
    path = re.split(r"[?#]", address, maxsplit=1)[0].split("/")[3:]
    return any(_NUMBER.fullmatch(part) or _SHORT_ID.fullmatch(part) for part in path)
