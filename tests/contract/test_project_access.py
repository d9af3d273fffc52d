from __future__ import annotations

import pytest

from store.access import Access
from store.access.projects import (
    ProjectRow,
    ProjectSet,
    ProjectSlugText,
    QualifiedSlug,
    accessible_projects,
    member_projects,
    project_slugs,
    projects_to_create_in,
    projects_to_list,
)
from store.database import Database, new_id
from store.errors import ProjectForbidden
from store.organizations.organizations import OrganizationChanges, update_organization
from store.organizations.projects import ProjectChanges, update_project
from store.organizations.rows import OrganizationRow, ProjectDetails
from tests.contract.callers import OPERATOR, member_of, member_of_all, new_organization, new_project


def to_create_in(
    db: Database, access: Access, organization: OrganizationRow, *slugs: ProjectSlugText
) -> tuple[ProjectRow, ...]:
    return db.read(lambda reader: projects_to_create_in(reader, access, organization, slugs))


def to_list(
    db: Database, access: Access, organization: OrganizationRow, *slugs: ProjectSlugText, everything: bool = False
) -> ProjectSet:
    return db.read(lambda reader: projects_to_list(reader, access, organization, slugs, everything=everything))


def only(*projects: ProjectDetails) -> ProjectSet:
    return ProjectSet(everything=False, ids=frozenset(project.id for project in projects))


def test_create_takes_projects_the_caller_is_a_member_of_sorted_by_id_and_once(database: Database) -> None:
    acme = new_organization(database)
    web, api, app = (new_project(database, acme, slug) for slug in ("web", "api", "app"))
    found = to_create_in(database, member_of(acme, web, api), acme, "api", "web", "api")
    assert found == tuple(sorted((ProjectRow(web.id, "web"), ProjectRow(api.id, "api")), key=lambda row: row.id))
    assert to_create_in(database, member_of_all(acme), acme, "app") == (ProjectRow(app.id, "app"),)
    assert to_create_in(database, OPERATOR, acme) == ()


def test_an_old_slug_names_its_project_which_is_told_by_its_new_one(database: Database) -> None:
    acme = new_organization(database)
    web = new_project(database, acme, "web")
    update_project(database, OPERATOR, "acme", "web", ProjectChanges(slug="site"))
    assert to_create_in(database, member_of(acme, web), acme, "web", "site") == (ProjectRow(web.id, "site"),)


def test_missing_and_forbidden_projects_are_told_alike(database: Database) -> None:
    acme = new_organization(database)
    web = new_project(database, acme, "web")
    new_project(database, acme, "theirs")
    told = []
    for slug in ("theirs", "nobody"):
        with pytest.raises(ProjectForbidden) as raised:
            to_create_in(database, member_of(acme, web), acme, "web", slug)
        assert raised.value.metadata == {"projects": slug}
        told.append(raised.value.message.replace(slug, "*"))
    assert told[0] == told[1]


def test_a_project_of_another_organization_is_forbidden_even_to_an_operator(database: Database) -> None:
    acme, umbrella = new_organization(database, "acme"), new_organization(database, "umbrella")
    new_project(database, umbrella, "web")
    with pytest.raises(ProjectForbidden):
        to_create_in(database, OPERATOR, acme, "web")


def test_a_project_may_be_named_with_any_slug_that_its_organization_has_or_had(database: Database) -> None:
    acme = new_organization(database)
    web = new_project(database, acme, "web")
    acme = update_organization(database, OPERATOR, "acme", OrganizationChanges(slug="acme2"))
    for slug in ("acme", "acme2"):
        assert to_create_in(database, member_of(acme, web), acme, QualifiedSlug(slug, "web"), "web") == (
            ProjectRow(web.id, "web"),
        )
        assert to_list(database, member_of(acme, web), acme, QualifiedSlug(slug, "web")) == only(web)
        assert to_list(database, OPERATOR, acme, QualifiedSlug(slug, "-"), everything=True).everything


def test_an_organization_that_is_not_the_calls_own_answers_as_one_that_is_not(database: Database) -> None:
    acme, umbrella = new_organization(database, "acme"), new_organization(database, "umbrella")
    for organization in (acme, umbrella):
        new_project(database, organization, "web")
    told = []
    for access in (OPERATOR, member_of_all(acme)):
        for slug in ("umbrella", "nobody"):
            for everything in (False, True):
                with pytest.raises(ProjectForbidden) as raised:
                    to_list(database, access, acme, QualifiedSlug(slug, "web"), "web", everything=everything)
                assert raised.value.metadata == {"projects": f"organizations/{slug}/projects/web"}
                told.append(raised.value.message.replace(slug, "*"))
            with pytest.raises(ProjectForbidden) as raised:
                to_create_in(database, access, acme, QualifiedSlug(slug, "web"), "web")
            told.append(raised.value.message.replace(slug, "*"))
    assert len(set(told)) == 1


def test_open_membership_opens_lists_but_not_creation(database: Database) -> None:
    acme = new_organization(database, open_membership=True)
    mine, other = new_project(database, acme, "mine"), new_project(database, acme, "other")
    access = member_of(acme, mine)
    with pytest.raises(ProjectForbidden):
        to_create_in(database, access, acme, "other")
    assert to_list(database, access, acme, "other") == only(other)
    assert to_list(database, access, acme) == only(mine)
    assert to_list(database, access, acme, everything=True).everything


def test_without_open_membership_lists_hold_members_only(database: Database) -> None:
    acme = new_organization(database)
    mine, _ = new_project(database, acme, "mine"), new_project(database, acme, "other")
    access = member_of(acme, mine)
    with pytest.raises(ProjectForbidden) as raised:
        to_list(database, access, acme, "other", "mine", "nobody")
    assert raised.value.metadata == {"projects": "nobody, other"}
    assert to_list(database, access, acme) == to_list(database, access, acme, everything=True) == only(mine)


def test_operators_and_tokens_of_all_projects_are_members_of_every_project(database: Database) -> None:
    acme = new_organization(database)
    for access in (OPERATOR, member_of_all(acme)):
        assert member_projects(access).everything
        assert accessible_projects(access, acme).everything
        assert to_list(database, access, acme).everything


def test_an_installation_token_is_a_member_even_where_it_does_not_say_so(database: Database) -> None:
    bare = Access(new_id(), None, frozenset({"release:read"}), all_projects=False, project_ids=frozenset())
    assert member_projects(bare).everything


def test_a_set_allows_what_it_holds() -> None:
    first, second = new_id(), new_id()
    some, everything = ProjectSet(everything=False, ids=frozenset({first})), ProjectSet(everything=True)
    assert (some.allows(first), some.allows(second), everything.allows(second)) == (True, False, True)
    assert (some.allows_all([first]), some.allows_all([first, second]), some.allows_all([])) == (True, False, True)
    assert (some.allows_any([first, second]), some.allows_any([second])) == (True, False)
    assert (everything.allows_all([first, second]), everything.allows_any([first])) == (True, True)
    assert not everything.allows_any([])


@pytest.mark.parametrize("count", [1, 2, 3, 127, 128, 129, 300])
def test_any_number_of_projects_is_found(database: Database, count: int) -> None:
    acme = new_organization(database)
    made = [new_project(database, acme, f"p-{index}") for index in range(5)]
    slugs = [f"p-{index}" for index in range(min(5, count))]
    missing = [f"m-{index:03}" for index in range(count - len(slugs))]
    if missing:
        with pytest.raises(ProjectForbidden) as raised:
            to_create_in(database, OPERATOR, acme, *slugs, *missing)
        assert raised.value.metadata["projects"].split(", ")[0] == missing[0]
    else:
        assert {project.slug for project in to_create_in(database, OPERATOR, acme, *slugs)} == set(slugs)
    ids = [project.id for project in made[: min(5, count)]] + [new_id() for _ in missing]
    assert database.read(lambda reader: project_slugs(reader, ids)) == dict(zip(ids[: len(slugs)], slugs, strict=True))


def test_a_long_list_of_forbidden_projects_is_cut_and_counted(database: Database) -> None:
    acme = new_organization(database)
    with pytest.raises(ProjectForbidden) as raised:
        to_create_in(database, OPERATOR, acme, *[f"m-{index:03}" for index in range(100)])
    assert raised.value.metadata["projects"].endswith("m-019 and 80 more")
