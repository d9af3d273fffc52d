"""The keys of the search language: one table of what each takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from store.search.language.tree import Key

_LONGEST_GUESSED: Final = 32
"""Nobody mistypes a longer key, and comparing texts takes the product of their lengths."""


class Kind(Enum):
    """What the values of a key are, and so what may stand behind its colon."""

    TEXT = auto()
    """Text, also with wildcards; only equal or not."""
    RELEASE = auto()
    """Text of a version, or `latest`."""
    VERSION = auto()
    """A semantic version in the order of versions, or the beginning of one with a wildcard."""
    BUILD = auto()
    """A build number, or the text of a build code."""
    COMMIT = auto()
    """The id of a commit, or its beginning."""
    COUNT = auto()
    """A whole number."""
    TIME = auto()
    """A date, a date and time, or a period that ends now."""
    FLAG = auto()
    """true or false."""
    STATUS = auto()
    """open or archived."""
    STAGE = auto()
    """adopted, low_adoption or replaced."""


class Naming(Enum):
    """Whether a name stands behind the key and a dot: `label.team`."""

    NEVER = auto()
    OPTIONAL = auto()
    ALWAYS = auto()


@dataclass(frozen=True, slots=True)
class KeyRule:
    """What a key takes. With `folded`, case and Unicode form do not count in its text."""

    kind: Kind
    folded: bool = False
    naming: Naming = Naming.NEVER


KEYS: Final[Mapping[Key, KeyRule]] = MappingProxyType(
    {
        Key.RELEASE: KeyRule(Kind.RELEASE),
        Key.VERSION: KeyRule(Kind.VERSION),
        Key.PACKAGE: KeyRule(Kind.TEXT),
        Key.BUILD: KeyRule(Kind.BUILD),
        Key.CREATED: KeyRule(Kind.TIME),
        Key.RELEASED: KeyRule(Kind.TIME),
        Key.STAGE: KeyRule(Kind.STAGE),
        Key.FINALIZED: KeyRule(Kind.FLAG),
        Key.STATUS: KeyRule(Kind.STATUS),
        Key.PROJECT: KeyRule(Kind.TEXT),
        Key.ENVIRONMENT: KeyRule(Kind.TEXT),
        Key.REF: KeyRule(Kind.TEXT),
        Key.OWNER: KeyRule(Kind.TEXT, folded=True),
        Key.LABEL: KeyRule(Kind.TEXT, naming=Naming.ALWAYS),
        Key.AUTHOR: KeyRule(Kind.TEXT, folded=True),
        Key.COMMIT: KeyRule(Kind.COMMIT),
        Key.REPOSITORY: KeyRule(Kind.TEXT),
        Key.REFERENCE: KeyRule(Kind.TEXT, folded=True),
        Key.DEPLOYED: KeyRule(Kind.TIME, naming=Naming.OPTIONAL),
        Key.FILE: KeyRule(Kind.TEXT, folded=True),
        Key.COMMITS: KeyRule(Kind.COUNT),
        Key.DEPLOYS: KeyRule(Kind.COUNT),
    }
)

_BY_WORD: Final[Mapping[str, Key]] = MappingProxyType({str(key): key for key in Key})


def find_key(word: str) -> Key | None:
    """The key that is written so."""
    return _BY_WORD.get(word)


def written(key: Key) -> str:
    """How a key is written, with what stands for its name where it needs one."""
    return f"{key}.NAME" if KEYS[key].naming is Naming.ALWAYS else str(key)


def likely_key(word: str) -> Key | None:
    """The key that somebody who wrote this word may have meant."""
    if not word or len(word) > _LONGEST_GUESSED:
        return None
    small = word.lower()
    for guess in (small, f"release.{small}"):
        if guess in _BY_WORD:
            return _BY_WORD[guess]
    begun = [key for key in Key if key.startswith(small) and len(small) > 1]
    if len(begun) == 1:
        return begun[0]
    close = get_close_matches(small, list(_BY_WORD), n=1)
    return _BY_WORD[close[0]] if close else None
