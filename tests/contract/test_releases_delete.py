"""DeleteRelease: gone at once, its rows bit by bit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from peewee import fn

from store.commits.drafts import CommitDraft
from store.commits.models import ReleaseAuthor, ReleaseCommit, ReleaseHead, ReleaseReference
from store.database import Database, new_id
from store.errors import EtagMismatch, ReleaseNotFound
from store.files.models import ReleaseFile
from store.releases import drain
from store.releases.create import CreateOutcome
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from store.releases.models import DrainingRelease, Release, ReleaseProject
from store.releases.read import get_release
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


def count(acme: Acme, model: Any) -> int:
    rows = acme.db.read(lambda reader: reader.fetch(model.select(fn.COUNT(1)).tuples()))
    number: int = rows[0][0]
    return number


def with_files(acme: Acme, release_id: bytes, number: int) -> None:
    rows = [
        {
            "id": new_id(),
            "organization_id": acme.id,
            "release_id": release_id,
            "file_name": f"file-{index}",
            "project_id": b"",
            "dist": "",
            "headers": {},
            "content_id": new_id(),
            "kind": 1,
            "folded_name": f"file-{index}",
            "create_time": 0,
        }
        for index in range(number)
    ]
    acme.db.write(lambda tx: tx.execute(ReleaseFile.insert_many(rows)))


def test_a_deleted_release_is_gone_at_once(acme: Acme) -> None:
    acme.release("1.0.0", "web")
    delete_release(acme.db, OPERATOR, "acme", "1.0.0")

    with pytest.raises(ReleaseNotFound):
        get_release(acme.db, OPERATOR, "acme", "1.0.0")
    with pytest.raises(ReleaseNotFound):
        delete_release(acme.db, OPERATOR, "acme", "1.0.0")
    for projects in ((), ("web",)):
        assert acme.listed(OPERATOR, projects=projects) == ()


def test_the_version_is_free_at_once_and_means_another_release(acme: Acme) -> None:
    first = acme.release("1.0.0", "web").details.release
    delete_release(acme.db, OPERATOR, "acme", "1.0.0")
    second = acme.release("1.0.0", "web")

    assert second.outcome is CreateOutcome.CREATED
    assert second.details.release.id != first.id
    with pytest.raises(EtagMismatch):
        delete_release(acme.db, OPERATOR, "acme", "1.0.0", etag=first.etag)
    delete_release(acme.db, OPERATOR, "acme", "1.0.0", etag=second.details.release.etag)


def test_the_spelling_that_a_deleted_release_is_kept_under_reaches_nothing(acme: Acme) -> None:
    release = acme.release("1.0.0", "web").details.release
    delete_release(acme.db, OPERATOR, "acme", "1.0.0")
    with pytest.raises(ReleaseNotFound):
        get_release(acme.db, OPERATOR, "acme", f"1.0.0\n{release.id.hex()}")


def test_who_may_not_access_all_projects_cannot_delete(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    with pytest.raises(ReleaseNotFound):
        delete_release(acme.db, acme.member_of("web"), "acme", "1.0.0")
    assert get_release(acme.db, OPERATOR, "acme", "1.0.0").release.version == "1.0.0"


def test_a_deletion_is_told_to_each_project(acme: Acme) -> None:
    acme.release("1.0.0", "web", "api")
    delete_release(acme.db, OPERATOR, "acme", "1.0.0")
    for project in ("web", "api"):
        assert [kind for kind, _, _ in acme.activities(project)] == ["release_created", "release_deleted"]


def test_the_drain_removes_every_row_of_deleted_releases_and_no_other(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "MOST_ROWS", 4)
    commits = tuple(
        CommitDraft(f"id-{index}", f"repo-{index % 3}", author_email=f"{index}@example.com", message="Fix A-1, A-2")
        for index in range(7)
    )
    for version in ("1", "2", "kept"):
        with_files(acme, acme.release(version, "web", commits=commits).details.release.id, 5)
    for version in ("1", "2"):
        delete_release(acme.db, OPERATOR, "acme", version)

    assert drain_deleted_releases(acme.db) == 2
    assert drain_deleted_releases(acme.db) == 0
    of_commits = {model: count(acme, model) for model in (ReleaseCommit, ReleaseHead, ReleaseAuthor, ReleaseReference)}
    assert of_commits == {ReleaseCommit: 7, ReleaseHead: 3, ReleaseAuthor: 7, ReleaseReference: 14}
    assert count(acme, ReleaseFile) == 5
    assert [count(acme, model) for model in (Release, ReleaseProject, DrainingRelease)] == [1, 1, 0]


def test_no_write_of_the_drain_removes_more_rows_than_allowed(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "MOST_ROWS", 10)
    with_files(acme, acme.release("1", "web").details.release.id, 35)
    delete_release(acme.db, OPERATOR, "acme", "1")
    left = [count(acme, ReleaseFile)]

    def stopped() -> bool:
        left.append(count(acme, ReleaseFile))
        return False

    drain_deleted_releases(acme.db, stopped=stopped)
    assert all(before - after <= 10 for before, after in itertools.pairwise(left))
    assert left[-1] == 0


def test_a_drain_that_was_stopped_goes_on_later(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "MOST_ROWS", 10)
    with_files(acme, acme.release("1", "web").details.release.id, 25)
    delete_release(acme.db, OPERATOR, "acme", "1")
    asked = iter([False, False, True])

    assert drain_deleted_releases(acme.db, stopped=lambda: next(asked, True)) == 0
    assert count(acme, ReleaseFile) == 15
    assert drain_deleted_releases(acme.db) == 1
    assert (count(acme, ReleaseFile), count(acme, Release)) == (0, 0)
