from __future__ import annotations

from collections.abc import Callable

import pytest

from store.database import Database, Terms
from store.errors import InvalidField, OrganizationExists, OrganizationNotFound
from store.organizations.details import OrganizationDetails
from store.organizations.organizations import (
    OrganizationChanges,
    OrganizationDraft,
    create_organization,
    get_organization,
    list_organizations,
    update_organization,
)
from store.organizations.rows import OrganizationRow
from store.paging import PageRequest
from tests.clocks import ManualClock
from tests.contract.callers import OPERATOR, all_pages, at_once, errors_in, member_of_all, new_organization


def create(db: Database, draft: OrganizationDraft) -> OrganizationRow:
    made: OrganizationRow = create_organization(db, draft)
    return made


def update(db: Database, slug: str, changes: OrganizationChanges) -> OrganizationRow:
    changed: OrganizationRow = update_organization(db, OPERATOR, slug, changes)
    return changed


def rename(db: Database, slug: str, to: str) -> OrganizationRow:
    return update(db, slug, OrganizationChanges(slug=to))


def test_a_created_organization_is_found_by_its_slug(database: Database, clock: ManualClock) -> None:
    made = create(database, OrganizationDraft("acme", "Acme Inc.", open_membership=True))
    found = get_organization(database, OPERATOR, "acme")
    assert found == made
    assert (found.slug, found.display_name, found.open_membership) == ("acme", "Acme Inc.", True)
    assert found.create_time == found.update_time == clock.now_us()


def test_without_a_display_name_the_slug_is_shown_and_follows_a_new_slug(database: Database) -> None:
    assert new_organization(database, "acme").display_name == "acme"
    assert rename(database, "acme", "acme-corp").display_name == "acme-corp"
    assert get_organization(database, OPERATOR, "acme").display_name == "acme-corp"


def test_a_second_organization_with_the_slug_is_refused(database: Database) -> None:
    new_organization(database, "acme")
    with pytest.raises(OrganizationExists) as raised:
        new_organization(database, "acme")
    assert raised.value.metadata == {"slug": "acme"}


def test_a_bad_slug_is_refused_at_creation_and_at_change(database: Database) -> None:
    with pytest.raises(InvalidField):
        create(database, OrganizationDraft(""))
    new_organization(database, "acme")
    with pytest.raises(InvalidField):
        rename(database, "acme", "42")
    assert get_organization(database, OPERATOR, "acme").slug == "acme"


def test_of_20_simultaneous_creations_of_one_slug_one_wins(database: Database) -> None:
    outcomes = at_once(20, lambda index: create(database, OrganizationDraft("acme", f"number {index}")))
    errors = errors_in(outcomes)
    assert [type(error) for error in errors] == [OrganizationExists] * 19
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, OrganizationRow)]
    assert list_organizations(database, OPERATOR, PageRequest(10)).items == (winner,)


def test_a_rehearsal_changes_nothing_but_finds_what_is_wrong(database: Database) -> None:
    terms: Terms[OrganizationDetails, OrganizationDetails] = Terms(validate_only=True)
    made = create_organization(database, OrganizationDraft("acme"), terms)
    assert made.slug == "acme"
    with pytest.raises(OrganizationNotFound):
        get_organization(database, OPERATOR, "acme")
    new_organization(database, "acme")
    with pytest.raises(OrganizationExists):
        create_organization(database, OrganizationDraft("acme"), terms)


def test_a_change_keeps_what_it_does_not_name(database: Database, clock: ManualClock) -> None:
    made = create(database, OrganizationDraft("acme", "Acme", open_membership=True))
    clock.advance(seconds=5)
    changed = update(database, "acme", OrganizationChanges(open_membership=False))
    assert (changed.slug, changed.display_name, changed.open_membership) == ("acme", "Acme", False)
    assert changed.create_time == made.create_time
    assert changed.update_time == made.create_time + 5_000_000
    assert get_organization(database, OPERATOR, "acme") == changed


def test_clearing_the_display_name_shows_the_slug(database: Database) -> None:
    create(database, OrganizationDraft("acme", "Acme"))
    assert update(database, "acme", OrganizationChanges(display_name="")).display_name == "acme"


def test_a_change_to_what_is_there_already_leaves_update_time(database: Database, clock: ManualClock) -> None:
    made = create(database, OrganizationDraft("acme", "Acme"))
    clock.advance(seconds=5)
    unchanged = update(database, "acme", OrganizationChanges(slug="acme", display_name="Acme"))
    assert unchanged == made


def test_an_old_slug_stays_an_alias_for_ever(database: Database) -> None:
    made = new_organization(database, "first")
    rename(database, "first", "second")
    rename(database, "first", "third")  # named by an alias
    assert {get_organization(database, OPERATOR, slug).id for slug in ("first", "second", "third")} == {made.id}
    assert get_organization(database, OPERATOR, "first").slug == "third"


def test_an_old_slug_is_never_given_to_another(database: Database) -> None:
    new_organization(database, "first")
    rename(database, "first", "second")
    with pytest.raises(OrganizationExists):
        new_organization(database, "first")
    new_organization(database, "other")
    with pytest.raises(OrganizationExists):
        rename(database, "other", "first")
    assert get_organization(database, OPERATOR, "other").slug == "other"


def test_an_organization_may_take_its_old_slug_back(database: Database) -> None:
    made = new_organization(database, "first")
    rename(database, "first", "second")
    assert rename(database, "second", "first").slug == "first"
    assert get_organization(database, OPERATOR, "second").id == made.id


def test_of_simultaneous_changes_to_one_slug_one_wins(database: Database) -> None:
    for index in range(8):
        new_organization(database, f"org-{index}")
    outcomes = at_once(8, lambda index: rename(database, f"org-{index}", "wanted"))
    assert [type(error) for error in errors_in(outcomes)] == [OrganizationExists] * 7
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, OrganizationRow)]
    assert get_organization(database, OPERATOR, "wanted").id == winner.id


def test_another_organization_looks_like_one_that_is_not_there(database: Database) -> None:
    mine, _ = new_organization(database, "mine"), new_organization(database, "theirs")
    access = member_of_all(mine)
    calls: list[Callable[[str], object]] = [
        lambda slug: get_organization(database, access, slug),
        lambda slug: update_organization(database, access, slug, OrganizationChanges(display_name="x")),
    ]
    for call in calls:
        told = []
        for slug in ("theirs", "nobody"):
            with pytest.raises(OrganizationNotFound) as raised:
                call(slug)
            told.append((raised.value.message.replace(slug, "*"), raised.value.metadata["name"].replace(slug, "*")))
        assert told[0] == told[1]


def test_a_token_lists_its_own_organization_and_an_operator_all_by_slug(database: Database) -> None:
    for slug in ("bbb", "ccc", "aaa"):
        new_organization(database, slug)
    mine = get_organization(database, OPERATOR, "bbb")
    assert list_organizations(database, member_of_all(mine), PageRequest(10)).items == (mine,)
    assert [row.slug for row in list_organizations(database, OPERATOR, PageRequest(10)).items] == ["aaa", "bbb", "ccc"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_pages_of_any_size_hold_every_organization_once(database: Database, size: int) -> None:
    slugs = [f"org-{index}" for index in range(7)]
    for slug in reversed(slugs):
        new_organization(database, slug)
    pages = all_pages(lambda request: list_organizations(database, OPERATOR, request), size)
    assert [row.slug for page in pages for row in page] == slugs
    assert all(len(page) == size for page in pages[:-1])
