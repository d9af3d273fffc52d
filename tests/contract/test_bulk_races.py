"""BulkUpdateReleases and another change of one of its releases at the same instant: one comes behind the other."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from store.database import Database
from store.paging import PageRequest
from store.releases.delete import delete_release
from store.releases.details import ReleaseDetails
from store.releases.read import get_release
from store.releases.update import ReleaseChanges, update_release
from store.search.bulk import BulkAction, BulkChange, BulkOutcome, BulkUpdated, bulk_update_releases
from store.search.filters import ReleaseFilter
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, WAIT, half_done, second

READ_LABELS = 'SELECT "t1"."release_id", "t1"."key"'
"""What a call that labels does between locking its releases and changing them."""


@pytest.fixture
def acme(database: Database) -> Acme:
    acme = Acme(database, "web")
    for number in range(3):
        acme.release(f"1.{number}", "web", labels={"old": "1"})
    return acme


def label_all(acme: Acme) -> BulkUpdated:
    change = BulkChange(BulkAction.LABEL, {"team": "search"})
    updated: BulkUpdated = bulk_update_releases(
        acme.db, acme.everybody, "acme", ReleaseFilter("release:*"), change, page=PageRequest(10)
    )
    return updated


def test_labels_that_are_replaced_meanwhile_are_replaced_afterwards(acme: Acme) -> None:
    changes = ReleaseChanges(frozenset({"labels"}), labels={"risk": "low"})
    with ThreadPoolExecutor(1) as threads:
        with half_done(acme.db, READ_LABELS, lambda: label_all(acme)) as labelling:
            replacing: Future[ReleaseDetails] = second(
                acme.db, threads, lambda: update_release(acme.db, OPERATOR, "acme", "1.1", changes=changes)
            )
        assert labelling.result(WAIT).changed_count == 3
        replacing.result(WAIT)

    details = get_release(acme.db, OPERATOR, "acme", "1.1")
    assert (details.labels, details.release.label_count, details.release.revision) == ({"risk": "low"}, 1, 3)


def test_a_release_that_is_deleted_meanwhile_is_changed_first(acme: Acme) -> None:
    with ThreadPoolExecutor(1) as threads:
        with half_done(acme.db, READ_LABELS, lambda: label_all(acme)) as labelling:
            deleting: Future[None] = second(acme.db, threads, lambda: delete_release(acme.db, OPERATOR, "acme", "1.1"))
        told = {result.version: result.outcome for result in labelling.result(WAIT).results}
        deleting.result(WAIT)
    assert told == dict.fromkeys(("1.0", "1.1", "1.2"), BulkOutcome.CHANGED)
    assert [result.version for result in label_all(acme).results if result.version == "1.1"] == []


def test_two_calls_for_the_same_releases_come_one_behind_the_other(acme: Acme) -> None:
    with ThreadPoolExecutor(1) as threads:
        with half_done(acme.db, READ_LABELS, lambda: label_all(acme)) as first:
            other = second(acme.db, threads, lambda: label_all(acme))
        assert (first.result(WAIT).changed_count, other.result(WAIT).changed_count) == (3, 0)
