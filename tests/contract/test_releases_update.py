"""UpdateRelease: masks, etags, and the rows that lists read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.database import Database, Terms
from store.errors import EtagMismatch, ReleaseNotFound
from store.releases.details import ReleaseDetails
from store.releases.read import get_release
from store.releases.rows import ReleaseRow, ReleaseStatus
from store.releases.update import ReleaseChanges, update_release
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


def update(acme: Acme, version: str, *, etag: str = "", access: Any = OPERATOR, **fields: Any) -> ReleaseRow:
    changes = ReleaseChanges(frozenset(fields), **fields)
    updated: ReleaseDetails = update_release(acme.db, access, "acme", version, changes=changes, etag=etag)
    return updated.release


def test_only_named_fields_change(acme: Acme, clock: ManualClock) -> None:
    acme.release("1.0.0", "web", ref="main", url="https://a", owner="a")
    clock.advance(seconds=2)
    release = update(acme, "1.0.0", ref="v1", owner="")

    assert (release.ref, release.url, release.owner) == ("v1", "https://a", "")
    assert (release.create_time, release.update_time) == (START_US, START_US + 2_000_000)
    assert get_release(acme.db, OPERATOR, "acme", "1.0.0").release == release


def test_an_update_archives_and_opens_again(acme: Acme) -> None:
    created = acme.release("1.0.0", "web", "api").details.release

    update(acme, "1.0.0", status=ReleaseStatus.ARCHIVED)
    assert {row.status for row in acme.rows_in_projects(created.id)} == {ReleaseStatus.ARCHIVED}
    assert update(acme, "1.0.0", status=ReleaseStatus.OPEN).status == ReleaseStatus.OPEN
    assert {row.status for row in acme.rows_in_projects(created.id)} == {ReleaseStatus.OPEN}
    kinds = ["release_created", "release_archived", "release_reopened"]
    assert [kind for kind, _, _ in acme.activities("api")] == kinds


def test_finalizing_dates_the_rows_in_projects_and_is_told_once(acme: Acme) -> None:
    created = acme.release("1.0.0", "web", "api").details.release

    assert update(acme, "1.0.0", release_time=5).release_time == 5
    assert {row.sort_time for row in acme.rows_in_projects(created.id)} == {5}
    update(acme, "1.0.0", release_time=6)
    for project in ("web", "api"):
        assert acme.activities(project)[1:] == [("release_finalized", "1.0.0", 5)]


def test_a_release_is_unfinalized_by_clearing_its_release_time(acme: Acme) -> None:
    created = acme.release("1.0.0", "web", release_time=5).details.release

    assert update(acme, "1.0.0", release_time=None).release_time is None
    assert {row.sort_time for row in acme.rows_in_projects(created.id)} == {START_US}
    update(acme, "1.0.0", release_time=9)
    assert [kind for kind, _, _ in acme.activities()].count("release_finalized") == 2


def test_an_update_with_the_etag_it_read_goes_through_and_gives_another(acme: Acme) -> None:
    created = acme.release("1.0.0", "web").details.release
    release = update(acme, "1.0.0", etag=created.etag, ref="v1")
    assert release.etag != created.etag


def test_an_update_with_an_old_etag_is_refused_and_told_the_new_one(acme: Acme) -> None:
    created = acme.release("1.0.0", "web").details.release
    current = update(acme, "1.0.0", ref="v1")

    with pytest.raises(EtagMismatch) as raised:
        update(acme, "1.0.0", etag=created.etag, ref="v2")
    assert raised.value.metadata == {"etag": current.etag}
    assert get_release(acme.db, OPERATOR, "acme", "1.0.0").release == current


def test_an_update_that_changes_nothing_leaves_the_etag(acme: Acme, clock: ManualClock) -> None:
    created = acme.release("1.0.0", "web", ref="v1").details.release
    clock.advance(seconds=1)
    assert update(acme, "1.0.0", ref="v1", status=ReleaseStatus.OPEN) == created


def test_of_updates_at_once_with_one_etag_one_goes_through(acme: Acme) -> None:
    created = acme.release("1.0.0", "web").details.release

    def attempt(number: int) -> bool:
        try:
            update(acme, "1.0.0", etag=created.etag, ref=f"ref-{number}")
        except EtagMismatch:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(16))) == 1


def test_who_may_not_access_all_projects_cannot_update(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    with pytest.raises(ReleaseNotFound):
        update(acme, "1.0.0", access=acme.member_of("web"), ref="x")
    assert update(acme, "1.0.0", access=acme.member_of("web", "api"), ref="x").ref == "x"


def test_a_rehearsed_update_changes_nothing(acme: Acme) -> None:
    created = acme.release("1.0.0", "web").details.release
    terms: Terms[ReleaseDetails, ReleaseDetails] = Terms(validate_only=True)
    changes = ReleaseChanges(frozenset({"ref"}), ref="x")
    told = update_release(acme.db, OPERATOR, "acme", "1.0.0", changes=changes, terms=terms)

    assert told.release.ref == "x"
    assert get_release(acme.db, OPERATOR, "acme", "1.0.0").release == created
