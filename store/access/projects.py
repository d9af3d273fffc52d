"""Which projects a caller may see and work in.

*Membership* is what the token lists, or every project with all_projects. *Access* is membership, or every project of
an organization with open membership. What is missing and what is not the caller's look alike. See behaviour.md,
Access.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

from store.access.access import Access
from store.database import Query, Reader, Transaction, hole, query_shape
from store.database.batches import batches, filled, holes
from store.errors import ProjectForbidden
from store.organizations.models import OrganizationSlug, Project, ProjectSlug
from store.organizations.rows import OrganizationRow


class QualifiedSlug(NamedTuple):
    """A project by its slug and one of its organization, which may have several: the present one and former ones."""

    organization: str
    slug: str

    def __str__(self) -> str:
        return f"organizations/{self.organization}/projects/{self.slug}"


ProjectSlugText: TypeAlias = str | QualifiedSlug
"""How a caller names a project: by a slug, where the organization is the one that the call itself names, to the letter;
else by a qualified one, which may still mean the same."""


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project as releases need it; slug is its current one."""

    id: bytes
    slug: str


@dataclass(frozen=True, slots=True)
class ProjectSet:
    """Every project of an organization, or just these."""

    everything: bool
    ids: frozenset[bytes] = frozenset()

    def allows(self, project_id: bytes) -> bool:
        """Whether the project is in the set; it must be one of the organization's."""
        return self.everything or project_id in self.ids

    def allows_all(self, project_ids: Iterable[bytes]) -> bool:
        """Whether all of these are in the set; true of none at all."""
        return self.everything or self.ids.issuperset(project_ids)

    def allows_any(self, project_ids: Iterable[bytes]) -> bool:
        """Whether at least one of these is in the set; false of none at all."""
        if self.everything:
            return any(True for _ in project_ids)
        return not self.ids.isdisjoint(project_ids)


EVERY_PROJECT: Final = ProjectSet(everything=True)


@query_shape
def _projects_by_slugs(count: int) -> Query[tuple[str, bytes, str]]:
    return Query(
        ProjectSlug.select(ProjectSlug.slug, Project.id, Project.slug)
        .join(Project, on=(Project.id == ProjectSlug.project_id))
        .where(
            ProjectSlug.organization_id == hole(ProjectSlug.organization_id),
            ProjectSlug.slug.in_(holes(ProjectSlug.slug, count)),
        )
    )


@query_shape
def _organizations_by_slugs(count: int) -> Query[tuple[str, bytes]]:
    return Query(
        OrganizationSlug.select(OrganizationSlug.slug, OrganizationSlug.organization_id).where(
            OrganizationSlug.slug.in_(holes(OrganizationSlug.slug, count))
        )
    )


@query_shape
def _slugs_by_ids(count: int) -> Query[tuple[bytes, str]]:
    return Query(Project.select(Project.id, Project.slug).where(Project.id.in_(holes(Project.id, count))))


@query_shape
def _standing(count: int) -> Query[tuple[bytes]]:
    return Query(Project.select(Project.id).where(Project.id.in_(holes(Project.id, count))).order_by(Project.id))


def member_projects(access: Access) -> ProjectSet:
    """The projects that the caller is a member of: what create may name, and what lists show when nothing is named."""
    if access.all_projects or access.is_operator:
        return EVERY_PROJECT
    return ProjectSet(everything=False, ids=access.project_ids)


def accessible_projects(access: Access, organization: OrganizationRow) -> ProjectSet:
    """The projects that the caller may see and work in: all of an organization with open membership, else its own."""
    return EVERY_PROJECT if organization.open_membership else member_projects(access)


def projects_to_create_in(
    reader: Reader, access: Access, organization: OrganizationRow, slugs: Iterable[ProjectSlugText]
) -> tuple[ProjectRow, ...]:
    """The named projects, each once, sorted by id; the caller is a member of all of them.

    A former slug names its project, and its organization, too. Raises `ProjectForbidden` with the projects that are
    missing, another organization's or not the caller's, all alike.
    """
    return _allowed(reader, member_projects(access), organization, slugs)


def keep_projects(tx: Transaction, projects: Sequence[ProjectRow]) -> None:
    """The projects, sorted by id, stand until the transaction ends: whoever deletes one then sees what was put into it.

    They were read in this transaction. Raises `ProjectForbidden` for those that were deleted just now.
    """
    if tx.is_alone:
        return
    standing = standing_projects(tx, [project.id for project in projects])
    gone = [project.slug for project in projects if project.id not in standing]
    if gone:
        raise ProjectForbidden(gone)


def standing_projects(tx: Transaction, ids: Sequence[bytes]) -> set[bytes]:
    """Those of the projects, sorted, that are there; they stand until the transaction ends."""
    standing: set[bytes] = set()
    for batch in batches(ids):
        standing.update(id_ for (id_,) in tx.share(_standing(len(batch)), **filled(batch)))
    return standing


def projects_to_list(
    reader: Reader,
    access: Access,
    organization: OrganizationRow,
    slugs: Iterable[ProjectSlugText],
    *,
    everything: bool = False,
) -> ProjectSet:
    """The projects whose things a list shows.

    Those named, which the caller must all have access to (else `ProjectForbidden`, as in `projects_to_create_in`);
    nothing named: those the caller is a member of. With `everything` all that it may access, and of what is named only
    the organization counts.
    """
    named = set(slugs)
    accessible = accessible_projects(access, organization)
    if everything:
        foreign = named.difference(slugs_within(reader, organization.id, named))
        if foreign:
            raise ProjectForbidden(map(str, foreign))
        return accessible
    if named:
        allowed = _allowed(reader, accessible, organization, named)
        return ProjectSet(everything=False, ids=frozenset(project.id for project in allowed))
    return member_projects(access)


def project_slugs(reader: Reader, ids: Iterable[bytes]) -> dict[bytes, str]:
    """The current slugs of these projects; ids of none are left out."""
    found: dict[bytes, str] = {}
    for batch in batches(sorted(set(ids))):
        found.update(reader.rows(_slugs_by_ids(len(batch)), **filled(batch)))
    return found


def slugs_within(
    reader: Reader, organization_id: bytes, slugs: Iterable[ProjectSlugText]
) -> dict[ProjectSlugText, str]:
    """How those of the projects that are named as this organization's are called in it: by their bare slugs.

    Whether there is such a project is not looked at. Left out is what names another organization, or none that is.
    """
    named = set(slugs)
    same = slugs_of(reader, organization_id, {name.organization for name in named if isinstance(name, QualifiedSlug)})
    return {
        name: name.slug if isinstance(name, QualifiedSlug) else name
        for name in named
        if isinstance(name, str) or name.organization in same
    }


def slugs_of(reader: Reader, organization_id: bytes, slugs: Iterable[str]) -> set[str]:
    """Those of the slugs that are the organization's, or once were."""
    same: set[str] = set()
    for batch in batches(sorted(set(slugs))):
        rows = reader.rows(_organizations_by_slugs(len(batch)), **filled(batch))
        same.update(slug for slug, id_ in rows if id_ == organization_id)
    return same


def projects_named(
    reader: Reader, organization_id: bytes, names: Iterable[ProjectSlugText]
) -> dict[ProjectSlugText, ProjectRow]:
    """The organization's projects that these are names of, by name; whoever may see them. Others are left out."""
    within = slugs_within(reader, organization_id, names)
    found: dict[str, ProjectRow] = {}
    for batch in batches(sorted(set(within.values()))):
        query = _projects_by_slugs(len(batch))
        for asked, id_, slug in reader.rows(query, organization_id=organization_id, **filled(batch)):
            found[asked] = ProjectRow(id_, slug)
    return {name: found[slug] for name, slug in within.items() if slug in found}


def _allowed(
    reader: Reader, allowed: ProjectSet, organization: OrganizationRow, names: Iterable[ProjectSlugText]
) -> tuple[ProjectRow, ...]:
    asked_for = set(names)
    found = {
        name: project
        for name, project in projects_named(reader, organization.id, asked_for).items()
        if allowed.allows(project.id)
    }
    forbidden = [str(name) for name in asked_for if name not in found]
    if forbidden:
        raise ProjectForbidden(forbidden)
    return tuple(sorted(set(found.values()), key=attrgetter("id")))
