"""Giving a token another secret."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar
from uuid import UUID

from store.access.access import Access
from store.access.models import Token, TokenProject
from store.access.projects import member_projects, project_slugs
from store.access.scopes import TOKEN_ADMIN
from store.access.secrets import digest_of, new_secret, suffix_of
from store.access.tokens import CreatedToken, TokenRow, locked_token, owner_of_tokens, token_details
from store.database import PLAIN, Database, Query, Statement, Terms, Transaction, hole
from store.errors import InvalidField, ProjectForbidden, ScopeMissing, TokenEnded
from store.organizations.lookup import find_organization
from store.organizations.rows import OrganizationRow

M = TypeVar("M")

LONGEST_OVERLAP_US: Final = 7 * 24 * 3600 * 1_000_000

_PROJECTS = Query(
    TokenProject.select(TokenProject.project_id).where(TokenProject.token_id == hole(TokenProject.token_id))
)
_SECRET = Query(Token.select(Token.secret_sha256).where(Token.id == hole(Token.id)))
_ROTATE = Statement(
    Token.update(
        {
            Token.secret_sha256: hole(Token.secret_sha256),
            Token.secret_suffix: hole(Token.secret_suffix),
            Token.old_secret_sha256: hole(Token.old_secret_sha256, nullable=True),
            Token.old_secret_expire_time: hole(Token.old_secret_expire_time, nullable=True),
        }
    ).where(Token.id == hole(Token.id))
)


def rotate_token(
    db: Database,
    access: Access,
    organization: str | None,
    token_id: bytes,
    overlap_us: int,
    terms: Terms[CreatedToken, M] = PLAIN,
) -> M:
    """Give a token of the organization with this slug, or of the installation (None), another secret.

    The secret it had goes on for `overlap_us` microseconds, at most seven days; the one before that ends now. Everybody
    may rotate the calling token itself. For another one the caller needs `token:admin`, and all that the token may do:
    whoever gets the new secret acts as that token.

    Raises `InvalidField` for the overlap, `OrganizationNotFound`, `TokenNotFound`, `ScopeMissing`, `ProjectForbidden`,
    or `TokenEnded` for one that was revoked or has expired.
    """
    if not 0 <= overlap_us <= LONGEST_OVERLAP_US:
        raise InvalidField("overlap", "must be from 0 to 7 days")
    return db.write(lambda tx: _rotate(tx, access, organization, token_id, overlap_us), terms)


def _rotate(
    tx: Transaction, access: Access, organization: str | None, token_id: bytes, overlap_us: int
) -> CreatedToken:
    if token_id == access.token_id:
        owner = _own_owner(tx, access, organization)
        row = locked_token(tx, owner, token_id)
    else:
        if not access.may(TOKEN_ADMIN):
            raise ScopeMissing(TOKEN_ADMIN)
        owner = owner_of_tokens(tx, access, organization)
        row = locked_token(tx, owner, token_id)
        _check_reach(tx, access, row)
    if row.revoke_time is not None or (row.expire_time is not None and row.expire_time <= tx.now):
        raise TokenEnded(None if owner is None else owner.slug, str(UUID(bytes=token_id)))
    held = tx.row(_SECRET, id=token_id)
    assert held is not None, "its row is locked"
    secret = new_secret()
    until = tx.now + overlap_us if overlap_us else None
    tx.run(
        _ROTATE,
        id=token_id,
        secret_sha256=digest_of(secret),
        secret_suffix=suffix_of(secret),
        old_secret_sha256=held[0] if overlap_us else None,
        old_secret_expire_time=until,
    )
    row = replace(row, secret_suffix=suffix_of(secret), old_secret_expire_time=until)
    return CreatedToken(token_details(tx, [row], None if owner is None else owner.slug, now=tx.now)[0], secret)


def _own_owner(tx: Transaction, access: Access, organization: str | None) -> OrganizationRow | None:
    """Whose the calling token is said to be: of the installation's one nothing more is asked than that it is one."""
    if organization is None and access.is_operator:
        return None
    if organization is None:
        return owner_of_tokens(tx, access, None)
    return find_organization(tx, access, organization)


def _check_reach(tx: Transaction, access: Access, row: TokenRow) -> None:
    """The caller may do all that the token may; as when it were to create it."""
    for scope in row.scopes.split():
        if not access.may(scope):
            raise ScopeMissing(scope)
    members = member_projects(access)
    if row.organization_id is None or members.everything:
        return
    if row.all_projects:
        raise ProjectForbidden(["*"])
    held = {project_id for (project_id,) in tx.rows(_PROJECTS, token_id=row.id)}
    lacking = {project_id for project_id in held if not members.allows(project_id)}
    if lacking:
        raise ProjectForbidden(project_slugs(tx, lacking).values())
