"""ListReleases: newest first, each once, both ways, in whatever projects."""

from __future__ import annotations

from typing import Any

import pytest

from store.commits.drafts import CommitDraft
from store.database import Database
from store.errors import ProjectForbidden
from store.paging import Page, PageRequest, Position
from store.releases.details import ReleaseDetails
from store.releases.rows import ReleaseStatus
from store.search.filters import ReleaseFilter
from store.search.list import list_releases
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "cli", "web")


def page_of(acme: Acme, size: int = 100, position: Position | None = None, **asked: Any) -> Page[ReleaseDetails]:
    access = asked.pop("access", OPERATOR)
    contents = asked.pop("contents", False)
    request = PageRequest(size, position)
    return list_releases(acme.db, access, "acme", ReleaseFilter(**asked), page=request, contents=contents).page


def versions(acme: Acme, **asked: Any) -> list[str]:
    return [item.release.version for item in page_of(acme, **asked).items]


def walked(acme: Acme, size: int, **asked: Any) -> tuple[list[str], list[str]]:
    """Every version, by pages to the end, and then by pages back to the beginning."""
    there: list[str] = []
    page = page_of(acme, size, **asked)
    there += [item.release.version for item in page.items]
    while page.next is not None:
        page = page_of(acme, size, page.next, **asked)
        assert page.items
        there += [item.release.version for item in page.items]
    back = [item.release.version for item in page.items]
    while page.previous is not None:
        page = page_of(acme, size, page.previous, **asked)
        back = [item.release.version for item in page.items] + back
    return there, back


def test_the_newest_release_comes_first(acme: Acme, clock: ManualClock) -> None:
    for version in ("1", "3", "2"):
        acme.release(version, "web")
        clock.advance(seconds=1)
    assert versions(acme) == ["2", "3", "1"]
    assert versions(acme, projects=("web",)) == ["2", "3", "1"]


def test_releases_of_one_moment_come_in_one_order(acme: Acme) -> None:
    for number in range(5):
        acme.release(str(number), "web")
    in_one_order = versions(acme)
    assert sorted(in_one_order) == ["0", "1", "2", "3", "4"]
    assert in_one_order == versions(acme, projects=("web",)) == versions(acme, projects=("web", "api"))
    assert walked(acme, 2) == (in_one_order, in_one_order)


def test_an_organization_without_releases_has_an_empty_list(acme: Acme) -> None:
    for asked in ({}, {"projects": ("web",)}, {"every_project": True}):
        page = page_of(acme, **asked)
        assert (page.items, page.next, page.previous) == ((), None, None)


def test_a_caller_without_any_project_gets_an_empty_list(acme: Acme) -> None:
    acme.release("1", "web")
    page = page_of(acme, access=acme.member_of())
    assert (page.items, page.next, page.previous) == ((), None, None)


def test_nothing_named_is_what_the_caller_is_a_member_of(acme: Acme, clock: ManualClock) -> None:
    acme.release("web", "web")
    clock.advance(seconds=1)
    acme.release("api", "api")
    clock.advance(seconds=1)
    acme.release("both", "web", "api")

    assert versions(acme, access=acme.member_of("web")) == ["both", "web"]
    assert versions(acme, access=acme.member_of("web", "api")) == ["both", "api", "web"]
    assert versions(acme, access=acme.everybody) == ["both", "api", "web"]


def test_every_project_is_all_that_may_be_accessed(database: Database, clock: ManualClock) -> None:
    acme = Acme(database, "web", "api", open_membership=True)
    acme.release("web", "web")
    clock.advance(seconds=1)
    acme.release("api", "api")

    member = acme.member_of("web")
    assert versions(acme, access=member) == ["web"]
    assert versions(acme, access=member, projects=("api",)) == ["api"]
    assert versions(acme, access=member, every_project=True) == ["api", "web"]


@pytest.mark.parametrize("project", ["api", "nowhere"])
def test_named_projects_that_may_not_be_accessed_are_refused(acme: Acme, project: str) -> None:
    with pytest.raises(ProjectForbidden):
        page_of(acme, access=acme.member_of("web"), projects=("web", project))


def test_open_releases_are_listed_unless_others_are_asked_for(acme: Acme, clock: ManualClock) -> None:
    acme.release("open", "web")
    clock.advance(seconds=1)
    acme.release("archived", "web", status=ReleaseStatus.ARCHIVED)

    for asked in ({}, {"projects": ("web",)}, {"projects": ("web", "api")}):
        assert versions(acme, **asked) == ["open"]
        assert versions(acme, statuses=(ReleaseStatus.ARCHIVED,), **asked) == ["archived"]
        assert versions(acme, statuses=tuple(ReleaseStatus)[:2], **asked) == ["archived", "open"]


def test_releases_of_another_organization_are_not_listed(acme: Acme, database: Database) -> None:
    other = Acme(database, "web", slug="other")
    other.release("theirs", "web")
    acme.release("ours", "web")
    assert versions(acme) == versions(acme, projects=("web",)) == ["ours"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"projects": ("web",)},
        {"projects": ("web", "api")},
        {"projects": ("web", "api", "cli"), "statuses": (ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED)},
        {"statuses": (ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED)},
    ],
    ids=["everything", "one", "two", "three-both-statuses", "everything-both-statuses"],
)
def test_pages_hold_every_release_once_there_and_back(
    acme: Acme, clock: ManualClock, asked: dict[str, Any], size: int
) -> None:
    for number in range(9):
        projects = [slug for bit, slug in enumerate(("web", "api", "cli")) if (number + 1) & (1 << bit)]
        status = ReleaseStatus.ARCHIVED if number % 4 == 3 else ReleaseStatus.OPEN
        acme.release(str(number), *(projects or ["web"]), status=status)
        clock.advance(seconds=number % 2)  # some at the same moment

    everything = versions(acme, **asked)
    assert len(set(everything)) == len(everything)
    assert len(everything) > 3
    assert walked(acme, size, **asked) == (everything, everything)


def test_a_caller_of_many_projects_gets_each_release_once(acme: Acme, clock: ManualClock) -> None:
    slugs = [f"project-{number}" for number in range(40)]
    for slug in slugs:
        acme.add_project(slug)
    for number, slug in enumerate(slugs):
        acme.release(f"of {slug}", slug, slugs[(number + 20) % 40])
        clock.advance(seconds=1)
    everybody = acme.member_of(*slugs)

    newest_first = [f"of {slug}" for slug in reversed(slugs)]
    assert versions(acme, access=everybody) == newest_first
    assert walked(acme, 7, access=everybody) == (newest_first, newest_first)


def test_a_release_created_meanwhile_moves_no_page(acme: Acme, clock: ManualClock) -> None:
    for number in range(4):
        acme.release(str(number), "web")
        clock.advance(seconds=1)
    first = page_of(acme, 2, projects=("web",))
    clock.advance(seconds=1)
    acme.release("new", "web")
    second = page_of(acme, 2, first.next, projects=("web",))

    assert [item.release.version for item in second.items] == ["1", "0"]
    back = page_of(acme, 2, second.previous, projects=("web",))
    assert [item.release.version for item in back.items] == ["3", "2"]
    assert back.previous is not None


def test_releases_are_listed_with_all_their_projects(acme: Acme) -> None:
    acme.release("1", "web", "api")
    (item,) = page_of(acme, projects=("web",)).items
    assert [project.slug for project in item.release.projects] == ["api", "web"]


def test_what_is_in_releases_is_listed_when_asked_for(acme: Acme, clock: ManualClock) -> None:
    acme.release("1", "web", commits=(CommitDraft("a", "repo"),))
    clock.advance(seconds=1)
    acme.release("2", "web")

    without, with_commits = page_of(acme, contents=True).items
    assert without.contents is not None
    assert without.contents.last_commit is None
    assert with_commits.contents is not None
    assert with_commits.contents.last_commit is not None
    assert [item.contents for item in page_of(acme).items] == [None, None]
