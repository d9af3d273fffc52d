"""Acme with shorthands for changing many releases at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.access import Access
from store.database import PLAIN, Database, Terms
from store.paging import PageRequest
from store.releases.read import get_release
from store.releases.rows import ReleaseRow, ReleaseStatus
from store.search.bulk import BulkAction, BulkChange, BulkUpdated, bulk_update_releases
from store.search.filters import ReleaseFilter
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR

ARCHIVE, RESTORE = BulkChange(BulkAction.ARCHIVE), BulkChange(BulkAction.RESTORE)
DELETE = BulkChange(BulkAction.DELETE)
EVERYTHING = "release:*"


class Registry(Acme):
    """Acme with its shorthands for changing many releases; each release is a second younger than the one before."""

    def __init__(self, db: Database, clock: ManualClock) -> None:
        super().__init__(db, "api", "web")
        self.clock = clock

    def make(self, version: str, *projects: str, **fields: Any) -> ReleaseRow:
        self.clock.advance(seconds=1)
        return self.release(version, *(projects or ("web",)), **fields).details.release

    def make_archived(self, version: str, *projects: str) -> ReleaseRow:
        return self.make(version, *projects, status=ReleaseStatus.ARCHIVED)

    def bulk(
        self,
        change: BulkChange,
        query: str = EVERYTHING,
        *,
        access: Access | None = None,
        size: int = 100,
        after: BulkUpdated | None = None,
        terms: Terms[Any, Any] = PLAIN,
        **wanted: Any,
    ) -> BulkUpdated:
        page = PageRequest(size, None if after is None else after.next)
        updated: BulkUpdated = bulk_update_releases(
            self.db, access or self.everybody, "acme", ReleaseFilter(query, **wanted), change, page=page, terms=terms
        )
        return updated

    def all_calls(
        self, change: BulkChange, query: str = EVERYTHING, *, size: int = 100, **more: Any
    ) -> list[list[str]]:
        """The versions of each call, one call after the other until there is nothing left."""
        updated = self.bulk(change, query, size=size, **more)
        calls = [versions(updated)]
        while updated.next is not None:
            updated = self.bulk(change, query, size=size, after=updated, **more)
            calls.append(versions(updated))
        return calls

    def read(self, version: str) -> ReleaseRow:
        return get_release(self.db, OPERATOR, "acme", version).release

    def statuses(self, *versions: str) -> list[int]:
        """Each release's status, which is that of its rows in projects."""
        found = [self.read(version) for version in versions]
        for release in found:
            assert {row.status for row in self.rows_in_projects(release.id)} == {release.status}
        return [release.status for release in found]

    def labels(self, version: str) -> Mapping[str, str]:
        details = get_release(self.db, OPERATOR, "acme", version)
        assert details.release.label_count == len(details.labels)
        return details.labels


def versions(updated: BulkUpdated) -> list[str]:
    return [result.version for result in updated.results]


def outcomes(updated: BulkUpdated) -> dict[str, str]:
    return {result.version: result.outcome.name for result in updated.results}


def label(**labels: str) -> BulkChange:
    return BulkChange(BulkAction.LABEL, labels)


def unlabel(*keys: str) -> BulkChange:
    return BulkChange(BulkAction.LABEL, {}, keys)
