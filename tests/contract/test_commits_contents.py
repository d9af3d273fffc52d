"""What is in releases: newest commit, heads and authors, of one release and of many."""

from __future__ import annotations

import pytest

from store.commits.contents import SHOWN, AuthorRow, HeadCommitRow, ReleaseContents, release_contents
from store.commits.drafts import CommitDraft
from store.commits.set import set_commits
from store.database import Database
from store.releases.read import get_release
from tests.contract.acme import Acme


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "web")


def filled(acme: Acme, version: str, *commits: CommitDraft) -> bytes:
    acme.release(version, "web")
    set_commits(acme.db, acme.everybody, "acme", version, commits)
    release_id: bytes = get_release(acme.db, acme.everybody, "acme", version).release.id
    return release_id


def contents(acme: Acme, *release_ids: bytes) -> dict[bytes, ReleaseContents]:
    return acme.db.read(lambda reader: release_contents(reader, release_ids))


def test_contents_of_many_releases_are_each_releases_own(acme: Acme) -> None:
    ids = [
        filled(
            acme,
            f"1.0.{number}",
            CommitDraft(f"new-{number}", "r", f"N{number}", f"{number}@x", f"words {number}", number),
            CommitDraft("shared", "other", "Ann", "ann@x", commit_time=-1),
        )
        for number in range(11)
    ]
    found = contents(acme, *ids)
    assert list(found) == ids
    for number, release_id in enumerate(ids):
        one = found[release_id]
        assert one == contents(acme, release_id)[release_id]
        assert one.last_commit is not None
        assert (one.last_commit.key, one.last_commit.message) == (f"new-{number}", f"words {number}")
        assert one.head_commits == (HeadCommitRow("other", "shared"), HeadCommitRow("r", f"new-{number}"))
        assert one.authors == (AuthorRow(f"N{number}", f"{number}@x"), AuthorRow("Ann", "ann@x"))


def test_a_hundred_heads_and_authors_are_shown_in_order(acme: Acme) -> None:
    commits = [CommitDraft("c", f"r{number:03}", author_email=f"{number:03}@x") for number in range(130)]
    ids = [filled(acme, version, *commits) for version in ("1", "2")]
    for found in (contents(acme, ids[0]), contents(acme, *ids)):
        one = found[ids[0]]
        assert [head.repository for head in one.head_commits] == [f"r{number:03}" for number in range(SHOWN)]
        assert [author.email for author in one.authors] == [f"{number:03}@x" for number in range(SHOWN)]


def test_a_release_without_commits_has_nothing_in_it(acme: Acme) -> None:
    release_id = filled(acme, "1")
    assert contents(acme, release_id) == {release_id: ReleaseContents(None, (), ())}
    assert contents(acme) == {}
