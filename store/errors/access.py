"""Errors of tokens and of what they may do."""

from __future__ import annotations

from collections.abc import Iterable

from store.errors.kinds import NotFound, PermissionDenied, Unauthenticated


class CredentialsInvalid(Unauthenticated):
    """The token is malformed, unknown, expired or revoked; which of these is not told."""

    def __init__(self) -> None:
        super().__init__("The token is not valid: malformed, unknown, expired or revoked. Ask for a new one.")


class ScopeMissing(PermissionDenied):
    """The calling token lacks a scope, to call a method with or to grant to another token."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"The token lacks the scope {scope}; use one that has it, or ask for one.", metadata={"scope": scope}
        )


class ProjectForbidden(PermissionDenied):
    """Projects that were asked for are missing, inactive or not allowed to the token: all alike.

    The metadata holds their slugs as asked for (their names, where these call the organization by another slug than
    the call does), at most 20 of them, then how many more.
    """

    def __init__(self, slugs: Iterable[str]) -> None:
        named = sorted(set(slugs))
        listed = ", ".join(named[:20]) + (f" and {len(named) - 20} more" if len(named) > 20 else "")
        super().__init__(
            f"This token may not use these projects, or they do not exist: {listed}.", metadata={"projects": listed}
        )


class TokenNotFound(NotFound):
    """No such token, or not yours."""

    def __init__(self, organization: str | None, uid: str) -> None:
        name = f"tokens/{uid}" if organization is None else f"organizations/{organization}/tokens/{uid}"
        super().__init__(f"{name} does not exist, or this token may not see it.", metadata={"name": name})
