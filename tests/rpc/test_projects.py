"""CreateProject, GetProject, ListProjects, UpdateProject."""

from __future__ import annotations

import uuid

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from releaseregistry.v1 import organizations_pb2 as pb

from tests.rpc.wire import Metadata, Served, bearer, outcomes, raises_reason

ACME = "organizations/acme"


def create(
    server: Served, project: pb.Project, *, parent: str = ACME, request_id: str = "", validate_only: bool = False
) -> pb.Project:
    request = pb.CreateProjectRequest(
        parent=parent, project=project, request_id=request_id, validate_only=validate_only
    )
    return server.organizations.CreateProject(request, metadata=server.operator).project


def get(server: Served, name: str, metadata: Metadata | None = None) -> pb.Project:
    return server.organizations.GetProject(
        pb.GetProjectRequest(name=name), metadata=metadata or server.operator
    ).project


def update(server: Served, project: pb.Project, *paths: str) -> pb.Project:
    request = pb.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=paths))
    return server.organizations.UpdateProject(request, metadata=server.operator).project


def listed(
    server: Served, metadata: Metadata | None = None, *, page_size: int = 0, page_token: str = ""
) -> pb.ListProjectsResponse:
    request = pb.ListProjectsRequest(parent=ACME, page_size=page_size, page_token=page_token)
    return server.organizations.ListProjects(request, metadata=metadata or server.operator)


def slugs(page: pb.ListProjectsResponse) -> list[str]:
    return [project.slug for project in page.projects]


def test_a_created_project_is_answered_in_full_and_found_again(server: Served) -> None:
    server.make_organization()
    made = create(server, pb.Project(slug="web", display_name="The web", platform="python"))
    assert made.name == "organizations/acme/projects/web"
    assert str(uuid.UUID(made.uid)) == made.uid
    assert (made.slug, made.display_name, made.platform) == ("web", "The web", "python")
    assert made.create_time.ToMicroseconds() == made.update_time.ToMicroseconds() == server.clock.now_us()
    assert get(server, made.name) == made


def test_manual_releases_are_set_and_cleared_like_any_field(server: Served) -> None:
    server.make_organization()
    made = create(server, pb.Project(slug="web", manual_releases=True))
    assert made.manual_releases
    assert get(server, made.name).manual_releases
    assert update(server, pb.Project(name=made.name, platform="go")).manual_releases, "not populated: it stays"
    assert not update(server, pb.Project(name=made.name), "manual_releases").manual_releases


def test_a_taken_slug_is_told(server: Served) -> None:
    server.make_organization(projects=["web"])
    with raises_reason("PROJECT_EXISTS", "ALREADY_EXISTS") as refusal:
        create(server, pb.Project(slug="web"))
    assert refusal.metadata == {"slug": "web"}


@pytest.mark.parametrize("slug", ["", "ab", "Web", "007", "projects"])
def test_a_bad_slug_names_its_field(edge: Served, slug: str) -> None:
    edge.make_organization()
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        create(edge, pb.Project(slug=slug))
    assert list(refusal.violations) == ["project.slug"]


def test_of_20_simultaneous_creations_one_wins(server: Served) -> None:
    server.make_organization()
    found = outcomes(20, lambda: create(server, pb.Project(slug="web")).uid)
    assert found.count("PROJECT_EXISTS") == 19
    assert set(found) - {"PROJECT_EXISTS"} == {get(server, f"{ACME}/projects/web").uid}


def test_a_repeated_request_id_gets_the_first_answer_again(server: Served) -> None:
    server.make_organization()
    request_id = str(uuid.uuid4())
    first = create(server, pb.Project(slug="web"), request_id=request_id)
    assert create(server, pb.Project(slug="web"), request_id=request_id) == first
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        create(server, pb.Project(slug="api"), request_id=request_id)


def test_a_rehearsal_creates_nothing(server: Served) -> None:
    server.make_organization()
    assert create(server, pb.Project(slug="web"), validate_only=True).slug == "web"
    assert slugs(listed(server)) == []


def test_a_project_that_is_not_mine_is_told_like_one_that_is_not_there(server: Served) -> None:
    server.make_organization(projects=["mine", "other"])
    secret = bearer(server.make_token(ACME, "org:read", "project:write", projects=["mine"]))
    assert get(server, f"{ACME}/projects/mine", secret).slug == "mine"
    told = []
    for slug in ("other", "nobody"):
        with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND") as refusal:
            get(server, f"{ACME}/projects/{slug}", secret)
        assert refusal.metadata == {"name": f"{ACME}/projects/{slug}"}
        told.append((refusal.message.replace(slug, "*"), refusal.violations))
        changed = pb.UpdateProjectRequest(project=pb.Project(name=f"{ACME}/projects/{slug}", platform="x"))
        with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND"):
            server.organizations.UpdateProject(changed, metadata=secret)
    assert told[0] == told[1]


def test_open_membership_shows_all_projects(server: Served) -> None:
    server.make_organization(projects=["mine", "other"], open_membership=True)
    secret = bearer(server.make_token(ACME, "org:read", projects=["mine"]))
    assert get(server, f"{ACME}/projects/other", secret).slug == "other"
    assert slugs(listed(server, secret)) == ["mine", "other"]


def test_another_organization_hides_its_projects(server: Served) -> None:
    server.make_organization("other", projects=["web"])
    secret = bearer(server.make_token(server.make_organization(), "org:read", all_projects=True))
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        get(server, "organizations/other/projects/web", secret)


def test_the_list_is_sorted_and_holds_only_what_the_token_may_access(server: Served) -> None:
    server.make_organization(projects=["ccc", "aaa", "bbb"])
    assert slugs(listed(server)) == ["aaa", "bbb", "ccc"]
    assert slugs(listed(server, bearer(server.make_token(ACME, "org:read", projects=["ccc", "aaa"])))) == ["aaa", "ccc"]
    assert slugs(listed(server, bearer(server.make_token(ACME, "org:read")))) == []


def test_pages_lead_forth_and_back_past_what_comes_between(server: Served) -> None:
    server.make_organization(projects=["p-1", "p-3", "p-5", "p-7", "p-9"])
    first = listed(server, page_size=2)
    assert (slugs(first), first.previous_page_token) == (["p-1", "p-3"], "")
    server.make_project(ACME, "p-2")
    server.make_project(ACME, "p-4")
    second = listed(server, page_size=2, page_token=first.next_page_token)
    assert slugs(second) == ["p-4", "p-5"]
    last = listed(server, page_size=2, page_token=second.next_page_token)
    assert (slugs(last), last.next_page_token) == (["p-7", "p-9"], "")
    back = listed(server, page_size=10, page_token=last.previous_page_token)  # another size is fine
    assert (slugs(back), back.previous_page_token) == (["p-1", "p-2", "p-3", "p-4", "p-5"], "")
    assert slugs(listed(server, page_size=2, page_token=back.next_page_token)) == ["p-7", "p-9"]


def test_page_sizes_are_defaulted_clamped_and_not_negative(server: Served) -> None:
    server.make_organization(projects=[f"p-{number:03}" for number in range(101)])
    assert len(listed(server).projects) == 100
    assert len(listed(server, page_size=2**31 - 1).projects) == 101
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        listed(server, page_size=-1)
    assert list(refusal.violations) == ["page_size"]


def test_a_page_token_is_good_only_where_it_was_made(server: Served) -> None:
    server.make_organization("other", projects=["p-1", "p-2"])
    server.make_organization(projects=["p-1", "p-2"])
    token = listed(server, page_size=1).next_page_token
    stranger = bearer(server.make_token(ACME, "org:read", all_projects=True))
    with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT") as refusal:
        listed(server, stranger, page_token=token)
    assert list(refusal.violations) == ["page_token"]
    with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT"):
        server.organizations.ListProjects(
            pb.ListProjectsRequest(parent="organizations/other", page_token=token), metadata=server.operator
        )
    with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT"):
        server.organizations.ListRepositories(
            pb.ListRepositoriesRequest(parent=ACME, page_token=token), metadata=server.operator
        )
    for damaged in (token[:-1], token + "A", token[:5] + ("A" if token[5] != "A" else "B") + token[6:], "x"):
        with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT"):
            listed(server, page_token=damaged)
    server.clock.advance(seconds=3 * 24 * 3600 + 1)
    with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT"):
        listed(server, page_token=token)


def test_masks_say_what_changes(server: Served) -> None:
    server.make_organization()
    name = create(server, pb.Project(slug="web", display_name="The web", platform="python")).name
    assert update(server, pb.Project(name=name, platform="go"), "platform").platform == "go"
    assert update(server, pb.Project(name=name, platform="rust"), "display_name").platform == "go"
    assert update(server, pb.Project(name=name, slug="web"), "*").platform == ""
    for path in ("platfrom", "name", "slug.x"):
        with raises_reason("INVALID_MASK", "INVALID_ARGUMENT"):
            update(server, pb.Project(name=name), path)


def test_a_changed_slug_leaves_an_alias_that_nobody_else_gets(server: Served) -> None:
    server.make_organization(projects=["web"])
    changed = update(server, pb.Project(name=f"{ACME}/projects/web", slug="site"))
    assert get(server, f"{ACME}/projects/web") == changed
    assert changed.name == f"{ACME}/projects/site"
    with raises_reason("PROJECT_EXISTS", "ALREADY_EXISTS"):
        create(server, pb.Project(slug="web"))


def test_the_list_shows_a_rehearsed_change_not(server: Served) -> None:
    server.make_organization(projects=["web"])
    request = pb.UpdateProjectRequest(project=pb.Project(name=f"{ACME}/projects/web", slug="site"), validate_only=True)
    assert server.organizations.UpdateProject(request, metadata=server.operator).project.slug == "site"
    assert slugs(listed(server)) == ["web"]


def test_writing_projects_needs_its_scope(server: Served) -> None:
    server.make_organization(projects=["web"])
    secret = bearer(server.make_token(ACME, "org:admin", all_projects=True))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        server.organizations.CreateProject(
            pb.CreateProjectRequest(parent=ACME, project=pb.Project(slug="api")), metadata=secret
        )
    assert refusal.metadata == {"scope": "project:write"}
