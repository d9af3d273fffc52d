"""The commits of acme's release: setting them, and what is there then."""

from __future__ import annotations

from typing import Any

from store.commits.contents import CommitRow
from store.commits.drafts import CommitDraft
from store.commits.read import list_commits
from store.commits.set import set_commits
from store.paging import PageRequest
from store.releases.details import ReleaseDetails
from store.releases.read import get_release
from tests.contract.acme import Acme

VERSION = "app@1.0.0"


def set_to(acme: Acme, *commits: CommitDraft, version: str = VERSION) -> ReleaseDetails:
    details: ReleaseDetails = set_commits(acme.db, acme.everybody, "acme", version, commits)
    return details


def append_to(acme: Acme, *commits: CommitDraft, version: str = VERSION) -> ReleaseDetails:
    details: ReleaseDetails = set_commits(acme.db, acme.everybody, "acme", version, commits, append=True)
    return details


def listed(acme: Acme, version: str = VERSION) -> list[CommitRow]:
    page = list_commits(acme.db, acme.everybody, "acme", version, PageRequest(1000), changed_files=True)
    return [item.commit for item in page.items]


def keys(acme: Acme, version: str = VERSION) -> list[str]:
    return [commit.key for commit in listed(acme, version)]


def count(acme: Acme, model: Any) -> int:
    return len(acme.db.read(lambda reader: reader.fetch(model.select())))


def in_projects(acme: Acme, version: str = VERSION) -> list[int]:
    release = get_release(acme.db, acme.everybody, "acme", version).release
    return [row.commit_count for row in acme.rows_in_projects(release.id)]
