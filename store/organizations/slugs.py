"""Slugs: the ids that people choose for organizations and projects.

A slug, once used, belongs to its owner for ever: when it is changed, the old one stays an alias and is never given to
another. See behaviour.md, Slugs.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

from store.errors import InvalidField

SHORTEST: Final = 3
LONGEST: Final = 50

# Words that mean something to us, to tools or to file systems where a slug may stand, and that a later version could
# not take back from their owners. Short on purpose: `api`, `web` and `docs` are what people call their projects.
# fmt: off
RESERVED: Final = frozenset(
    [
        "all", "any", "aux", "commits", "con", "deploys", "environments", "everything", "false", "files",
        "installation", "latest", "new", "nil", "none", "nul", "null", "operator", "organizations", "prn",
        "projects", "releaseregistry", "releases", "repositories", "self", "tokens", "true", "undefined",
        "uploads", "whoami",
    ]
)
# fmt: on

_ALLOWED = re.compile(r"[a-z0-9_-]+")


def slug_problem(slug: str) -> str | None:
    """What is wrong with a slug, in words for its author; None when it is good.

    Good are 3 to 50 of `a-z 0-9 _ -`, not all digits, no reserved word.
    """
    if not SHORTEST <= len(slug) <= LONGEST:
        return f"must have {SHORTEST} to {LONGEST} characters"
    if not _ALLOWED.fullmatch(slug):
        return "may hold only lower-case letters a-z, digits, '_' and '-'"
    if slug.isdigit():
        return "must not be all digits, which would look like a number"
    if slug in RESERVED:
        return f"must not be {slug!r}, a reserved word"
    return None


class InvalidSlug(InvalidField):
    """A slug is not good; the violation says why."""

    reason: ClassVar[str] = InvalidField.reason


def check_slug(slug: str, *, field: str = "slug") -> None:
    """Raises `InvalidSlug` for the field when the slug is not good, as `slug_problem` says."""
    problem = slug_problem(slug)
    if problem is not None:
        raise InvalidSlug(field, problem)
