"""RPCs on tokens."""

from __future__ import annotations

from releaseregistry.v1 import tokens_pb2 as pb

from server.calls import Call
from server.mapping.tokens import (
    created_token,
    rehearsed_token,
    revoked_token,
    token_draft,
    token_message,
    without_secret,
)
from server.names import organization_name, parse_organization, parse_token
from store import Store
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

    def WhoAmI(self, request: pb.WhoAmIRequest, call: Call) -> pb.WhoAmIResponse:  # noqa: ARG002 - it asks nothing
        token = whoami(self._store.db, call.access)
        return pb.WhoAmIResponse(
            token=token_message(token),
            organization="" if token.organization is None else organization_name(token.organization),
            caller=call.access.caller,
        )


def _owner(parent: str) -> str | None:
    return parse_organization(parent, field="parent") if parent else None
