"""Checking the secret that a call carries."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from store.access.access import Access
from store.access.models import Token, TokenProject
from store.access.scopes import with_included
from store.access.secrets import digest_of, is_well_formed
from store.database import Query, Reader, hole
from store.errors import CredentialsInvalid


@dataclass(frozen=True, slots=True)
class _Credentials:
    token_id: bytes
    organization_id: bytes | None
    secret_sha256: bytes
    scopes: str
    all_projects: bool
    expire_time: int | None
    revoke_time: int | None


_BY_SECRET = Query(
    Token.select(
        Token.id,
        Token.organization_id,
        Token.secret_sha256,
        Token.scopes,
        Token.all_projects,
        Token.expire_time,
        Token.revoke_time,
    ).where(Token.secret_sha256 == hole(Token.secret_sha256)),
    row=_Credentials,
)
_PROJECTS = Query(
    TokenProject.select(TokenProject.project_id).where(TokenProject.token_id == hole(TokenProject.token_id))
)


def authenticate(reader: Reader, secret: str, now: int, *, caller: str = "") -> Access:
    """What the bearer of this secret may do at `now` (microseconds UTC).

    Raises `CredentialsInvalid` when the secret is malformed or unknown, or its token expired or revoked: all alike. A
    token ends at the very microsecond of its expire_time.
    """
    if not is_well_formed(secret):
        raise CredentialsInvalid
    digest = digest_of(secret)
    found = reader.row(_BY_SECRET, secret_sha256=digest)
    # The index compares digests, not secrets, and how far a guess agrees with a digest tells nothing of the secret;
    # compared once more without shortcuts, because that is cheaper than an argument about it.
    if found is None or not hmac.compare_digest(found.secret_sha256, digest):
        raise CredentialsInvalid
    if found.revoke_time is not None or (found.expire_time is not None and found.expire_time <= now):
        raise CredentialsInvalid
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
