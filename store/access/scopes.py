"""Scopes: what a token may do.

A scope is `family:level`. Within a family admin includes write and write includes read; between families nothing is
included, so that not even `installation:admin` reads a release. See behaviour.md, Access.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

ANY: Final = "any"
INSTALLATION_ADMIN: Final = "installation:admin"
TOKEN_ADMIN: Final = "token:admin"  # noqa: S105 - a scope

# Each scope with all that it includes, itself too.
_INCLUDED: Final = MappingProxyType(
    {
        "org:read": frozenset({"org:read"}),
        "org:write": frozenset({"org:read", "org:write"}),
        "org:admin": frozenset({"org:read", "org:write", "org:admin"}),
        "project:write": frozenset({"project:write"}),
        "release:read": frozenset({"release:read"}),
        "release:write": frozenset({"release:read", "release:write"}),
        "release:admin": frozenset({"release:read", "release:write", "release:admin"}),
        "health:read": frozenset({"health:read"}),
        "health:write": frozenset({"health:read", "health:write"}),
        TOKEN_ADMIN: frozenset({TOKEN_ADMIN}),
        INSTALLATION_ADMIN: frozenset({INSTALLATION_ADMIN}),
    }
)

SCOPES: Final = frozenset(_INCLUDED)

# The widest scope of each family: what an operator's first token holds.
WIDEST: Final = frozenset(scope for scope in SCOPES if not any(scope in _INCLUDED[other] for other in SCOPES - {scope}))


def widest(scopes: Iterable[str]) -> tuple[str, ...]:
    """Those of the scopes that no other of them includes, sorted: a short way to say the same."""
    held = frozenset(scopes)
    return tuple(sorted(scope for scope in held if scope not in with_included(held - with_included([scope]))))


def with_included(scopes: Iterable[str]) -> frozenset[str]:
    """All that holders of these scopes may do: the scopes and those they include; unknown words stay as they are."""
    return frozenset(included for scope in scopes for included in _INCLUDED.get(scope, (scope,)))
