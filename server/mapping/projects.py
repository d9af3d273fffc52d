"""Names of projects in requests about something else: releases, tokens, files."""

from __future__ import annotations

from collections.abc import Iterable

from server.names import parse_project
from store.access.projects import ProjectSlugText, QualifiedSlug


def named_project(text: str, organization: str, *, field: str) -> ProjectSlugText:
    """The project in a name, for a call that names its organization by the slug `organization`.

    Only the store can tell whether two slugs are one organization's: an organization keeps all that it ever had.
    Raises InvalidName.
    """
    name = parse_project(text, field=field)
    return name.project if name.organization == organization else QualifiedSlug(name.organization, name.project)


def named_projects(names: Iterable[str], organization: str, *, field: str) -> tuple[ProjectSlugText, ...]:
    """The projects in names, in their order; each as `named_project` says."""
    return tuple(named_project(text, organization, field=f"{field}[{index}]") for index, text in enumerate(names))
