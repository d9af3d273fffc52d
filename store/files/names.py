"""File names: data, never paths. What one may hold, what keeps it from a client's disk, and what it is sought by
(behaviour.md, Files)."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

MAX_NAME_BYTES: Final = 1024
MAX_PART_BYTES: Final = 255
"""What the usual file systems take between two slashes."""

# C0, DEL, C1, and the two separators that end a line.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DRIVE: Final = re.compile("[A-Za-z]:")
_FORBIDDEN: Final = re.compile('[<>:"|?*]')
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: with any extension, too, and with the superscript
# digits of Latin-1.
_RESERVED: Final = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:[.:].*)?", re.IGNORECASE)


class FileNameIssue(IntEnum):
    """What keeps a file name from some client's disk. The numbers are those of the contract."""

    PATH = 1
    RESERVED = 2
    TRAILING = 3
    CHARACTER = 4
    LENGTH = 5
    COLLISION = 6


def name_problem(file_name: str) -> str | None:
    """What is wrong with a file name in words for the caller; None when it may be taken."""
    if not 1 <= len(file_name.encode()) <= MAX_NAME_BYTES:
        return f"has 1 to {MAX_NAME_BYTES} bytes in UTF-8"
    if not is_line(file_name):
        return "is a single line without control characters"
    if "\\" in file_name:
        return "has no backslash"
    return None


def is_line(text: str) -> bool:
    """Whether the text has no control character and nothing that ends a line."""
    return _CONTROL.search(text) is None


def name_issues(file_name: str) -> tuple[FileNameIssue, ...]:
    """What keeps the name, seen alone, from some client's disk, by number. Whether it collides is for `folded` names
    to tell."""
    parts = file_name.split("/")
    there = [part for part in parts if part not in ("", ".", "..")]
    found = (
        (FileNameIssue.PATH, len(there) < len(parts) or _DRIVE.match(file_name) is not None),
        (FileNameIssue.RESERVED, any(_RESERVED.fullmatch(part) for part in there)),
        (FileNameIssue.TRAILING, any(part.endswith((".", " ")) for part in there)),
        (FileNameIssue.CHARACTER, _FORBIDDEN.search(file_name) is not None),
        (FileNameIssue.LENGTH, any(len(part.encode()) > MAX_PART_BYTES for part in there)),
    )
    return tuple(issue for issue, holds in found if holds)
