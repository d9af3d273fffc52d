"""DeleteProject and CreateRelease at the same instant: the project keeps its release, or the release has no project."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from store.database import Database
from store.errors import HasChildren, ProjectForbidden, ReleaseNotFound
from store.organizations.delete import delete_project
from store.releases.create import CreatedRelease, CreateOutcome
from store.releases.read import get_release
from tests.contract.acme import Acme
from tests.contract.callers import WAIT, at_once, half_done, second


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


def remove(acme: Acme, slug: str = "web", *, force: bool = False) -> None:
    delete_project(acme.db, acme.everybody, "acme", slug, force=force)


def test_a_project_into_which_a_release_is_just_put_has_children(acme: Acme) -> None:
    with ThreadPoolExecutor(1) as threads:
        with half_done(acme.db, 'INSERT INTO "release_project"', lambda: acme.release("app@1.0.0", "web")) as creating:
            deleting = second(acme.db, threads, lambda: remove(acme))
        assert creating.result(WAIT).outcome is CreateOutcome.CREATED
        with pytest.raises(HasChildren):
            deleting.result(WAIT)

    release = get_release(acme.db, acme.everybody, "acme", "app@1.0.0").release
    assert [project.slug for project in release.projects] == ["web"]


@pytest.mark.parametrize("existing", [(), ("api",)], ids=["a new release", "a release of another project"])
@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_put_into_a_project_that_is_just_deleted(acme: Acme, existing: tuple[str, ...], force: bool) -> None:
    if existing:
        acme.release("app@1.0.0", *existing)
    with ThreadPoolExecutor(1) as threads:
        with half_done(acme.db, 'DELETE FROM "project"', lambda: remove(acme, force=force)) as deleting:
            creating = second(acme.db, threads, lambda: acme.release("app@1.0.0", "web", "api"))
        deleting.result(WAIT)
        with pytest.raises(ProjectForbidden) as refused:
            creating.result(WAIT)
    assert refused.value.metadata == {"projects": "web"}

    if existing:
        release = get_release(acme.db, acme.everybody, "acme", "app@1.0.0").release
        assert tuple(project.slug for project in release.projects) == existing
    else:
        with pytest.raises(ReleaseNotFound):
            get_release(acme.db, acme.everybody, "acme", "app@1.0.0")


def test_of_a_creation_and_a_deletion_at_once_one_is_refused(acme: Acme) -> None:
    for number in range(30):
        slug, version = f"web-{number}", f"app@1.0.{number}"
        acme.add_project(slug)

        def call(index: int, slug: str = slug, version: str = version) -> CreatedRelease | None:
            if index:
                return acme.release(version, slug)
            remove(acme, slug)
            return None

        deleted, created = at_once(2, call)
        if isinstance(created, CreatedRelease):
            assert isinstance(deleted, HasChildren)
            release = get_release(acme.db, acme.everybody, "acme", version).release
            assert [project.slug for project in release.projects] == [slug]
        else:
            assert isinstance(created, ProjectForbidden)
            assert deleted is None
