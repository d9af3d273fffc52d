"""Changing what callers write of a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from store.access import Access
from store.database import PLAIN, Database, Statement, Terms, Transaction, hole, holes_for
from store.database.terms import M
from store.errors import EtagMismatch
from store.releases.activities import record_of_release
from store.releases.details import ReleaseDetails, release_details
from store.releases.labels import check_labels, labels_of_releases, put_labels
from store.releases.lookup import writable_release
from store.releases.models import Release, ReleaseProject
from store.releases.rows import ReleaseRow, ReleaseStatus, sort_time_of
from store.releases.status import record_status
from store.text import folded_key


@dataclass(frozen=True, slots=True)
class ReleaseChanges:
    """What to change: only the fields that `fields` names, out of status, ref, url, owner, release_time, labels.

    A named field that is empty ("" or None) is cleared; the status is then OPEN. labels are all that there will be.
    """

    fields: frozenset[str]
    status: ReleaseStatus = ReleaseStatus.OPEN
    ref: str = ""
    url: str = ""
    owner: str = ""
    release_time: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


_UPDATE = Statement(
    Release.update(
        {
            **holes_for(
                Release.status,
                Release.ref,
                Release.url,
                Release.owner,
                Release.folded_owner,
                Release.release_time,
                Release.sort_time,
                Release.update_time,
                Release.label_count,
            ),
            Release.revision: Release.revision + 1,
        }
    ).where(Release.id == hole(Release.id), Release.revision == hole(Release.revision))
)

_UPDATE_PROJECTS = Statement(
    ReleaseProject.update(holes_for(ReleaseProject.status, ReleaseProject.sort_time)).where(
        ReleaseProject.release_id == hole(ReleaseProject.release_id)
    )
)


def update_release(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    *,
    changes: ReleaseChanges,
    etag: str = "",
    terms: Terms[ReleaseDetails, M] = PLAIN,
) -> M:
    """Change the named fields; the release as it then is. Changes that change nothing leave its etag alone.

    Raises `OrganizationNotFound`, `ReleaseNotFound` (also when one of its projects is not the caller's),
    `EtagMismatch` when an etag is given and the release has another; `InvalidField` for labels that are none.
    """
    if "labels" in changes.fields:
        check_labels(changes.labels, field="release.labels")
    return db.write(lambda tx: _update(tx, access, organization_slug, version, changes, etag), terms)


def _update(
    tx: Transaction, access: Access, organization_slug: str, version: str, changes: ReleaseChanges, etag: str
) -> ReleaseDetails:
    release = writable_release(tx, access, organization_slug, version)
    check_etag(release, etag)
    new = replace(release, **{name: getattr(changes, name) for name in changes.fields if name != "labels"})
    labels = labels_of_releases(tx, (release,)).get(release.id, {})
    new_labels = changes.labels if "labels" in changes.fields else labels
    if new == release and new_labels == labels:
        return release_details(tx, release)
    new = replace(new, label_count=len(new_labels), update_time=tx.now, revision=release.revision + 1)
    _write(tx, release, new)
    put_labels(tx, release.organization_id, {release.id: (labels, new_labels)})
    if new.status != release.status:
        record_status(tx, access, new)
    if release.release_time is None and new.release_time is not None:
        record_of_release(tx, access, new, "release_finalized", happen_time=new.release_time)
    return release_details(tx, new)


def _write(tx: Transaction, release: ReleaseRow, new: ReleaseRow) -> None:
    updated = tx.run(
        _UPDATE,
        id=release.id,
        revision=release.revision,
        status=new.status,
        ref=new.ref,
        url=new.url,
        owner=new.owner,
        folded_owner=folded_key(new.owner),
        release_time=new.release_time,
        sort_time=sort_time_of(new),
        update_time=new.update_time,
        label_count=new.label_count,
    )
    if not updated:
        raise EtagMismatch(release.etag)
    if (new.status, new.release_time) != (release.status, release.release_time):
        tx.run(_UPDATE_PROJECTS, release_id=release.id, status=new.status, sort_time=sort_time_of(new))


def check_etag(release: ReleaseRow, etag: str) -> None:
    """Return when the etag is the release's, or none was given. The release is locked, so it stays so."""
    if etag and etag != release.etag:
        raise EtagMismatch(release.etag)
