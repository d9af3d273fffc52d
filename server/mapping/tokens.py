"""Tokens: messages of the contract to drafts of the store, and what the store tells of tokens to messages."""

from __future__ import annotations

from releaseregistry.v1 import tokens_pb2 as pb

from server.mapping.projects import named_projects
from server.mapping.times import optional_micros, optional_timestamp, to_timestamp
from server.names import organization_name, project_name, token_name, uid
from store.access import Access
from store.access.tokens import CreatedToken, TokenDetails, TokenDraft


def token_draft(request: pb.CreateTokenRequest, organization: str | None) -> TokenDraft:
    """The token that a request asks for, of the organization with this slug or of the installation (None)."""
    asked = request.token
    return TokenDraft(
        scopes=tuple(asked.scopes),
        display_name=asked.display_name,
        all_projects=asked.all_projects,
        projects=named_projects(asked.projects, organization or "", field="token.projects"),
        expire_time=optional_micros(asked, "expire_time"),
    )


def token_message(token: TokenDetails) -> pb.Token:
    """A token, without its secret."""
    organization = token.organization
    return pb.Token(
        name=token_name(organization, token.id),
        uid=uid(token.id),
        display_name=token.display_name,
        scopes=token.scopes,
        all_projects=token.all_projects,
        projects=() if organization is None else [project_name(organization, slug) for slug in token.projects],
        create_time=to_timestamp(token.create_time),
        expire_time=optional_timestamp(token.expire_time),
        revoke_time=optional_timestamp(token.revoke_time),
        secret_suffix=token.secret_suffix,
        old_secret_expire_time=optional_timestamp(token.old_secret_expire_time),
    )


def created_token(created: CreatedToken) -> pb.CreateTokenResponse:
    """What CreateToken answers, the first time."""
    return pb.CreateTokenResponse(token=token_message(created.token), secret=created.secret)


def rehearsed_token(created: CreatedToken) -> pb.CreateTokenResponse:
    """What CreateToken answers when it was only to check: no secret, because none is good for anything."""
    return without_secret(created_token(created))


def without_secret(response: pb.CreateTokenResponse) -> pb.CreateTokenResponse:
    """What CreateToken answers again to a repeated request_id: all but the secret, which is nowhere kept."""
    return pb.CreateTokenResponse(token=response.token)


def rotated_token(rotated: CreatedToken) -> pb.RotateTokenResponse:
    """What RotateToken answers, the first time."""
    return pb.RotateTokenResponse(token=token_message(rotated.token), secret=rotated.secret)


def rehearsed_rotation(rotated: CreatedToken) -> pb.RotateTokenResponse:
    """What RotateToken answers when it was only to check: the token has the secret that it had."""
    return without_new_secret(rotated_token(rotated))


def without_new_secret(response: pb.RotateTokenResponse) -> pb.RotateTokenResponse:
    """What RotateToken answers again to a repeated request_id."""
    return pb.RotateTokenResponse(token=response.token)


def revoked_token(token: TokenDetails) -> pb.RevokeTokenResponse:
    """What RevokeToken answers."""
    return pb.RevokeTokenResponse(token=token_message(token))


def whoami_message(token: TokenDetails, access: Access) -> pb.WhoAmIResponse:
    """What WhoAmI answers. A certificate is told like a token, but for what it has not: a name, and a beginning."""
    told = token_message(token)
    if access.certificate:
        told.ClearField("name")
        told.ClearField("create_time")
    return pb.WhoAmIResponse(
        token=told,
        organization="" if token.organization is None else organization_name(token.organization),
        caller=access.caller,
        certificate=access.certificate,
    )
