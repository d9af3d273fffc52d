"""What this thread's log lines say of the call that it works for.

A module of its own, because a program that serves no calls logs as well, and needs no gRPC for it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Named:
    """The resources that a message names. Organizations and projects are told by the slugs that the caller used."""

    organization: str = ""
    projects: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()


NOTHING_NAMED: Final = Named()


class CallTags:
    """Who calls what: told by every log line of the call, by its line in the audit trail, and by its trace."""

    __slots__ = ("_names", "method", "request_id", "token_id")

    def __init__(self, request_id: str, method: str) -> None:
        self.request_id = request_id
        self.method = method
        """Service and method, such as `ReleaseService/GetRelease`."""
        self.token_id = ""
        """Once the token is known to be good."""
        self._names: Named | Callable[[], Named] = NOTHING_NAMED

    def name(self, names: Callable[[], Named]) -> None:
        """What the request names is told by `names`, which is called when somebody wants to know."""
        self._names = names

    @property
    def named(self) -> Named:
        """What the request names, as far as it has come."""
        found = self._names
        if not isinstance(found, Named):
            found = self._names = found()
        return found

    def settle(self, *, told: bool) -> None:
        """The call is over: let go of its request. Unless it was `told`, nobody will ask what it named."""
        if not isinstance(self._names, Named):
            self._names = self.named if told else NOTHING_NAMED

    def fields(self) -> dict[str, Any]:
        """The tags, without those that are empty."""
        fields: dict[str, Any] = {"request_id": self.request_id, "method": self.method}
        if self.token_id:
            fields["token_id"] = self.token_id
        named = self.named
        if named.organization:
            fields["organization"] = named.organization
        if named.projects:
            fields["projects"] = named.projects
        return fields


tags_of_call: contextvars.ContextVar[CallTags | None] = contextvars.ContextVar("tags_of_call", default=None)
"""The tags of the call that this thread works for."""
