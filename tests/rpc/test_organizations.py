"""CreateOrganization, GetOrganization, ListOrganizations, UpdateOrganization."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from releaseregistry.v1 import organizations_pb2 as pb

from tests.rpc.wire import Metadata, Refusal, Served, bearer, outcomes, raises_reason

OPTIONS: dict[str, Any] = {
    "open_membership": True,
    "debug_files_role": "release:admin",
    "attachments_role": "org:read",
    "join_requests": True,
    "early_adopter": True,
    "events_member_admin": True,
    "alerts_member_write": True,
}


def create(
    server: Served, organization: pb.Organization, *, request_id: str = "", validate_only: bool = False
) -> pb.Organization:
    request = pb.CreateOrganizationRequest(
        organization=organization, request_id=request_id, validate_only=validate_only
    )
    return server.organizations.CreateOrganization(request, metadata=server.operator).organization


def get(server: Served, name: str, metadata: Metadata | None = None) -> pb.Organization:
    """The organization as other calls answer it, too: without its usage."""
    request = pb.GetOrganizationRequest(name=name)
    found = server.organizations.GetOrganization(request, metadata=metadata or server.operator).organization
    assert found.HasField("usage")
    found.ClearField("usage")
    return found


def update(server: Served, organization: pb.Organization, *paths: str, request_id: str = "") -> pb.Organization:
    request = pb.UpdateOrganizationRequest(
        organization=organization, update_mask=FieldMask(paths=paths), request_id=request_id
    )
    return server.organizations.UpdateOrganization(request, metadata=server.operator).organization


def listed(server: Served, metadata: Metadata | None = None) -> pb.ListOrganizationsResponse:
    request = pb.ListOrganizationsRequest()
    return server.organizations.ListOrganizations(request, metadata=metadata or server.operator)


def same_but_for(first: Refusal, second: Refusal, names: tuple[str, str]) -> bool:
    def told(refusal: Refusal, name: str) -> tuple[object, ...]:
        metadata = {key: value.replace(name, "*") for key, value in refusal.metadata.items()}
        return refusal.code, refusal.message.replace(name, "*"), refusal.reason, metadata, refusal.violations

    return told(first, names[0]) == told(second, names[1])


def test_a_created_organization_is_answered_in_full_and_found_again(server: Served) -> None:
    made = create(server, pb.Organization(slug="acme", display_name="Acme Inc.", open_membership=True))
    assert made.name == "organizations/acme"
    assert str(uuid.UUID(made.uid)) == made.uid
    assert (made.slug, made.display_name, made.open_membership) == ("acme", "Acme Inc.", True)
    assert made.create_time.ToMicroseconds() == made.update_time.ToMicroseconds() == server.clock.now_us()
    assert get(server, "organizations/acme") == made


def test_what_the_server_fills_in_is_ignored_in_a_request(server: Served) -> None:
    made = create(server, pb.Organization(name="organizations/other", uid="not a uid", slug="acme"))
    assert made.name == "organizations/acme"
    assert made.uid != "not a uid"


def test_a_taken_slug_is_told(server: Served) -> None:
    create(server, pb.Organization(slug="acme"))
    with raises_reason("ORGANIZATION_EXISTS", "ALREADY_EXISTS") as refusal:
        create(server, pb.Organization(slug="acme"))
    assert refusal.metadata == {"slug": "acme"}


@pytest.mark.parametrize("slug", ["", "ab", "a" * 51, "Acme", "12345", "none", "a b", "a.b"])
def test_a_bad_slug_names_its_field(edge: Served, slug: str) -> None:
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        create(edge, pb.Organization(slug=slug))
    assert list(refusal.violations) == ["organization.slug"]


def test_of_20_simultaneous_creations_one_wins(server: Served) -> None:
    found = outcomes(20, lambda: create(server, pb.Organization(slug="acme")).uid)
    assert found.count("ORGANIZATION_EXISTS") == 19
    (winner,) = set(found) - {"ORGANIZATION_EXISTS"}
    assert get(server, "organizations/acme").uid == winner


def test_a_repeated_request_id_gets_the_first_answer_again(server: Served) -> None:
    request_id = str(uuid.uuid4())
    first = create(server, pb.Organization(slug="acme"), request_id=request_id)
    server.clock.advance(seconds=60)
    assert create(server, pb.Organization(slug="acme"), request_id=request_id.upper().lower()) == first
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        create(server, pb.Organization(slug="umbrella"), request_id=request_id)
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        get(server, "organizations/umbrella")


def test_a_refused_request_id_may_be_used_again(server: Served) -> None:
    create(server, pb.Organization(slug="first"))
    request_id = str(uuid.uuid4())
    with raises_reason("ORGANIZATION_EXISTS", "ALREADY_EXISTS"):
        create(server, pb.Organization(slug="first"), request_id=request_id)
    assert create(server, pb.Organization(slug="second"), request_id=request_id).slug == "second"


def test_a_rehearsal_answers_like_a_creation_and_creates_nothing(server: Served) -> None:
    assert create(server, pb.Organization(slug="acme"), validate_only=True).slug == "acme"
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        get(server, "organizations/acme")
    create(server, pb.Organization(slug="acme"))
    with raises_reason("ORGANIZATION_EXISTS", "ALREADY_EXISTS"):
        create(server, pb.Organization(slug="acme"), validate_only=True)


def test_another_organization_is_told_like_one_that_is_not_there(server: Served) -> None:
    mine = server.make_organization("mine")
    server.make_organization("other")
    secret = bearer(server.make_token(mine, "org:admin"))
    assert get(server, mine, secret).slug == "mine"
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND") as not_mine:
        get(server, "organizations/other", secret)
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND") as missing:
        get(server, "organizations/nobody", secret)
    assert same_but_for(not_mine, missing, ("other", "nobody"))
    request = pb.UpdateOrganizationRequest(organization=pb.Organization(name="organizations/other", slug="taken"))
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        server.organizations.UpdateOrganization(request, metadata=secret)


@pytest.mark.parametrize(
    "name", ["acme", "organizations/", "organizations/a/b", "Organizations/acme", "organizations/Acme"]
)
def test_a_name_of_another_form_is_refused(edge: Served, name: str) -> None:
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT") as refusal:
        get(edge, name)
    assert refusal.metadata["field"] == "name"


def test_tokens_list_their_own_organization_and_operators_all(server: Served) -> None:
    for slug in ("bbb", "aaa", "ccc"):
        server.make_organization(slug)
    assert [row.slug for row in listed(server).organizations] == ["aaa", "bbb", "ccc"]
    secret = bearer(server.make_token("organizations/bbb", "org:read"))
    assert [row.slug for row in listed(server, secret).organizations] == ["bbb"]


def test_only_the_installations_admins_create_organizations(server: Served) -> None:
    acme = server.make_organization()
    secret = bearer(server.make_token(acme, "org:admin"))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        server.organizations.CreateOrganization(
            pb.CreateOrganizationRequest(organization=pb.Organization(slug="another")), metadata=secret
        )
    assert refusal.metadata == {"scope": "installation:admin"}


def test_without_a_mask_populated_fields_change(server: Served) -> None:
    create(server, pb.Organization(slug="acme", display_name="Acme", open_membership=True))
    changed = update(server, pb.Organization(name="organizations/acme", display_name="New"))
    assert (changed.slug, changed.display_name, changed.open_membership) == ("acme", "New", True)


def test_a_masked_empty_field_is_cleared(server: Served) -> None:
    create(server, pb.Organization(slug="acme", display_name="Acme", open_membership=True))
    named = pb.Organization(name="organizations/acme")
    assert not update(server, named, "open_membership").open_membership
    assert update(server, named, "display_name").display_name == "acme"
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        update(server, named, "slug")
    assert list(refusal.violations) == ["organization.slug"]


def test_a_star_replaces_all(server: Served) -> None:
    create(server, pb.Organization(slug="acme", display_name="Acme", open_membership=True))
    changed = update(server, pb.Organization(name="organizations/acme", slug="acme-corp"), "*")
    assert (changed.name, changed.display_name, changed.open_membership) == (
        "organizations/acme-corp",
        "acme-corp",
        False,
    )


def test_an_unknown_path_is_refused(server: Served) -> None:
    server.make_organization()
    with raises_reason("INVALID_MASK", "INVALID_ARGUMENT") as refusal:
        update(server, pb.Organization(name="organizations/acme"), "dispaly_name")
    assert refusal.metadata["path"] == "dispaly_name"


def test_a_changed_slug_leaves_an_alias_that_nobody_else_gets(server: Served) -> None:
    made = create(server, pb.Organization(slug="acme"))
    changed = update(server, pb.Organization(name=made.name, slug="acme-corp"))
    assert get(server, "organizations/acme") == changed
    assert changed.uid == made.uid
    with raises_reason("ORGANIZATION_EXISTS", "ALREADY_EXISTS"):
        create(server, pb.Organization(slug="acme"))


def test_an_organization_is_created_with_options_and_answers_all_of_them(server: Served) -> None:
    asked = pb.Organization(slug="acme", display_name="Acme", **OPTIONS)
    made = create(server, asked)
    assert {name: getattr(made, name) for name in OPTIONS} == OPTIONS
    assert (made.avatar_type, made.avatar_uid) == (pb.AVATAR_TYPE_LETTER, "")
    assert get(server, made.name) == made
    assert list(listed(server).organizations) == [made]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_set_without_a_mask_and_cleared_with_one(edge: Served, option: str) -> None:
    before = create(edge, pb.Organization(slug="acme"))
    given: dict[str, Any] = {option: OPTIONS[option]}
    changed = update(edge, pb.Organization(name=before.name, **given))
    assert [name for name in OPTIONS if getattr(changed, name)] == [option]
    assert update(edge, pb.Organization(name=before.name), option) == before


@pytest.mark.parametrize("field", ["debug_files_role", "attachments_role"])
def test_a_role_that_is_no_scope_names_its_field(edge: Served, field: str) -> None:
    create(edge, pb.Organization(slug="acme"))
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        update(edge, pb.Organization(name="organizations/acme", **dict[str, Any]({field: "members"})))
    assert list(refusal.violations) == [f"organization.{field}"]


def test_what_the_server_fills_in_is_no_change(server: Served) -> None:
    made = create(server, pb.Organization(slug="acme"))
    assert update(server, pb.Organization(name=made.name), "avatar_uid") == made


def test_a_repeated_change_is_made_once(server: Served) -> None:
    server.make_organization()
    request_id = str(uuid.uuid4())
    organization = pb.Organization(name="organizations/acme", display_name="First")
    first = update(server, organization, request_id=request_id)
    update(server, pb.Organization(name="organizations/acme", display_name="Second"))
    assert update(server, organization, request_id=request_id) == first
    assert get(server, "organizations/acme").display_name == "Second"
