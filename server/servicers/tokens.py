"""RPCs on tokens."""

from __future__ import annotations

from releaseregistry.v1 import tokens_pb2 as pb

from server.edge.calls import Call
from server.mapping.times import duration_micros
from server.mapping.tokens import (
    created_token,
    rehearsed_rotation,
    rehearsed_token,
    revoked_token,
    rotated_token,
    token_draft,
    token_message,
    whoami_message,
    without_new_secret,
    without_secret,
)
from server.names import parse_organization, parse_token
from store import Store
from store.access.rotation import rotate_token
from store.access.tokens import create_token, list_tokens, revoke_token, whoami


class TokenServicer:
    """The token service."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def CreateToken(self, request: pb.CreateTokenRequest, call: Call) -> pb.CreateTokenResponse:
        organization = _owner(request.parent)
        reply = rehearsed_token if request.validate_only else created_token
        terms = call.terms(request, reply, pb.CreateTokenResponse, stored=without_secret)
        return create_token(self._store.db, call.access, organization, token_draft(request, organization), terms)

    def ListTokens(self, request: pb.ListTokensRequest, call: Call) -> pb.ListTokensResponse:
        page = list_tokens(self._store.db, call.access, _owner(request.parent), call.page(request))
        return pb.ListTokensResponse(
            tokens=[token_message(token) for token in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )

    def RevokeToken(self, request: pb.RevokeTokenRequest, call: Call) -> pb.RevokeTokenResponse:
        name = parse_token(request.name, field="name")
        terms = call.terms(request, revoked_token, pb.RevokeTokenResponse)
        return revoke_token(self._store.db, call.access, name.organization, name.id, terms)

    def RotateToken(self, request: pb.RotateTokenRequest, call: Call) -> pb.RotateTokenResponse:
        name = parse_token(request.name, field="name")
        reply = rehearsed_rotation if request.validate_only else rotated_token
        terms = call.terms(request, reply, pb.RotateTokenResponse, stored=without_new_secret)
        overlap_us = duration_micros(request.overlap)
        return rotate_token(self._store.db, call.access, name.organization, name.id, overlap_us, terms)

    def WhoAmI(self, request: pb.WhoAmIRequest, call: Call) -> pb.WhoAmIResponse:  # noqa: ARG002 - it asks nothing
        return whoami_message(whoami(self._store.db, call.access), call.access)


def _owner(parent: str) -> str | None:
    return parse_organization(parent, field="parent") if parent else None
