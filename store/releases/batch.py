"""Reading many releases by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from store.access import Access
from store.access.projects import ProjectSet, accessible_projects, slugs_of
from store.database import Database, Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.errors import InvalidField, ReleasesNotFound
from store.organizations.lookup import find_organization
from store.organizations.rows import OrganizationRow
from store.paging import PAGE_BYTES, PageRequest, fitting
from store.releases.details import ReleaseDetails, basic_details_of, details_of, wire_bytes_of
from store.releases.lookup import with_projects
from store.releases.models import Release
from store.releases.rows import RELEASE_COLUMNS, ReleaseRow

# How many releases are read together: with all that is in them they may be large, and what does not fit is for nothing.
_BASIC_AT_ONCE: Final = 500
_FULL_AT_ONCE: Final = 64


class NamedRelease(NamedTuple):
    """A release as a caller names it: by a slug of its organization, of which there may be several, and its version."""

    organization_slug: str
    version: str


def get_releases(
    db: Database, access: Access, organization_slug: str, names: Sequence[NamedRelease], *, contents: bool = False
) -> list[ReleaseDetails]:
    """The releases of these names, in their order: one for each name, so that one named twice is there twice. As many
    as fit 1 MiB on the wire, from the first one on, and one at least. `contents` reads what is in each, too.

    Raises `OrganizationNotFound`; `InvalidField` for a name of another organization; `ReleasesNotFound` when there is
    no such release, or none of its projects is the caller's, for as little as one of the names: also for those that
    would not have fitted.
    """

    def read(reader: Reader) -> list[ReleaseDetails]:
        organization = find_organization(reader, access, organization_slug)
        allowed = accessible_projects(access, organization)
        _check_organizations(reader, organization, organization_slug, names)
        found = _by_version(reader, organization, allowed, names)
        missing = [(index, name.version) for index, name in enumerate(names) if name.version not in found]
        if missing:
            raise ReleasesNotFound(organization.slug, missing)
        wanted = [found[name.version] for name in names]
        details: list[ReleaseDetails] = []
        sizes = map(wire_bytes_of, _kept(details, _details(reader, wanted, allowed, contents=contents)))
        fits = fitting(PageRequest(len(wanted)), sizes, most=PAGE_BYTES).size
        return details[:fits]

    return db.read(read)


def _check_organizations(
    reader: Reader, organization: OrganizationRow, organization_slug: str, names: Sequence[NamedRelease]
) -> None:
    """All names are of the organization: by the slug that the call has for it, or by another that it has or had."""
    others = {name.organization_slug for name in names} - {organization_slug, organization.slug}
    foreign = others - slugs_of(reader, organization.id, others)
    for index, name in enumerate(names):
        if name.organization_slug in foreign:
            raise InvalidField(f"names[{index}]", "must be a release of the organization that parent names")


def _by_version(
    reader: Reader, organization: OrganizationRow, allowed: ProjectSet, names: Sequence[NamedRelease]
) -> dict[str, ReleaseRow]:
    """The releases that the caller may read, by version."""
    rows: dict[str, tuple[Any, ...]] = {}
    for batch in batches(sorted({name.version for name in names})):
        found = reader.rows(_releases(len(batch)), organization_id=organization.id, **filled(batch))
        rows.update((row[_VERSION], row) for row in found)
    releases = with_projects(reader, organization, list(rows.values()))
    return {release.version: release for release in releases if allowed.allows_any(release.project_ids)}


def _details(
    reader: Reader, releases: Sequence[ReleaseRow], allowed: ProjectSet, *, contents: bool
) -> Iterator[ReleaseDetails]:
    """The releases with what is asked for, read as far as somebody takes them."""
    rest = iter(releases)
    while some := list(islice(rest, _FULL_AT_ONCE if contents else _BASIC_AT_ONCE)):
        yield from details_of(reader, some, allowed) if contents else basic_details_of(reader, some)


def _kept(kept: list[ReleaseDetails], items: Iterator[ReleaseDetails]) -> Iterator[ReleaseDetails]:
    for item in items:
        kept.append(item)
        yield item


_VERSION: Final = [column.name for column in RELEASE_COLUMNS].index("version")


@query_shape
def _releases(count: int) -> Query[tuple[Any, ...]]:
    return Query(
        Release.select(*RELEASE_COLUMNS).where(
            Release.organization_id == hole(Release.organization_id),
            Release.version.in_(holes(Release.version, count)),
            Release.delete_time.is_null(),
        )
    )
