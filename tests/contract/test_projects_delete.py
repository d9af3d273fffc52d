"""DeleteProject: gone at once, taken from its releases bit by bit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from peewee import fn

from store.access import Access
from store.access.models import TokenProject
from store.access.tokens import CreatedToken, TokenDraft, create_token, list_tokens
from store.commits.drafts import CommitDraft
from store.database import Database, Terms, new_id
from store.errors import HasChildren, ProjectExists, ProjectForbidden, ProjectNotFound, ReleaseNotFound
from store.files.models import NO_PROJECT, ReleaseFile
from store.organizations import delete, drain
from store.organizations.delete import delete_project
from store.organizations.drain import SETTLED_US, drain_deleted_projects
from store.organizations.models import DrainingProject, Project
from store.organizations.projects import ProjectChanges, get_project, list_projects, update_project
from store.paging import PageRequest
from store.releases.create import CreateOutcome
from store.releases.drain import drain_deleted_releases
from store.releases.models import Release, ReleaseProject
from store.releases.read import get_release
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR

PAGE = PageRequest(100)


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


def remove(
    acme: Acme, slug: str = "web", *, force: bool = False, access: Access | None = None, rehearse: bool = False
) -> None:
    terms: Terms[None, None] = Terms(validate_only=rehearse)
    delete_project(acme.db, access or acme.everybody, "acme", slug, force=force, terms=terms)


def count(acme: Acme, model: Any) -> int:
    rows = acme.db.read(lambda reader: reader.fetch(model.select(fn.COUNT(1)).tuples()))
    number: int = rows[0][0]
    return number


def with_files(acme: Acme, version: str, *projects: bytes) -> None:
    """A file for each of the projects."""
    release = get_release(acme.db, OPERATOR, "acme", version).release
    rows = [
        {
            "id": new_id(),
            "organization_id": acme.id,
            "release_id": release.id,
            "file_name": f"file-{index}",
            "folded_name": f"file-{index}",
            "kind": 1,
            "project_id": project,
            "dist": "",
            "headers": {},
            "content_id": new_id(),
            "create_time": 0,
        }
        for index, project in enumerate(projects)
    ]
    acme.db.write(lambda tx: tx.execute(ReleaseFile.insert_many(rows)))
    acme.db.write(
        lambda tx: tx.execute(Release.update({Release.file_count: len(rows)}).where(Release.id == release.id))
    )


def versions(acme: Acme, *projects: str) -> list[str]:
    return sorted(details.release.version for details in acme.listed(projects=projects))


def test_a_project_without_releases_is_gone_at_once(acme: Acme) -> None:
    remove(acme)
    with pytest.raises(ProjectNotFound):
        get_project(acme.db, OPERATOR, "acme", "web")
    with pytest.raises(ProjectNotFound):
        remove(acme)
    assert [project.slug for project in list_projects(acme.db, OPERATOR, "acme", PAGE)[1].items] == ["api"]
    with pytest.raises(ProjectForbidden):
        acme.release("1.0.0", "web")


def test_its_slugs_are_never_given_to_another(acme: Acme) -> None:
    update_project(acme.db, OPERATOR, "acme", "web", ProjectChanges(slug="website"))
    remove(acme)
    for slug in ("web", "website"):
        with pytest.raises(ProjectExists):
            acme.add_project(slug)


def test_with_releases_it_is_deleted_by_force_only(acme: Acme) -> None:
    acme.release("1.0.0", "web")
    acme.release("1.1.0", "web", "api")
    with pytest.raises(HasChildren) as refused:
        remove(acme)
    assert refused.value.metadata == {"releases": "2"}
    assert versions(acme, "web") == ["1.0.0", "1.1.0"]
    remove(acme, force=True)
    assert versions(acme) == ["1.1.0"]


def test_very_many_children_are_not_counted_to_the_end(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delete, "MOST_COUNTED", 1)
    for version in ("1", "2", "3"):
        acme.release(version, "web")
    with pytest.raises(HasChildren) as refused:
        remove(acme)
    assert refused.value.metadata == {"releases": "more than 1"}


def test_a_release_with_another_project_stays_and_changes_its_etag(acme: Acme, clock: ManualClock) -> None:
    before = acme.release("1.0.0", "web", "api").details.release
    clock.advance(seconds=1)
    remove(acme, force=True)
    after = get_release(acme.db, acme.everybody, "acme", "1.0.0").release
    assert [project.slug for project in after.projects] == ["api"]
    assert after.etag != before.etag
    assert after.update_time == before.update_time + 1_000_000
    assert [row.project_id for row in acme.rows_in_projects(after.id)] == [acme.projects["api"]]


def test_a_release_without_another_project_is_deleted_and_its_version_free(acme: Acme) -> None:
    commits = (CommitDraft("abc", "repo"),)
    first = acme.release("1.0.0", "web", commits=commits).details.release
    remove(acme, force=True)
    with pytest.raises(ReleaseNotFound):
        get_release(acme.db, OPERATOR, "acme", "1.0.0")
    again = acme.release("1.0.0", "api")
    assert again.outcome is CreateOutcome.CREATED
    assert again.details.release.id != first.id
    assert again.details.release.commit_count == 0
    assert drain_deleted_releases(acme.db) == 1


def test_files_that_were_its_own_go_and_others_stay(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    web, api = acme.projects["web"], acme.projects["api"]
    with_files(acme, "1.0.0", web, api, NO_PROJECT, web)
    remove(acme, force=True)
    assert get_release(acme.db, OPERATOR, "acme", "1.0.0").release.file_count == 2
    rows = acme.db.read(lambda reader: reader.fetch(ReleaseFile.select().order_by(ReleaseFile.file_name)))
    assert [row.project_id for row in rows] == [api, NO_PROJECT]


def test_the_deletion_is_told_to_the_organization(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    remove(acme, force=True)
    assert [(kind, subject) for kind, subject, _ in acme.activities()][-1] == ("project_deleted", "web")


def test_a_project_that_the_caller_has_no_access_to_is_not_there(acme: Acme) -> None:
    with pytest.raises(ProjectNotFound):
        remove(acme, access=acme.member_of("api"))
    remove(acme, access=acme.member_of("web"))


def test_a_rehearsal_deletes_nothing(acme: Acme) -> None:
    acme.release("1.0.0", "web")
    with pytest.raises(HasChildren):
        remove(acme, rehearse=True)
    remove(acme, rehearse=True, force=True)
    assert versions(acme, "web") == ["1.0.0"]
    assert (count(acme, Project), count(acme, DrainingProject)) == (2, 0)


def test_tokens_that_were_members_of_it_are_members_of_the_others(acme: Acme, clock: ManualClock) -> None:
    draft = TokenDraft(("release:read",), display_name="ci", projects=("api", "web"))
    made: CreatedToken = create_token(acme.db, OPERATOR, "acme", draft)
    assert made.token.projects == ("api", "web")
    remove(acme)
    assert list_tokens(acme.db, OPERATOR, "acme", PAGE).items[0].projects == ("api",)
    clock.advance(seconds=SETTLED_US / 1_000_000)
    assert drain_deleted_projects(acme.db) == 1
    assert count(acme, TokenProject) == 1


def test_the_drain_goes_on_where_the_call_stopped(
    acme: Acme, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)
    for index in range(5):
        acme.release(f"{index}", "web", *(["api"] if index % 2 else []))
    remove(acme, force=True)
    assert count(acme, ReleaseProject) == 7
    assert versions(acme) == ["1", "3"]  # even so, nothing of the project is seen any more
    with pytest.raises(ReleaseNotFound):
        get_release(acme.db, OPERATOR, "acme", "0")

    assert drain_deleted_projects(acme.db) == 0
    assert (count(acme, ReleaseProject), count(acme, DrainingProject)) == (2, 1)
    clock.advance(seconds=SETTLED_US / 1_000_000)
    assert drain_deleted_projects(acme.db) == 1
    assert (drain_deleted_projects(acme.db), count(acme, DrainingProject)) == (0, 0)


def test_the_version_is_free_before_the_drain_has_come_by(
    acme: Acme, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)
    first = acme.release("1.0.0", "web", commits=(CommitDraft("abc", "repo"),)).details.release
    remove(acme, force=True)
    again = acme.release("1.0.0", "api")
    assert again.outcome is CreateOutcome.CREATED
    assert again.details.release.id != first.id
    assert again.details.release.commit_count == 0
    clock.advance(seconds=SETTLED_US / 1_000_000)
    assert (drain_deleted_projects(acme.db), drain_deleted_releases(acme.db)) == (1, 1)
    assert versions(acme) == ["1.0.0"]


def test_what_was_attached_in_the_moment_of_the_deletion_is_found_as_well(acme: Acme, clock: ManualClock) -> None:
    release = acme.release("1.0.0", "web").details.release
    (row,) = acme.rows_in_projects(release.id)
    remove(acme, force=True)
    late = acme.release("2.0.0", "api").details.release
    columns = {**row.__data__, "release_id": late.id}  # as a transaction writes it that began before
    acme.db.write(lambda tx: tx.execute(ReleaseProject.insert(columns)))

    clock.advance(seconds=SETTLED_US / 1_000_000)
    drain_deleted_projects(acme.db)
    assert [row.project_id for row in acme.rows_in_projects(late.id)] == [acme.projects["api"]]
    assert versions(acme) == ["2.0.0"]


def test_no_write_of_the_drain_removes_more_rows_than_allowed(
    acme: Acme, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)
    monkeypatch.setattr(drain, "MOST_ROWS", 10)
    acme.release("1.0.0", "web", "api")
    with_files(acme, "1.0.0", *[acme.projects["web"]] * 34, NO_PROJECT)
    remove(acme, force=True)
    left = [count(acme, ReleaseFile)]

    def stopped() -> bool:
        left.append(count(acme, ReleaseFile))
        return False

    clock.advance(seconds=SETTLED_US / 1_000_000)
    assert drain_deleted_projects(acme.db, stopped=stopped) == 1
    assert all(before - after <= 10 for before, after in itertools.pairwise(left))
    assert (left[-1], get_release(acme.db, OPERATOR, "acme", "1.0.0").release.file_count) == (1, 1)
