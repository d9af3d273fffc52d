"""GetRelease and GetPreviousRelease: what a caller may see, and what came before."""

from __future__ import annotations

import pytest

from store.commits.drafts import CommitDraft
from store.database import Database
from store.errors import OrganizationNotFound, ReleaseNotFound
from store.releases.delete import delete_release
from store.releases.details import ReleaseDetails
from store.releases.read import get_previous_release, get_release
from store.releases.rows import ReleaseStatus
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


def commits(*ids: str) -> tuple[CommitDraft, ...]:
    return tuple(CommitDraft(id_, "repo") for id_ in ids)


def previous_of(acme: Acme, version: str, **caller: object) -> str | None:
    access = caller.get("access", acme.everybody)
    found: ReleaseDetails | None = get_previous_release(acme.db, access, "acme", version)  # type: ignore[arg-type]
    return None if found is None else found.release.version


def test_a_member_of_one_project_reads_a_release_of_two(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    release = get_release(acme.db, acme.member_of("web"), "acme", "1.0.0").release
    assert [project.slug for project in release.projects] == ["api", "web"]


def test_a_release_of_other_projects_looks_as_if_it_were_not_there(acme: Acme) -> None:
    acme.release("1.0.0", "api")
    caller = acme.member_of("web")

    with pytest.raises(ReleaseNotFound) as forbidden:
        get_release(acme.db, caller, "acme", "1.0.0")
    with pytest.raises(ReleaseNotFound) as missing:
        get_release(acme.db, caller, "acme", "2.0.0")
    assert str(forbidden.value) == str(missing.value).replace("2.0.0", "1.0.0")


def test_open_membership_lets_everybody_of_the_organization_read(database: Database) -> None:
    acme = Acme(database, "web", open_membership=True)
    acme.release("1.0.0", "web")
    assert get_release(database, acme.member_of(), "acme", "1.0.0").release.version == "1.0.0"


def test_another_organization_cannot_tell_whether_this_one_exists(acme: Acme, database: Database) -> None:
    other = Acme(database, "web", slug="other")
    acme.release("1.0.0", "web")
    for slug in ("acme", "nowhere"):
        with pytest.raises(OrganizationNotFound):
            get_release(database, other.everybody, slug, "1.0.0")


def test_versions_are_compared_by_code_point(acme: Acme) -> None:
    acme.release("V1", "web")
    acme.release("v1", "web")
    assert get_release(acme.db, OPERATOR, "acme", "V1").release.version == "V1"
    with pytest.raises(ReleaseNotFound):
        get_release(acme.db, OPERATOR, "acme", "v1 ")


def test_what_is_in_a_release_is_read_only_when_asked_for(acme: Acme) -> None:
    acme.release("1.0.0", "web", commits=commits("a"))

    full = get_release(acme.db, OPERATOR, "acme", "1.0.0")
    basic = get_release(acme.db, OPERATOR, "acme", "1.0.0", contents=False)
    assert full.contents is not None
    assert full.contents.last_commit is not None
    assert basic.contents is None
    assert basic.release == full.release


def test_the_previous_release_is_the_newest_earlier_one_with_commits(acme: Acme, clock: ManualClock) -> None:
    for version, ids in (("1", "a"), ("2", "b"), ("3", ""), ("4", "d"), ("5", "e")):
        acme.release(version, "web", commits=commits(*ids))
        clock.advance(seconds=1)

    assert previous_of(acme, "4") == "2"
    assert previous_of(acme, "1") is None


def test_the_previous_release_goes_by_release_time_where_there_is_one(acme: Acme) -> None:
    acme.release("late", "web", commits=commits("a"), release_time=START_US - 10)
    acme.release("early", "web", commits=commits("b"), release_time=START_US - 20)
    acme.release("unreleased", "web", commits=commits("c"))

    assert previous_of(acme, "unreleased") == "late"
    assert previous_of(acme, "late") == "early"


def test_a_release_of_the_same_moment_is_not_before(acme: Acme) -> None:
    acme.release("1", "web", commits=commits("a"))
    acme.release("2", "web", commits=commits("b"))
    assert previous_of(acme, "2") is None


def test_only_releases_of_the_same_projects_count(acme: Acme, clock: ManualClock) -> None:
    acme.release("web-1", "web", commits=commits("a"))
    clock.advance(seconds=1)
    acme.release("api-1", "api", commits=commits("b"))
    clock.advance(seconds=1)
    acme.release("web-2", "web", commits=commits("c"))
    clock.advance(seconds=1)
    acme.release("both", "web", "api", commits=commits("d"))

    assert previous_of(acme, "web-2") == "web-1"
    assert previous_of(acme, "both") == "web-2"
    assert previous_of(acme, "both", access=acme.member_of("api")) == "api-1"


def test_an_archived_release_counts_as_previous_and_a_deleted_one_does_not(acme: Acme, clock: ManualClock) -> None:
    acme.release("1", "web", commits=commits("a"))
    clock.advance(seconds=1)
    acme.release("2", "web", commits=commits("b"), status=ReleaseStatus.ARCHIVED)
    clock.advance(seconds=1)
    acme.release("3", "web", commits=commits("c"))
    assert previous_of(acme, "3") == "2"

    delete_release(acme.db, OPERATOR, "acme", "2")
    assert previous_of(acme, "3") == "1"


def test_the_previous_release_of_one_that_is_not_the_callers_is_not_told(acme: Acme) -> None:
    acme.release("1", "api")
    with pytest.raises(ReleaseNotFound):
        previous_of(acme, "1", access=acme.member_of("web"))
