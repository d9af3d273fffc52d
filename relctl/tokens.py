"""Tokens: who may call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from releaseregistry.v1 import tokens_pb2 as messages
from releaseregistry.v1.tokens_pb2 import CreateTokenResponse, RotateTokenResponse, Token, WhoAmIResponse
from releaseregistry.v1.tokens_pb2_grpc import TokenServiceStub

from relctl.connection import Connection, new_request_id
from relctl.names import organization_name, token_name


class Tokens:
    """TokenService. An organization of None means the installation. Every method raises RegistryError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = TokenServiceStub(connection.channel)

    def create(self, organization: str | None, token: Token) -> CreateTokenResponse:
        """Create a token with the display_name, scopes, projects and expire_time set in `token`.

        The answer holds the secret, told this once. It is empty when the first answer was lost on its way and the
        call was repeated: the token exists, nobody knows its secret, revoke it and create another.
        """
        request = messages.CreateTokenRequest(token=token, request_id=new_request_id())
        if organization is not None:
            request.parent = organization_name(organization)
        return self._connection.call(self._stub.CreateToken, request)

    def list(self, organization: str | None, *, limit: int | None = None) -> Iterator[Token]:
        """Walk the tokens, newest first, revoked and expired ones too."""
        request = messages.ListTokensRequest()
        if organization is not None:
            request.parent = organization_name(organization)
        pages = self._connection.pages(self._stub.ListTokens, request, limit=limit)
        return islice((item for page in pages for item in page.tokens), limit)

    def revoke(self, organization: str | None, uid: str) -> Token:
        """End a token at once; ending it again changes nothing."""
        request = messages.RevokeTokenRequest(name=token_name(organization, uid), request_id=new_request_id())
        return self._connection.call(self._stub.RevokeToken, request).token

    def rotate(self, name: str, overlap: timedelta) -> RotateTokenResponse:
        """Give the token of this resource name another secret; the one it has goes on for `overlap`, 7 days at most.

        The answer holds the secret, told this once. It is empty when the first answer was lost on its way and the call
        was repeated: nobody knows that secret. Rotate again while the one before goes on.
        """
        request = messages.RotateTokenRequest(name=name, request_id=new_request_id())
        request.overlap.FromTimedelta(overlap)
        return self._connection.call(self._stub.RotateToken, request)

    def who_am_i(self) -> WhoAmIResponse:
        """Answer what the calling token is and may do."""
        return self._connection.call(self._stub.WhoAmI, messages.WhoAmIRequest())
