"""Access: who is calling, and what that caller may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from store.access.scopes import ANY


@dataclass(frozen=True, slots=True)
class Access:
    """The rights of one call, as its token gave them.

    organization_id is None for a token of the installation, which reaches every organization and is a member of every
    project. scopes hold the included ones too (`org:admin` brings `org:write` and `org:read`). project_ids are the
    projects the token is a member of, empty when all_projects. caller is the `x-caller` metadata, at most 200
    characters, or "". certificate is the name in the client's certificate that calls without a token, such as
    `URI:spiffe://ci`, of which token_id is made then; "" when a token calls.
    """

    token_id: bytes
    organization_id: bytes | None
    scopes: frozenset[str]
    all_projects: bool
    project_ids: frozenset[bytes]
    caller: str = ""
    certificate: str = ""

    @property
    def is_operator(self) -> bool:
        """Whether the token is the installation's, not an organization's."""
        return self.organization_id is None

    def may(self, scope: str) -> bool:
        """Whether a method that requires `scope` may be called; `any` is required by methods open to every token."""
        return scope == ANY or scope in self.scopes


SERVER: Final = Access(
    token_id=bytes(16), organization_id=None, scopes=frozenset(), all_projects=True, project_ids=frozenset()
)
"""Who does what the server does by itself: activities then tell of no token."""
