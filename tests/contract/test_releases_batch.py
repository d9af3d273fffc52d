"""BatchGetReleases: many releases by their names (behaviour.md, Batches of releases)."""

from __future__ import annotations

from typing import Any

import pytest

from store.access import Access
from store.commits.drafts import CommitDraft
from store.database import Database, QueryEvent
from store.errors import InvalidField, OrganizationNotFound, ReleasesNotFound
from store.organizations.organizations import OrganizationChanges, update_organization
from store.paging import PAGE_BYTES
from store.releases.batch import NamedRelease, get_releases
from store.releases.delete import delete_release
from store.releases.details import ReleaseDetails, wire_bytes_of
from store.releases.read import get_release
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


def got(acme: Acme, *versions: str, access: Access | None = None, **asked: Any) -> list[ReleaseDetails]:
    names = [NamedRelease("acme", version) for version in versions]
    return get_releases(acme.db, access or acme.everybody, "acme", names, **asked)


def versions_of(releases: list[ReleaseDetails]) -> list[str]:
    return [details.release.version for details in releases]


def test_releases_come_in_the_order_of_their_names(acme: Acme) -> None:
    for version in ("1", "2", "3"):
        acme.release(version, "web")
    assert versions_of(got(acme, "2", "3", "1")) == ["2", "3", "1"]


def test_a_release_named_twice_is_there_twice(acme: Acme) -> None:
    acme.release("1", "web")
    acme.release("2", "web")
    assert versions_of(got(acme, "1", "2", "1")) == ["1", "2", "1"]


def test_each_is_what_reading_it_alone_answers(acme: Acme) -> None:
    acme.release("1", "web", "api", labels={"team": "payments"})
    acme.release("2", "web", commits=(CommitDraft("a", "repo", author_email="ann@example.com"),))
    for contents in (True, False):
        alone = [get_release(acme.db, acme.everybody, "acme", version, contents=contents) for version in ("1", "2")]
        assert got(acme, "1", "2", contents=contents) == alone


def test_a_thousand_releases_cost_a_handful_of_queries(acme: Acme) -> None:
    versions = [str(number) for number in range(600)]
    for version in versions:
        acme.release(version, "web")
    asked: list[QueryEvent] = []
    acme.db.hooks.append(asked.append)
    assert versions_of(got(acme, *versions)) == versions
    assert 2 <= len(asked) < 10


@pytest.mark.parametrize("missing", ["nothing", "theirs", "gone"])
def test_what_is_not_there_or_not_the_callers_is_missing(acme: Acme, missing: str) -> None:
    acme.release("here", "web")
    acme.release("theirs", "api")
    acme.release("gone", "web")
    delete_release(acme.db, acme.everybody, "acme", "gone")

    with pytest.raises(ReleasesNotFound) as refused:
        got(acme, "here", missing, "here", missing, access=acme.member_of("web"))
    assert [violation.field for violation in refused.value.violations] == ["names[1]", "names[3]"]
    assert refused.value.metadata["missing_count"] == "2"


def test_a_release_of_several_projects_is_the_callers_by_one_of_them(acme: Acme) -> None:
    acme.release("both", "web", "api")
    assert versions_of(got(acme, "both", access=acme.member_of("web"))) == ["both"]


def test_releases_of_other_organizations_are_refused(acme: Acme) -> None:
    other = Acme(acme.db, "web", slug="other")
    acme.release("1", "web")
    other.release("1", "web")

    for slug in ("other", "nobody"):
        with pytest.raises(InvalidField) as refused:
            get_releases(acme.db, OPERATOR, "acme", [NamedRelease("acme", "1"), NamedRelease(slug, "1")])
        assert refused.value.metadata["field"] == "names[1]"
    with pytest.raises(OrganizationNotFound):
        get_releases(acme.db, other.everybody, "acme", [NamedRelease("acme", "1")])


def test_a_former_slug_is_as_good_as_the_present_one(acme: Acme) -> None:
    acme.release("1", "web")
    update_organization(acme.db, acme.everybody, "acme", OrganizationChanges(slug="acme2"))

    names = [NamedRelease("acme", "1"), NamedRelease("acme2", "1")]
    for slug in ("acme", "acme2"):
        found = get_releases(acme.db, acme.everybody, slug, names)
        assert [(details.release.organization_slug, details.release.version) for details in found] == [
            ("acme2", "1"),
            ("acme2", "1"),
        ]


def test_the_answer_ends_before_it_passes_a_mebibyte(acme: Acme) -> None:
    versions = [str(number) for number in range(6)]
    for version in versions:
        acme.release(version, "web", commits=(CommitDraft(version, "repo", message="x" * 200_000),))

    found = got(acme, *versions, contents=True)
    assert versions_of(found) == versions[: len(found)]
    assert sum(map(wire_bytes_of, found)) <= PAGE_BYTES
    one_more = got(acme, versions[len(found)], contents=True)
    assert sum(map(wire_bytes_of, [*found, *one_more])) > PAGE_BYTES
    assert versions_of(got(acme, *versions)) == versions


def test_what_is_missing_is_missing_though_it_would_not_have_fitted(acme: Acme) -> None:
    versions = [str(number) for number in range(6)]
    for version in versions:
        acme.release(version, "web", commits=(CommitDraft(version, "repo", message="x" * 200_000),))
    with pytest.raises(ReleasesNotFound):
        got(acme, *versions, "nothing", contents=True)
