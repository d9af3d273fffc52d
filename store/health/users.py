"""Users as numbers: a keyed digest of what a client calls them, from which nobody learns who they are."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final
from weakref import WeakKeyDictionary

from store.access.secrets import installation_secret
from store.database import Database

_SECRETS: Final[WeakKeyDictionary[Database, bytes]] = WeakKeyDictionary()


def users_key(db: Database, organization_id: bytes) -> bytes:
    """The key of an organization: one user of two organizations becomes two numbers."""
    secret = _SECRETS.get(db)
    if secret is None:
        secret = _SECRETS[db] = installation_secret(db, "health-users")
    return secret + organization_id


def user_numbers(key: bytes, users: Iterable[str]) -> dict[str, int]:
    """The number of each of the users, from -2**63 up to 2**63 - 1. The empty text is no user, and left out."""
    keyed = blake2b(key=key, digest_size=8)
    numbers: dict[str, int] = {}
    for user in set(users):
        digest = keyed.copy()
        digest.update(user.encode())
        numbers[user] = int.from_bytes(digest.digest(), "little", signed=True)
    numbers.pop("", None)
    return numbers
