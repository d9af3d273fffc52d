"""Tokens: making, checking, listing and revoking them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from uuid import UUID

import peewee

from store.access.access import Access
from store.access.models import Token, TokenProject
from store.access.projects import ProjectRow, ProjectSlugText, member_projects, project_slugs, projects_to_create_in
from store.access.scopes import INSTALLATION_ADMIN, SCOPES, widest
from store.access.secrets import digest_of, new_secret, suffix_of
from store.database import PLAIN, Database, Query, Reader, Statement, Terms, Transaction, hole, holes_for, new_id
from store.errors import (
    CredentialsInvalid,
    InvalidField,
    ProjectForbidden,
    ScopeMissing,
    TokenNotFound,
)
from store.organizations.lookup import find_organization, organization_of
from store.organizations.models import Project
from store.organizations.rows import OrganizationRow
from store.paging import Page, PageRequest, fitting, page_of, paged

M = TypeVar("M")

# A page of tokens names at most this many projects, so that its message stays below 4 MiB; it may then hold fewer
# tokens than were asked for.
_PROJECTS_A_PAGE: Final = 20_000


@dataclass(frozen=True, slots=True)
class TokenDraft:
    """A token to create; projects are slugs, expire_time is in microseconds UTC, None for never."""

    scopes: tuple[str, ...]
    display_name: str = ""
    all_projects: bool = False
    projects: tuple[ProjectSlugText, ...] = ()
    expire_time: int | None = None


@dataclass(frozen=True, slots=True)
class TokenDetails:
    """A token as it is told: never with its secret. Times in microseconds UTC.

    organization is the slug, None for a token of the installation; scopes are sorted and as granted, without those
    they include; projects are slugs, sorted.
    """

    id: bytes
    organization: str | None
    display_name: str
    scopes: tuple[str, ...]
    all_projects: bool
    projects: tuple[str, ...]
    create_time: int
    expire_time: int | None
    revoke_time: int | None
    secret_suffix: str
    old_secret_expire_time: int | None = None


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A new token and its secret, which nobody can tell again."""

    token: TokenDetails
    secret: str


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token's row, without what is kept of its secrets."""

    id: bytes
    organization_id: bytes | None
    display_name: str
    scopes: str
    all_projects: bool
    create_time: int
    expire_time: int | None
    revoke_time: int | None
    secret_suffix: str
    old_secret_expire_time: int | None


_COLUMNS = (
    Token.id,
    Token.organization_id,
    Token.display_name,
    Token.scopes,
    Token.all_projects,
    Token.create_time,
    Token.expire_time,
    Token.revoke_time,
    Token.secret_suffix,
    Token.old_secret_expire_time,
)
TOKEN_BY_ID = Query(Token.select(*_COLUMNS).where(Token.id == hole(Token.id)), row=TokenRow)
_INSERT = Statement(
    Token.insert(
        holes_for(
            Token.id,
            Token.organization_id,
            Token.display_name,
            Token.secret_sha256,
            Token.secret_suffix,
            Token.scopes,
            Token.all_projects,
            Token.create_time,
            Token.expire_time,
        )
    )
)
_ADD_PROJECT = Statement(
    TokenProject.insert(
        {TokenProject.token_id: hole(TokenProject.token_id), TokenProject.project_id: hole(TokenProject.project_id)}
    )
)
_REVOKE = Statement(Token.update({Token.revoke_time: hole(Token.revoke_time)}).where(Token.id == hole(Token.id)))


def create_token(
    db: Database,
    access: Access,
    organization: str | None,
    draft: TokenDraft,
    terms: Terms[CreatedToken, M] = PLAIN,
) -> M:
    """Create a token of the organization with this slug, or of the installation (None), and its secret.

    The caller grants only what it holds: its scopes with those they include, and projects it is a *member* of; open
    membership is no ground to grant, because it may end. A token of the installation takes no projects, it reaches all.

    Raises `OrganizationNotFound`, `ScopeMissing` for a scope the caller lacks (`installation:admin` for a token of the
    installation), `ProjectForbidden` for a project it is no member of, `InvalidField` for unknown scopes, projects
    beside all_projects, or an expire_time that is past.
    """
    return db.write(lambda tx: _create(tx, access, organization, draft), terms)


def list_tokens(db: Database, access: Access, organization: str | None, request: PageRequest) -> Page[TokenDetails]:
    """A page of the tokens of the organization, or of the installation (None), newest first, invalid ones too.

    A token is told with all its projects, whether or not the caller has access to them. Raises
    `OrganizationNotFound`, or `ScopeMissing` when a caller without `installation:admin` asks for the installation's.
    """

    def read(reader: Reader) -> Page[TokenDetails]:
        owner = owner_of_tokens(reader, access, organization)
        query = Token.select(*_COLUMNS).where(
            Token.organization_id.is_null() if owner is None else Token.organization_id == owner.id
        )
        rows = [TokenRow(*row) for row in reader.fetch(paged(query, request, [Token.id], descending=True).tuples())]
        request_that_fits = fitting(request, _project_counts(reader, rows), most=_PROJECTS_A_PAGE)
        page = page_of(rows[: request_that_fits.limit], request_that_fits, lambda row: (row.id,), descending=True)
        items = token_details(reader, page.items, None if owner is None else owner.slug, now=db.clock.now_us())
        return Page(tuple(items), page.next, page.previous)

    return db.read(read)


def revoke_token(
    db: Database,
    access: Access,
    organization: str | None,
    token_id: bytes,
    terms: Terms[TokenDetails, M] = PLAIN,
) -> M:
    """End a token at once; a revoked one keeps its first revoke_time. A token may revoke itself.

    Raises `OrganizationNotFound`, `TokenNotFound`, or `ScopeMissing` when a caller without `installation:admin` names
    a token of the installation.
    """
    return db.write(lambda tx: _revoke(tx, access, organization, token_id), terms)


def whoami(db: Database, access: Access) -> TokenDetails:
    """The calling token; of a certificate that calls, what it may do, as if it were a token (create_time 0)."""

    def read_certificate(reader: Reader) -> TokenDetails:
        owner = None if access.organization_id is None else organization_of(reader, access.organization_id)
        return TokenDetails(
            id=access.token_id,
            organization=None if owner is None else owner.slug,
            display_name="",
            scopes=widest(access.scopes),
            all_projects=owner is not None and access.all_projects,
            projects=tuple(sorted(project_slugs(reader, access.project_ids).values())),
            create_time=0,
            expire_time=None,
            revoke_time=None,
            secret_suffix="",
        )

    def read(reader: Reader) -> TokenDetails:
        row = reader.row(TOKEN_BY_ID, id=access.token_id)
        if row is None:
            raise CredentialsInvalid
        owner = None if row.organization_id is None else organization_of(reader, row.organization_id)
        return token_details(reader, [row], None if owner is None else owner.slug, now=db.clock.now_us())[0]

    return db.read(read_certificate if access.certificate else read)


def _create(tx: Transaction, access: Access, organization: str | None, draft: TokenDraft) -> CreatedToken:
    owner = owner_of_tokens(tx, access, organization)
    scopes = _granted_scopes(access, draft.scopes, to_installation=owner is None)
    projects = _granted_projects(tx, access, owner, draft)
    if draft.expire_time is not None and draft.expire_time <= tx.now:
        raise InvalidField("token.expire_time", "is past, so the token would never be valid")
    secret = new_secret()
    made = TokenDetails(
        id=new_id(),
        organization=None if owner is None else owner.slug,
        display_name=draft.display_name,
        scopes=scopes,
        all_projects=draft.all_projects,
        projects=tuple(sorted(project.slug for project in projects)),
        create_time=tx.now,
        expire_time=draft.expire_time,
        revoke_time=None,
        secret_suffix=suffix_of(secret),
    )
    insert_token(tx, made, None if owner is None else owner.id, secret)
    tx.run_many(_ADD_PROJECT, [{"token_id": made.id, "project_id": project.id} for project in projects])
    return CreatedToken(made, secret)


def insert_token(tx: Transaction, token: TokenDetails, organization_id: bytes | None, secret: str) -> None:
    """Write the row of a token; that it may be granted was checked."""
    tx.run(
        _INSERT,
        id=token.id,
        organization_id=organization_id,
        display_name=token.display_name,
        secret_sha256=digest_of(secret),
        secret_suffix=token.secret_suffix,
        scopes=" ".join(token.scopes),
        all_projects=token.all_projects,
        create_time=token.create_time,
        expire_time=token.expire_time,
    )


def _revoke(tx: Transaction, access: Access, organization: str | None, token_id: bytes) -> TokenDetails:
    owner = owner_of_tokens(tx, access, organization)
    row = locked_token(tx, owner, token_id)
    if row.revoke_time is None:
        tx.run(_REVOKE, id=token_id, revoke_time=tx.now)
        row = replace(row, revoke_time=tx.now)
    return token_details(tx, [row], None if owner is None else owner.slug, now=tx.now)[0]


def locked_token(tx: Transaction, owner: OrganizationRow | None, token_id: bytes) -> TokenRow:
    """The token of the organization, or of the installation (None), held until the transaction ends.

    Raises `TokenNotFound`, also for one of another owner.
    """
    row = tx.lock(TOKEN_BY_ID, id=token_id)
    if row is None or row.organization_id != (None if owner is None else owner.id):
        raise TokenNotFound(None if owner is None else owner.slug, str(UUID(bytes=token_id)))
    return row


def owner_of_tokens(reader: Reader, access: Access, organization: str | None) -> OrganizationRow | None:
    """Whose tokens are meant; None for the installation's, with which only its administrators have to do."""
    if organization is not None:
        return find_organization(reader, access, organization)
    if not (access.is_operator and access.may(INSTALLATION_ADMIN)):
        raise ScopeMissing(INSTALLATION_ADMIN)
    return None


def _granted_scopes(access: Access, asked: Sequence[str], *, to_installation: bool) -> tuple[str, ...]:
    scopes = tuple(sorted(set(asked)))
    if not scopes:
        raise InvalidField("token.scopes", "must name at least one scope")
    for scope in scopes:
        if scope not in SCOPES:
            raise InvalidField("token.scopes", f"{scope!r} is no scope; scopes are {', '.join(sorted(SCOPES))}")
        if scope == INSTALLATION_ADMIN and not to_installation:
            raise InvalidField("token.scopes", f"{scope!r} is only for tokens of the installation, without a parent")
    for scope in scopes:
        if not access.may(scope):
            raise ScopeMissing(scope)
    return scopes


def _granted_projects(
    tx: Transaction, access: Access, owner: OrganizationRow | None, draft: TokenDraft
) -> tuple[ProjectRow, ...]:
    if owner is None:
        if draft.all_projects or draft.projects:
            field = "token.all_projects" if draft.all_projects else "token.projects"
            raise InvalidField(field, "must be empty: a token of the installation reaches every project")
        return ()
    if draft.all_projects:
        if draft.projects:
            raise InvalidField("token.projects", "must be empty beside all_projects")
        if not member_projects(access).everything:
            raise ProjectForbidden(["*"])
        return ()
    return projects_to_create_in(tx, access, owner, draft.projects)


def token_details(
    reader: Reader, rows: Sequence[TokenRow], organization: str | None, *, now: int
) -> list[TokenDetails]:
    """The tokens of one owner as they are told at `now`, with their projects."""
    slugs: dict[bytes, list[str]] = {row.id: [] for row in rows}
    if organization is not None and rows:
        query = (
            TokenProject.select(TokenProject.token_id, Project.slug)
            .join(Project, on=(Project.id == TokenProject.project_id))
            .where(TokenProject.token_id.in_(list(slugs)))
            .order_by(Project.slug)
        )
        for token_id, slug in reader.fetch(query.tuples()):
            slugs[token_id].append(slug)
    return [
        TokenDetails(
            id=row.id,
            organization=organization,
            display_name=row.display_name,
            scopes=tuple(row.scopes.split()),
            all_projects=row.all_projects,
            projects=tuple(slugs[row.id]),
            create_time=row.create_time,
            expire_time=row.expire_time,
            revoke_time=row.revoke_time,
            secret_suffix=row.secret_suffix,
            old_secret_expire_time=_if_coming(row.old_secret_expire_time, now),
        )
        for row in rows
    ]


def _if_coming(time: int | None, now: int) -> int | None:
    return None if time is None or time <= now else time


def _project_counts(reader: Reader, rows: Sequence[TokenRow]) -> list[int]:
    """How many projects each of the tokens names."""
    query = (
        TokenProject.select(TokenProject.token_id, peewee.fn.COUNT(TokenProject.project_id))
        .where(TokenProject.token_id.in_([row.id for row in rows]))
        .group_by(TokenProject.token_id)
    )
    counts = dict(reader.fetch(query.tuples())) if rows else {}
    return [counts.get(row.id, 0) for row in rows]
