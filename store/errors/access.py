"""Errors of tokens and of what they may do."""

from __future__ import annotations

from collections.abc import Iterable

from store.errors.kinds import FailedPrecondition, NotFound, PermissionDenied, Unauthenticated


class CredentialsInvalid(Unauthenticated):
    """The token is malformed, unknown, expired or revoked; which of these is not told.

    Beside a client's certificate that stands for somebody it may also be another organization's than the certificate,
    or the certificate one of what is not there; that is not told apart either.
    """

    def __init__(self, *, beside_certificate: bool = False) -> None:
        super().__init__(
            "The certificate stands for nobody who may call, or the token is not valid beside it: malformed, unknown, "
            "expired, revoked, or of another organization. The server's log tells its operator more."
            if beside_certificate
            else "The token is not valid: malformed, unknown, expired or revoked. Ask for a new one."
        )


class ScopeMissing(PermissionDenied):
    """The caller, by token or by certificate, lacks a scope: to call a method with, or to grant to a token."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"You lack the scope {scope}: call with what has it, or ask for it.", metadata={"scope": scope}
        )


class ProjectForbidden(PermissionDenied):
    """Projects that were asked for are missing, inactive or not allowed to the caller: all alike.

    The metadata holds their slugs as asked for (their names, where these call the organization by another slug than
    the call does), at most 20 of them, then how many more.
    """

    def __init__(self, slugs: Iterable[str]) -> None:
        named = sorted(set(slugs))
        listed = ", ".join(named[:20]) + (f" and {len(named) - 20} more" if len(named) > 20 else "")
        super().__init__(
            f"You may not use these projects, or they do not exist: {listed}.", metadata={"projects": listed}
        )


class TokenEnded(FailedPrecondition):
    """The token was revoked or has expired, so that it gets no other secret."""

    def __init__(self, organization: str | None, uid: str) -> None:
        name = _name(organization, uid)
        super().__init__(f"{name} was revoked or has expired: create another token.", metadata={"name": name})


class TokenNotFound(NotFound):
    """No such token, or not yours."""

    def __init__(self, organization: str | None, uid: str) -> None:
        name = _name(organization, uid)
        super().__init__(f"{name} does not exist, or you may not see it.", metadata={"name": name})


def _name(organization: str | None, uid: str) -> str:
    return f"tokens/{uid}" if organization is None else f"organizations/{organization}/tokens/{uid}"
