"""BulkUpdateReleases: what a query finds is archived, restored, labelled or deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.database import Database
from store.errors import (
    ReleaseNotFound,
)
from store.releases.drain import drain_deleted_releases
from store.releases.models import ReleaseLabel
from store.releases.rows import ReleaseStatus
from store.search.bulk import BulkAction, BulkChange
from tests.clocks import ManualClock
from tests.contract.bulk import ARCHIVE, DELETE, RESTORE, Registry, label, outcomes, unlabel, versions


@pytest.fixture
def acme(database: Database, clock: ManualClock) -> Registry:
    return Registry(database, clock)


def test_what_a_query_finds_is_archived_and_nothing_else(acme: Registry) -> None:
    acme.make("a@1.0", "web", "api")
    acme.make("a@2.0")
    other = acme.make("b@1.0")
    updated = acme.bulk(ARCHIVE, "release.package:a")

    assert outcomes(updated) == {"a@2.0": "CHANGED", "a@1.0": "CHANGED"}
    assert (versions(updated), updated.changed_count, updated.next) == (["a@2.0", "a@1.0"], 2, None)
    assert acme.statuses("a@1.0", "a@2.0", "b@1.0") == [
        ReleaseStatus.ARCHIVED,
        ReleaseStatus.ARCHIVED,
        ReleaseStatus.OPEN,
    ]
    assert acme.read("b@1.0") == other


def test_an_archived_release_has_another_etag_and_an_activity_in_each_project(acme: Registry) -> None:
    before = acme.make("1.0", "web", "api")
    acme.clock.advance(seconds=5)
    acme.bulk(ARCHIVE)

    after = acme.read("1.0")
    assert after.etag != before.etag
    assert after == replace(
        before, status=ReleaseStatus.ARCHIVED, update_time=acme.clock.now_us(), revision=before.revision + 1
    )
    for project in ("web", "api"):
        assert acme.activities(project)[1:] == [("release_archived", "1.0", acme.clock.now_us())]
        assert acme.told("release_archived", project) == [{"version": "1.0"}]


def test_archived_releases_are_restored_unless_statuses_say_otherwise(acme: Registry) -> None:
    acme.make_archived("1.0", "web", "api")
    acme.make("2.0")
    assert outcomes(acme.bulk(RESTORE)) == {"1.0": "CHANGED"}
    assert acme.statuses("1.0", "2.0") == [ReleaseStatus.OPEN] * 2
    assert acme.activities("api")[-1][0] == "release_reopened"

    every = (ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED)
    assert outcomes(acme.bulk(RESTORE, statuses=every)) == {"2.0": "UNCHANGED", "1.0": "UNCHANGED"}


def test_a_query_that_says_the_status_is_asked_of_all(acme: Registry) -> None:
    acme.make_archived("1.0")
    acme.make("2.0")
    assert outcomes(acme.bulk(label(a="b"), "status:archived")) == {"1.0": "CHANGED"}
    assert outcomes(acme.bulk(ARCHIVE, "status:[open, archived]")) == {"2.0": "CHANGED", "1.0": "UNCHANGED"}


def test_what_is_so_already_keeps_its_etag_and_is_not_told(acme: Registry) -> None:
    before = acme.make_archived("1.0")
    told = acme.activities()
    acme.clock.advance(seconds=1)
    updated = acme.bulk(ARCHIVE, statuses=(ReleaseStatus.ARCHIVED,))

    assert (outcomes(updated), updated.changed_count) == ({"1.0": "UNCHANGED"}, 0)
    assert acme.read("1.0") == before
    assert acme.activities() == told


def test_labels_are_set_and_removed_and_others_stay(acme: Registry) -> None:
    before = acme.make("1.0", labels={"team": "payments", "old": "1", "same": "1"})
    bare = acme.make("2.0")
    change = BulkChange(BulkAction.LABEL, {"team": "search", "tier": "2"}, ("old", "none"))
    assert outcomes(acme.bulk(change)) == {"2.0": "CHANGED", "1.0": "CHANGED"}

    assert acme.labels("1.0") == {"team": "search", "tier": "2", "same": "1"}
    assert acme.labels("2.0") == {"team": "search", "tier": "2"}
    assert acme.read("1.0").etag != before.etag
    assert acme.read("2.0").etag != bare.etag
    assert outcomes(acme.bulk(change)) == {"2.0": "UNCHANGED", "1.0": "UNCHANGED"}


def test_labels_that_are_not_there_are_removed_without_a_change(acme: Registry) -> None:
    before = acme.make("1.0")
    acme.make("2.0", labels={"old": "1"})
    assert outcomes(acme.bulk(unlabel("old"))) == {"2.0": "CHANGED", "1.0": "UNCHANGED"}
    assert acme.labels("2.0") == {}
    assert acme.read("1.0") == before


def test_a_release_takes_no_more_than_64_labels(acme: Registry) -> None:
    full = {f"key-{number}": "v" for number in range(64)}
    before = acme.make("1.0", labels=full)
    acme.make("2.0", labels=dict(list(full.items())[:63]))
    assert outcomes(acme.bulk(label(one="more"))) == {"2.0": "CHANGED", "1.0": "TOO_MANY_LABELS"}

    assert acme.labels("1.0") == full
    assert acme.read("1.0") == before
    assert len(acme.labels("2.0")) == 64
    swap = BulkChange(BulkAction.LABEL, {"one": "other", "two": "v"}, ("key-0", "key-1"))
    assert outcomes(acme.bulk(swap)) == {"2.0": "CHANGED", "1.0": "CHANGED"}


def test_a_deleted_release_is_gone_and_its_version_free(acme: Registry) -> None:
    gone = acme.make("a@1.0", "web", "api", labels={"team": "payments"})
    acme.make("b@1.0")
    assert outcomes(acme.bulk(DELETE, "label.team:payments")) == {"a@1.0": "CHANGED"}

    with pytest.raises(ReleaseNotFound):
        acme.read("a@1.0")
    assert acme.rows_in_projects(gone.id) == []
    assert acme.activities("api")[-1][:2] == ("release_deleted", "a@1.0")
    assert acme.make("a@1.0").id != gone.id
    assert drain_deleted_releases(acme.db) == 1
    assert acme.db.read(lambda reader: reader.fetch(ReleaseLabel.select())) == []
    assert acme.statuses("a@1.0", "b@1.0") == [ReleaseStatus.OPEN] * 2
