from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from store.access import Access
from store.database import Database, Terms
from store.errors import InvalidField, OrganizationNotFound, ProjectExists, ProjectNotFound
from store.organizations.organizations import OrganizationChanges, update_organization
from store.organizations.projects import (
    ProjectChanges,
    ProjectDraft,
    ProjectInOrganization,
    create_project,
    get_project,
    list_projects,
    update_project,
)
from store.organizations.rows import ProjectDetails
from store.paging import Page, PageRequest
from tests.clocks import ManualClock
from tests.contract.callers import (
    OPERATOR,
    all_pages,
    at_once,
    errors_in,
    member_of,
    member_of_all,
    new_organization,
    new_project,
)


def listed(db: Database, request: PageRequest, access: Access = OPERATOR) -> Page[ProjectDetails]:
    return list_projects(db, access, "acme", request)[1]


def create(db: Database, draft: ProjectDraft, access: Access = OPERATOR) -> ProjectDetails:
    made: ProjectInOrganization = create_project(db, access, "acme", draft)
    return made[1]


def update(db: Database, slug: str, changes: ProjectChanges) -> ProjectDetails:
    changed: ProjectInOrganization = update_project(db, OPERATOR, "acme", slug, changes)
    return changed[1]


def slugs_of(page: Page[ProjectDetails]) -> list[str]:
    return [project.slug for project in page.items]


def test_a_created_project_is_found_by_its_slug(database: Database, clock: ManualClock) -> None:
    acme = new_organization(database)
    made = create(database, ProjectDraft("web", "The web", "python"))
    assert get_project(database, OPERATOR, "acme", "web") == (acme, made)
    assert (made.slug, made.display_name, made.platform) == ("web", "The web", "python")
    assert made.create_time == made.update_time == clock.now_us()


def test_a_project_may_be_one_whose_releases_come_by_hand(database: Database) -> None:
    new_organization(database)
    assert not create(database, ProjectDraft("web")).manual_releases
    made = create(database, ProjectDraft("api", manual_releases=True))
    assert made.manual_releases
    assert get_project(database, OPERATOR, "acme", "api")[1] == made
    assert update(database, "api", ProjectChanges(platform="go")).manual_releases
    assert not update(database, "api", ProjectChanges(manual_releases=False)).manual_releases
    assert [project.manual_releases for project in listed(database, PageRequest(10)).items] == [False, False]


def test_one_slug_may_be_used_in_two_organizations(database: Database) -> None:
    new_project(database, new_organization(database, "acme"), "web")
    new_project(database, new_organization(database, "umbrella"), "web")
    mine, theirs = (get_project(database, OPERATOR, slug, "web")[1] for slug in ("acme", "umbrella"))
    assert mine.id != theirs.id


def test_of_20_simultaneous_creations_of_one_slug_one_wins(database: Database) -> None:
    new_organization(database)
    outcomes = at_once(20, lambda _: create(database, ProjectDraft("web")))
    assert [type(error) for error in errors_in(outcomes)] == [ProjectExists] * 19
    assert slugs_of(listed(database, PageRequest(10))) == ["web"]


def test_simultaneous_creations_of_many_slugs_all_succeed(database: Database) -> None:
    new_organization(database)
    outcomes = at_once(20, lambda index: create(database, ProjectDraft(f"p-{index:02}")))
    assert errors_in(outcomes) == []
    assert slugs_of(listed(database, PageRequest(100))) == [f"p-{index:02}" for index in range(20)]


def test_a_rehearsed_creation_leaves_no_project_and_no_slug_behind(database: Database) -> None:
    new_organization(database)
    terms: Terms[ProjectInOrganization, ProjectInOrganization] = Terms(validate_only=True)
    create_project(database, OPERATOR, "acme", ProjectDraft("web"), terms)
    with pytest.raises(ProjectNotFound):
        get_project(database, OPERATOR, "acme", "web")
    create(database, ProjectDraft("web"))


def test_a_bad_slug_is_refused(database: Database) -> None:
    new_organization(database)
    with pytest.raises(InvalidField) as raised:
        create(database, ProjectDraft("Web"))
    assert raised.value.metadata == {"field": "project.slug"}


def test_an_old_slug_stays_an_alias_and_is_never_given_to_another(database: Database) -> None:
    acme = new_organization(database)
    made = new_project(database, acme, "web")
    update(database, "web", ProjectChanges(slug="website"))
    assert get_project(database, OPERATOR, "acme", "web")[1].id == made.id
    assert get_project(database, OPERATOR, "acme", "web")[1].slug == "website"
    with pytest.raises(ProjectExists):
        new_project(database, acme, "web")
    new_project(database, acme, "api")
    with pytest.raises(ProjectExists):
        update(database, "api", ProjectChanges(slug="web"))
    assert update(database, "web", ProjectChanges(slug="web")).slug == "web"


def test_a_project_is_found_by_an_old_slug_of_its_organization(database: Database) -> None:
    made = new_project(database, new_organization(database), "web")
    update_organization(database, OPERATOR, "acme", OrganizationChanges(slug="acme-corp"))
    parent, found = get_project(database, OPERATOR, "acme", "web")
    assert (parent.slug, found.id) == ("acme-corp", made.id)


def test_a_change_keeps_what_it_does_not_name_and_clears_what_is_empty(database: Database, clock: ManualClock) -> None:
    new_organization(database)
    create(database, ProjectDraft("web", "The web", "python"))
    clock.advance(seconds=1)
    changed = update(database, "web", ProjectChanges(display_name=""))
    assert (changed.slug, changed.display_name, changed.platform) == ("web", "web", "python")
    assert changed.update_time == changed.create_time + 1_000_000
    changed = update(database, "web", ProjectChanges(platform=""))
    assert changed.platform == ""


def test_a_project_that_is_not_mine_looks_like_one_that_is_not_there(database: Database) -> None:
    acme = new_organization(database)
    mine, _ = new_project(database, acme, "mine"), new_project(database, acme, "theirs")
    access = member_of(acme, mine)
    assert get_project(database, access, "acme", "mine")[1] == mine
    calls: list[Callable[[str], object]] = [
        lambda slug: get_project(database, access, "acme", slug),
        lambda slug: update_project(database, access, "acme", slug, ProjectChanges(platform="x")),
    ]
    for call in calls:
        told = []
        for slug in ("theirs", "nobody"):
            with pytest.raises(ProjectNotFound) as raised:
                call(slug)
            told.append((raised.value.message.replace(slug, "*"), raised.value.metadata["name"].replace(slug, "*")))
        assert told[0] == told[1]


def test_open_membership_opens_every_project_of_the_organization(database: Database) -> None:
    acme = new_organization(database)
    mine, theirs = new_project(database, acme, "mine"), new_project(database, acme, "theirs")
    update_organization(database, OPERATOR, "acme", OrganizationChanges(open_membership=True))
    assert get_project(database, member_of(acme, mine), "acme", "theirs")[1] == theirs


def test_projects_of_another_organization_are_behind_an_organization_that_is_not_there(database: Database) -> None:
    access = member_of_all(new_organization(database, "acme"))
    new_project(database, new_organization(database, "umbrella", open_membership=True), "web")
    for call in (
        lambda: get_project(database, access, "umbrella", "web"),
        lambda: list_projects(database, access, "umbrella", PageRequest(10)),
        lambda: create_project(database, access, "umbrella", ProjectDraft("api")),
        lambda: update_project(database, access, "umbrella", "web", ProjectChanges(slug="api")),
    ):
        with pytest.raises(OrganizationNotFound):
            call()


def test_the_creator_of_a_project_becomes_no_member_of_it(database: Database) -> None:
    acme = new_organization(database)
    access = member_of(acme, new_project(database, acme, "mine"))
    create(database, ProjectDraft("new-one"), access)
    with pytest.raises(ProjectNotFound):
        get_project(database, access, "acme", "new-one")


def test_the_list_holds_only_projects_the_caller_has_access_to(database: Database) -> None:
    acme = new_organization(database)
    made = {slug: new_project(database, acme, slug) for slug in ("ccc", "aaa", "bbb")}
    some = member_of(acme, made["ccc"], made["aaa"])
    assert slugs_of(listed(database, PageRequest(10), some)) == ["aaa", "ccc"]
    assert slugs_of(listed(database, PageRequest(10), member_of(acme))) == []
    assert slugs_of(listed(database, PageRequest(10), member_of_all(acme))) == ["aaa", "bbb", "ccc"]
    assert all_pages(lambda request: listed(database, request, some), 1) == [[made["aaa"]], [made["ccc"]]]
    update_organization(database, OPERATOR, "acme", OrganizationChanges(open_membership=True))
    assert slugs_of(listed(database, PageRequest(10), member_of(acme))) == ["aaa", "bbb", "ccc"]


def test_pages_walk_both_ways_and_end_without_a_position(database: Database) -> None:
    acme = new_organization(database)
    for index in range(5):
        new_project(database, acme, f"p-{index}")
    first = listed(database, PageRequest(2))
    assert (slugs_of(first), first.previous) == (["p-0", "p-1"], None)
    second = listed(database, PageRequest(2, first.next))
    last = listed(database, PageRequest(2, second.next))
    assert (slugs_of(last), last.next) == (["p-4"], None)
    back = listed(database, PageRequest(2, last.previous))
    assert (slugs_of(back), slugs_of(second)) == (["p-2", "p-3"], ["p-2", "p-3"])
    front = listed(database, PageRequest(2, back.previous))
    assert (slugs_of(front), front.previous) == (["p-0", "p-1"], None)
    assert slugs_of(listed(database, PageRequest(2, front.next))) == ["p-2", "p-3"]


@pytest.mark.parametrize("seed", range(12))
def test_no_project_present_all_along_is_skipped_or_repeated_when_others_come_between(
    database: Database, seed: int
) -> None:
    dice = random.Random(seed)
    acme = new_organization(database)
    names = [f"p-{number:03}" for number in dice.sample(range(200), 24)]
    there, later = names[:12], names[12:]
    for slug in there:
        new_project(database, acme, slug)

    def walk(*, backward: bool) -> list[str]:
        seen: list[str] = []
        page = listed(database, PageRequest(3))
        if backward:
            while page.next is not None:
                page = listed(database, PageRequest(3, page.next))
        while True:
            seen = [*slugs_of(page), *seen] if backward else [*seen, *slugs_of(page)]
            onward = page.previous if backward else page.next
            if onward is None:
                return seen
            for _ in range(dice.randint(0, 2)):
                if later:
                    new_project(database, acme, later.pop())
            page = listed(database, PageRequest(3, onward))

    for seen in (walk(backward=False), walk(backward=True)):
        assert seen == sorted(set(seen))
        assert set(there) <= set(seen)
