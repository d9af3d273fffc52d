"""Checking the secret that a call carries."""

from __future__ import annotations

import hmac
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from store.access.access import Access
from store.access.models import Token, TokenProject
from store.access.scopes import with_included
from store.access.secrets import digest_of, is_well_formed
from store.database import Database, Query, Reader, hole
from store.errors import CredentialsInvalid

MOST_KNOWN: Final = 1000
"""So many credentials are remembered; one more, and all are looked up again."""


@dataclass(frozen=True, slots=True)
class _Credentials:
    token_id: bytes
    organization_id: bytes | None
    secret_sha256: bytes
    scopes: str
    all_projects: bool
    expire_time: int | None
    revoke_time: int | None
    secret_expire_time: int | None = None


_OF_TOKEN = (Token.scopes, Token.all_projects, Token.expire_time, Token.revoke_time)
_BY_SECRET = Query(
    Token.select(Token.id, Token.organization_id, Token.secret_sha256, *_OF_TOKEN).where(
        Token.secret_sha256 == hole(Token.secret_sha256)
    ),
    row=_Credentials,
)
_BY_OLD_SECRET = Query(
    Token.select(
        Token.id, Token.organization_id, Token.old_secret_sha256, *_OF_TOKEN, Token.old_secret_expire_time
    ).where(Token.old_secret_sha256 == hole(Token.old_secret_sha256)),
    row=_Credentials,
)
_PROJECTS = Query(
    TokenProject.select(TokenProject.project_id).where(TokenProject.token_id == hole(TokenProject.token_id))
)
_TABLES: Final = (Token._meta.table_name, TokenProject._meta.table_name)


class _Known(NamedTuple):
    stamp: Hashable
    expire_time: int | None
    access: Access


class Authenticator:
    """Checks the secret of every call.

    What it found it remembers for as long as nobody wrote a token, where only this process writes: a token that was
    revoked takes no further call. Elsewhere it looks each time.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[bytes, _Known] = {}

    def __call__(self, secret: str, caller: str = "") -> Access:
        """See `authenticate`."""
        db = self._db
        if not is_well_formed(secret):
            raise CredentialsInvalid
        digest = digest_of(secret)
        stamp = db.stamp(*_TABLES)  # before looking: what is written meanwhile must not be overlooked
        now = db.clock.now_us()
        known = self._known.get(digest)
        if known is None or known.stamp != stamp:
            found = _found(db, digest, now)
            known = _Known(stamp, _end_of(found), _access(db, found))
            if stamp is not None:
                self._keep(digest, known)
        elif known.expire_time is not None and known.expire_time <= now:
            raise CredentialsInvalid
        return replace(known.access, caller=caller) if caller else known.access

    def _keep(self, digest: bytes, known: _Known) -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known = {}
        self._known[digest] = known


def authenticate(reader: Reader, secret: str, now: int, *, caller: str = "") -> Access:
    """What the bearer of this secret may do at `now` (microseconds UTC).

    Raises `CredentialsInvalid` when the secret is malformed or unknown, or its token expired or revoked: all alike. A
    token ends at the very microsecond of its expire_time, and the secret it had before a rotation at that of its own.
    """
    if not is_well_formed(secret):
        raise CredentialsInvalid
    return _access(reader, _found(reader, digest_of(secret), now), caller=caller)


def _found(reader: Reader | Database, digest: bytes, now: int) -> _Credentials:
    # Not one query with OR: nearly all secrets are present ones, and are found by the first.
    found = reader.row(_BY_SECRET, secret_sha256=digest) or reader.row(_BY_OLD_SECRET, old_secret_sha256=digest)
    # The index compares digests, not secrets, and how far a guess agrees with a digest tells nothing of the secret;
    # compared once more without shortcuts, because that is cheaper than an argument about it.
    if found is None or not hmac.compare_digest(found.secret_sha256, digest):
        raise CredentialsInvalid
    end = _end_of(found)
    if found.revoke_time is not None or (end is not None and end <= now):
        raise CredentialsInvalid
    return found


def _end_of(found: _Credentials) -> int | None:
    """When the secret ends by itself: with its token, or before it, when the token has got another one."""
    ends = [end for end in (found.expire_time, found.secret_expire_time) if end is not None]
    return min(ends, default=None)


def _access(reader: Reader | Database, found: _Credentials, *, caller: str = "") -> Access:
    # Perhaps in a snapshot of its own: a token gets its projects when it is made, and loses those that are deleted.
    everything = found.all_projects or found.organization_id is None
    projects = () if everything else reader.rows(_PROJECTS, token_id=found.token_id)
    return Access(
        token_id=found.token_id,
        organization_id=found.organization_id,
        scopes=with_included(found.scopes.split()),
        all_projects=everything,
        project_ids=frozenset(project_id for (project_id,) in projects),
        caller=caller,
    )
