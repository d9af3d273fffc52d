"""Secrets: those that all servers of an installation share, and those that callers carry.

A caller's secret is `rr_`, 256 random bits in 43 characters, and 6 characters of checksum: the prefix lets scanners
find a leaked one, the checksum refuses a mistyped one without asking the database. Only its SHA-256 is kept; that
needs no slow hash, because nobody guesses 256 bits.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from typing import Final

from store.access.models import InstallationSecret
from store.database import Database, Query, Reader, Statement, Transaction, hole, holes_for

PREFIX: Final = "rr_"
SECRET_BITS: Final = 256
SHORTEST_CHOSEN: Final = 20
LONGEST_CHOSEN: Final = 200

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS: Final = 43
_CHECKSUM_CHARS: Final = 6
_OURS: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_CHARS + _CHECKSUM_CHARS}}}")
_CHOSEN: Final = re.compile(rf"[!-~]{{{SHORTEST_CHOSEN},{LONGEST_CHOSEN}}}")

_FIND = Query(
    InstallationSecret.select(InstallationSecret.value).where(
        InstallationSecret.purpose == hole(InstallationSecret.purpose)
    )
)
_KEEP = Statement(
    InstallationSecret.insert(holes_for(InstallationSecret.purpose, InstallationSecret.value)).on_conflict(
        action="nothing", conflict_target=[InstallationSecret.purpose]
    )
)


def new_secret() -> str:
    """A new secret for a token."""
    random = _base62(secrets.randbits(SECRET_BITS), _RANDOM_CHARS)
    return PREFIX + random + _checksum(random)


def is_well_formed(secret: str) -> bool:
    """Whether the text may be the secret of a token at all.

    Either one of ours, with a right checksum, or one that an operator chose: 20 to 200 visible ASCII characters that
    do not look like one of ours.
    """
    if _OURS.fullmatch(secret):
        random, checksum = secret[len(PREFIX) : -_CHECKSUM_CHARS], secret[-_CHECKSUM_CHARS:]
        return checksum == _checksum(random)
    return _CHOSEN.fullmatch(secret) is not None


def digest_of(secret: str) -> bytes:
    """What is kept of a secret: its SHA-256, 32 bytes."""
    return hashlib.sha256(secret.encode()).digest()


def suffix_of(secret: str) -> str:
    """The last 4 characters, to tell tokens apart."""
    return secret[-4:]


def installation_secret(database: Database, purpose: str) -> bytes:
    """The installation's key for a purpose, 32 bytes: made at the first asking, the same for every server after."""
    found = database.read(lambda reader: reader.row(_FIND, purpose=purpose))
    if found is None:
        found = database.write(lambda tx: _kept(tx, purpose))
    value: bytes = found[0]
    return value


def known_secret(reader: Reader, purpose: str) -> bytes | None:
    """The installation's key for a purpose, where one was made."""
    found = reader.row(_FIND, purpose=purpose)
    return None if found is None else found[0]


def claim(tx: Transaction, purpose: str, value: bytes) -> bool:
    """Keep the value for the purpose unless there is one; whether this call was the first of all servers."""
    return tx.run(_KEEP, purpose=purpose, value=value) == 1


def _kept(tx: Transaction, purpose: str) -> tuple[bytes]:
    claim(tx, purpose, secrets.token_bytes(32))
    kept = tx.row(_FIND, purpose=purpose)
    assert kept is not None
    return (kept[0],)


def _checksum(random: str) -> str:
    return _base62(zlib.crc32(random.encode()), _CHECKSUM_CHARS)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
