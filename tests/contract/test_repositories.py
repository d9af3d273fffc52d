from __future__ import annotations

import pytest

from store.database import Database, new_id
from store.errors import InvalidField, OrganizationNotFound, RepositoryExists, RepositoryNotFound
from store.organizations.repositories import (
    RepositoryChanges,
    RepositoryDraft,
    RepositoryInOrganization,
    RepositoryRow,
    RepositoryState,
    create_repository,
    get_repository,
    list_repositories,
    update_repository,
)
from store.paging import Page, PageRequest
from tests.clocks import ManualClock
from tests.contract.callers import OPERATOR, all_pages, at_once, errors_in, member_of_all, new_organization

DISABLED = RepositoryState.DISABLED


def made(db: Database, display_name: str, *, provider: str = "", external_id: str = "") -> RepositoryRow:
    draft = RepositoryDraft(display_name, provider=provider, external_id=external_id)
    answer: RepositoryInOrganization = create_repository(db, OPERATOR, "acme", draft)
    return answer[1]


def changed(db: Database, repository: RepositoryRow, changes: RepositoryChanges) -> RepositoryRow:
    answer: RepositoryInOrganization = update_repository(db, OPERATOR, "acme", repository.id, changes)
    return answer[1]


def listed(db: Database, request: PageRequest) -> Page[RepositoryRow]:
    return list_repositories(db, OPERATOR, "acme", request)[1]


def test_a_created_repository_is_found_by_its_id(database: Database, clock: ManualClock) -> None:
    acme = new_organization(database)
    draft = RepositoryDraft("acme/web", "https://example.org/acme/web", "github", "4711")
    answer: RepositoryInOrganization = create_repository(database, OPERATOR, "acme", draft)
    repository = answer[1]
    assert answer[0] == acme
    assert get_repository(database, OPERATOR, "acme", repository.id) == (acme, repository)
    assert repository == RepositoryRow(
        id=repository.id,
        organization_id=acme.id,
        display_name="acme/web",
        url="https://example.org/acme/web",
        provider="github",
        external_id="4711",
        state=RepositoryState.ACTIVE,
        create_time=clock.now_us(),
        update_time=clock.now_us(),
    )


def test_an_active_display_name_is_taken_once_an_organization(database: Database) -> None:
    new_organization(database)
    made(database, "acme/web")
    with pytest.raises(RepositoryExists) as raised:
        made(database, "acme/web")
    assert raised.value.metadata == {"display_name": "acme/web"}
    new_organization(database, "umbrella")
    create_repository(database, OPERATOR, "umbrella", RepositoryDraft("acme/web"))


def test_a_disabled_repository_frees_its_name_and_cannot_come_back_while_it_is_taken(database: Database) -> None:
    new_organization(database)
    old = made(database, "acme/web")
    assert changed(database, old, RepositoryChanges(state=DISABLED)).state is DISABLED
    new = made(database, "acme/web")
    with pytest.raises(RepositoryExists):
        changed(database, old, RepositoryChanges(state=RepositoryState.ACTIVE))
    changed(database, new, RepositoryChanges(display_name="acme/web-2"))
    assert changed(database, old, RepositoryChanges(state=RepositoryState.ACTIVE)).state is RepositoryState.ACTIVE


def test_an_external_id_is_unique_with_its_provider_even_when_disabled(database: Database) -> None:
    new_organization(database)
    first = made(database, "one", provider="github", external_id="1")
    made(database, "two", provider="gitlab", external_id="1")
    changed(database, first, RepositoryChanges(state=DISABLED))
    with pytest.raises(RepositoryExists) as raised:
        made(database, "three", provider="github", external_id="1")
    assert raised.value.metadata == {"display_name": "three", "external_id": "1"}
    changed(database, first, RepositoryChanges(external_id=""))
    made(database, "three", provider="github", external_id="1")


def test_any_number_of_repositories_have_no_external_id(database: Database) -> None:
    new_organization(database)
    assert made(database, "one").external_id == made(database, "two").external_id == ""


def test_a_repository_may_keep_its_own_name_and_external_id_when_it_changes(database: Database) -> None:
    new_organization(database)
    repository = made(database, "one", provider="github", external_id="1")
    after = changed(database, repository, RepositoryChanges(display_name="one", external_id="1", url="https://a.b"))
    assert after.url == "https://a.b"


def test_a_change_to_what_is_there_already_leaves_update_time(database: Database, clock: ManualClock) -> None:
    new_organization(database)
    repository = made(database, "one", provider="github")
    clock.advance(seconds=1)
    assert changed(database, repository, RepositoryChanges(provider="github")) == repository
    assert changed(database, repository, RepositoryChanges(provider="")).update_time == clock.now_us()


def test_an_empty_display_name_is_refused(database: Database) -> None:
    new_organization(database)
    with pytest.raises(InvalidField):
        made(database, "")
    repository = made(database, "one")
    with pytest.raises(InvalidField):
        changed(database, repository, RepositoryChanges(display_name=""))


def test_of_20_simultaneous_creations_of_one_name_one_wins(database: Database) -> None:
    new_organization(database)
    outcomes = at_once(20, lambda _: made(database, "acme/web"))
    assert [type(error) for error in errors_in(outcomes)] == [RepositoryExists] * 19
    assert len(listed(database, PageRequest(100)).items) == 1


def test_of_simultaneous_changes_to_one_name_one_wins(database: Database) -> None:
    new_organization(database)
    repositories = [made(database, f"repo-{index}") for index in range(8)]
    wanted = RepositoryChanges(display_name="wanted")
    outcomes = at_once(8, lambda index: changed(database, repositories[index], wanted))
    assert [type(error) for error in errors_in(outcomes)] == [RepositoryExists] * 7


def test_a_repository_of_another_organization_looks_like_none(database: Database) -> None:
    mine = new_organization(database, "mine")
    new_organization(database, "acme")
    theirs = made(database, "acme/web")
    access = member_of_all(mine)
    told = []
    for repository_id in (theirs.id, new_id()):
        with pytest.raises(RepositoryNotFound) as raised:
            get_repository(database, access, "mine", repository_id)
        with pytest.raises(RepositoryNotFound):
            update_repository(database, access, "mine", repository_id, RepositoryChanges(url=""))
        told.append(len(raised.value.message))
    assert told[0] == told[1]
    with pytest.raises(OrganizationNotFound):
        get_repository(database, access, "acme", theirs.id)


def test_repositories_are_listed_by_display_name_then_id(database: Database) -> None:
    new_organization(database)
    rows = []
    for name in ("b", "a", "b", "Z", "b", "ä"):
        row = made(database, name)
        rows.append(changed(database, row, RepositoryChanges(state=DISABLED)))
    expected = sorted(rows, key=lambda row: (row.display_name, row.id))
    for size in (1, 2, 3, 10):
        pages = all_pages(lambda request: listed(database, request), size)
        assert [row for page in pages for row in page] == expected
