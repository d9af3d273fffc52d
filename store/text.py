"""Text as both databases compare it: by code point; and without case, as it is folded before it is kept."""

from __future__ import annotations

import unicodedata
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


MAX_FOLDED_BYTES: Final = 1536
"""More of a folded text is not kept: some characters fold to eighteen, and an index of PostgreSQL takes no more."""


def folded(text: str) -> str:
    """The text in Unicode form NFKC and without case: texts that differ in nothing else are the same in it.

    Folding what is folded changes nothing.
    """
    if text.isascii():
        return text.lower()
    # Folding may leave the form, and the form may bring back what folds: once more each settles it.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", text.casefold())


def folded_key(text: str) -> str:
    """The folded text as indexes keep it: at most 1,536 bytes of it."""
    return folded(text).encode()[:MAX_FOLDED_BYTES].decode(errors="ignore")
