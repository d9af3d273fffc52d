"""Text as both databases compare it: by code point."""

from __future__ import annotations

from typing import Final

_LAST: Final = 0x10FFFF
_BEFORE_SURROGATES: Final = 0xD7FF
_AFTER_SURROGATES: Final = 0xE000


def after_prefix(prefix: str) -> str | None:
    """The smallest text that is larger than everything that begins so; None when nothing is.

    With it a search by prefix is one range of an index: from the prefix, inclusive, to this, exclusive.
    """
    for index in range(len(prefix) - 1, -1, -1):
        point = ord(prefix[index])
        if point < _LAST:
            following = _AFTER_SURROGATES if point == _BEFORE_SURROGATES else point + 1
            return prefix[:index] + chr(following)
    return None
