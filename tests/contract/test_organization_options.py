"""UpdateOrganization: the options, what stands for the organization, and the activity that tells of changes."""

from __future__ import annotations

from typing import Any

import pytest

from store.database import Database
from store.errors import InvalidField
from store.organizations.details import AvatarType, OrganizationDetails
from store.organizations.organizations import (
    OrganizationChanges,
    OrganizationDraft,
    create_organization,
    get_organization,
    list_organizations,
    update_organization,
)
from store.paging import PageRequest
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR

OPTIONS: dict[str, Any] = {
    "display_name": "Acme Inc.",
    "open_membership": True,
    "debug_files_role": "release:admin",
    "attachments_role": "org:write",
    "join_requests": True,
    "early_adopter": True,
    "events_member_admin": True,
    "alerts_member_write": True,
}


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database)


def update(acme: Acme, **changes: Any) -> OrganizationDetails:
    changed: OrganizationDetails = update_organization(
        acme.db, acme.everybody, acme.slug, OrganizationChanges(**changes)
    )
    return changed


def options_of(organization: OrganizationDetails) -> dict[str, Any]:
    return {name: getattr(organization, name) for name in OPTIONS}


def test_a_new_organization_has_every_option_off_and_a_letter(acme: Acme) -> None:
    made = get_organization(acme.db, acme.everybody, "acme")
    assert options_of(made) == {
        **dict.fromkeys(OPTIONS, False),
        "display_name": "acme",
        "debug_files_role": "",
        "attachments_role": "",
    }
    assert (made.avatar_type, made.avatar_uid, made.avatar_content_id) == (AvatarType.LETTER, None, None)


def test_an_organization_is_created_with_its_options(database: Database) -> None:
    made: OrganizationDetails = create_organization(database, OrganizationDraft("acme", **OPTIONS))
    assert options_of(made) == OPTIONS
    assert get_organization(database, OPERATOR, "acme") == made
    assert list_organizations(database, OPERATOR, PageRequest(10)).items == (made,)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_changed_alone_kept_and_told(acme: Acme, clock: ManualClock, option: str) -> None:
    before = get_organization(acme.db, acme.everybody, "acme")
    clock.advance(seconds=1)
    changed = update(acme, **{option: OPTIONS[option]})
    assert options_of(changed) == {**options_of(before), option: OPTIONS[option]}
    assert changed.update_time == before.update_time + 1_000_000
    assert get_organization(acme.db, acme.everybody, "acme") == changed
    was: Any = "" if isinstance(OPTIONS[option], str) else False
    assert acme.changes() == [{option: [was, OPTIONS[option]]}]


def test_one_activity_tells_of_all_that_one_call_changed(acme: Acme) -> None:
    update(acme, **OPTIONS)
    update(acme, slug="acme-corp", display_name="", join_requests=True, early_adopter=False)
    assert acme.changes()[1] == {
        "slug": ["acme", "acme-corp"],
        "display_name": ["Acme Inc.", ""],
        "early_adopter": [True, False],
    }


def test_what_is_as_it_was_changes_nothing_and_is_not_told(acme: Acme, clock: ManualClock) -> None:
    changed = update(acme, **OPTIONS)
    clock.advance(seconds=1)
    assert update(acme, **OPTIONS) == changed
    assert len(acme.changes()) == 1


@pytest.mark.parametrize("field", ["debug_files_role", "attachments_role"])
@pytest.mark.parametrize("role", ["admin", "release:delete", "any", "installation:admin"])
def test_a_role_is_a_scope_that_tokens_of_an_organization_have(acme: Acme, field: str, role: str) -> None:
    wrong: dict[str, Any] = {field: role}
    with pytest.raises(InvalidField) as refused:
        update(acme, **wrong)
    assert refused.value.metadata == {"field": f"organization.{field}"}
    with pytest.raises(InvalidField):
        create_organization(acme.db, OrganizationDraft("another", **wrong))


def test_a_picture_stands_for_no_organization_that_has_none(acme: Acme) -> None:
    with pytest.raises(InvalidField) as refused:
        update(acme, avatar_type=AvatarType.UPLOAD)
    assert refused.value.metadata == {"field": "organization.avatar_type"}
    with pytest.raises(InvalidField):
        create_organization(acme.db, OrganizationDraft("another", avatar_type=AvatarType.UPLOAD))
    assert update(acme, avatar_type=AvatarType.LETTER).avatar_type is AvatarType.LETTER
