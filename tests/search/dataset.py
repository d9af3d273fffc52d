"""Releases told as dicts (`tests.search.evaluator`), written into a database as the store keeps them.

Rows are written as they are, not by the store's verbs: hundreds of data sets take seconds so. Each is an organization
of its own, so that many share a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

from peewee import Model

from store.access import Access
from store.access.scopes import SCOPES
from store.commits.models import (
    Commit,
    CommitAuthor,
    CommitReference,
    ReleaseAuthor,
    ReleaseCommit,
    ReleaseHead,
    ReleaseReference,
)
from store.commits.prepare import author_email
from store.database import Database, Statement, Transaction, holes_for, new_id
from store.database.ids import first_id_at
from store.deploys.models import Deploy, DeployProject, Environment, EnvironmentProject, ReleaseEnvironment
from store.files.models import NO_DIST, NO_PROJECT, ReleaseFile
from store.organizations.models import Organization, OrganizationSlug, Project, ProjectSlug, Repository
from store.releases.models import Release, ReleaseLabel, ReleaseProject
from store.releases.rows import ReleaseStatus
from store.releases.version import parse_version
from store.text import folded, folded_key
from tests.search.evaluator import Release as ReleaseDict
from tests.search.strategies import PROJECTS

_numbers = count()

STATUSES = {"open": ReleaseStatus.OPEN, "archived": ReleaseStatus.ARCHIVED}


@dataclass(frozen=True)
class Dataset:
    """Releases in a database: `releases` are the dicts as the store keeps what they say, `ids` the ids of the rows by
    the numbers of the dicts, `projects` and `environments` those of the projects and environments by name."""

    organization_id: bytes
    slug: str
    releases: Sequence[ReleaseDict]
    ids: dict[int, bytes]
    projects: dict[str, bytes]
    environments: dict[str, bytes]

    def access(self, *projects: str) -> Access:
        """A caller that is a member of these projects; of all, when none is named."""
        return Access(
            token_id=new_id(),
            organization_id=self.organization_id,
            scopes=SCOPES - {"installation:admin"},
            all_projects=not projects,
            project_ids=frozenset(self.projects[slug] for slug in projects),
        )

    def id_of(self, release: ReleaseDict) -> bytes:
        """The id of the row of a release."""
        return self.ids[release["id"]]


def write_dataset(
    db: Database, releases: Iterable[ReleaseDict], *, projects: Sequence[str] = PROJECTS, slug: str = ""
) -> Dataset:
    """Writes the releases, and the projects, into an organization of their own."""
    kept = settled(releases)
    number = next(_numbers)
    writing = _Writing(slug or f"data-{number}", projects, number)
    for release in kept:
        writing.add(release)
    db.write(writing.write)
    return Dataset(writing.organization_id, writing.slug, kept, writing.ids, writing.projects, writing.environments)


def settled(releases: Iterable[ReleaseDict]) -> list[ReleaseDict]:
    """The releases as the store keeps them, where random ones contradict one another: a commit is the same in all
    releases that hold it, an author has an e-mail, and one name, the last one said."""
    commits: dict[tuple[str, str], dict[str, Any]] = {}
    names: dict[str | None, str | None] = {}
    kept = [dict(release) for release in releases]
    for release in kept:
        for commit in release["commits"]:
            email = author_email(commit["name"], commit["email"])
            commits.setdefault((commit["repository"], commit["id"]), commit | {"email": email})
            if commit["name"] is not None or email not in names:
                names[email] = commit["name"]
    for commit in commits.values():
        commit["name"] = None if commit["email"] is None else names[commit["email"]]
    for release in kept:
        release["commits"] = [commits[commit["repository"], commit["id"]] for commit in release["commits"]]
    return kept


class _Writing:
    """The rows of a data set, gathered by model."""

    def __init__(self, slug: str, projects: Sequence[str], number: int) -> None:
        self.slug = slug
        self._number = number
        self.organization_id = new_id()
        self.ids: dict[int, bytes] = {}
        self._rows: dict[type[Model], list[dict[str, Any]]] = {}
        self._repositories: dict[str, bytes] = {}
        self.environments: dict[str, bytes] = {}
        self._authors: dict[str, bytes] = {}
        self._commits: dict[tuple[str, str], bytes] = {}
        self._organization()
        self.projects = {project: self._project(project) for project in projects}

    def write(self, tx: Transaction) -> None:
        for model, rows in self._rows.items():
            tx.run_many(_insert(model), rows)

    def add(self, release: ReleaseDict) -> None:
        """One release, with all that hangs on it."""
        # Of one microsecond the next number has the higher id: order by id is order by time and number. No two data
        # sets have an id in common.
        number = (self._number << 20) + release["id"]
        id_ = self.ids[release["id"]] = _plus(first_id_at(release["created"]), number)
        commits = [self._commit(commit) for commit in release["commits"]]
        heads = {commit["repository"]: commit_id for commit, commit_id in zip(release["commits"], commits, strict=True)}
        for repository in release["heads"]:
            heads.setdefault(repository, new_id())
        emails = {commit["email"] for commit in release["commits"] if commit["email"] is not None}
        version = parse_version(release["version"])
        sorted_by = {
            "status": int(STATUSES[release["status"]]),
            "sort_time": release["created"] if release["released"] is None else release["released"],
            "version_key": version.sort_key,
            "build_key": version.build_key,
            "version": release["version"],
            "commit_count": len(commits),
            "deploy_count": len(release["deploys"]),
        }
        self._row(
            Release,
            id=id_,
            **sorted_by,
            folded_version=folded(release["version"]),
            ref=release["ref"],
            url="",
            owner=release["owner"],
            folded_owner=folded_key(release["owner"]),
            user_agent="",
            release_time=release["released"],
            create_time=release["created"],
            update_time=release["created"],
            delete_time=None,
            revision=1,
            package=version.package,
            build_code=version.build_code,
            project_count=len(release["projects"]),
            author_count=len(emails),
            head_count=len(heads),
            file_count=len(release["files"]),
            label_count=len(release["labels"]),
            last_commit_id=commits[0] if commits else None,
            last_deploy_id=None,
        )
        for project in release["projects"]:
            self._row(ReleaseProject, project_id=self.projects[project], release_id=id_, **sorted_by)
        for key, value in release["labels"].items():
            self._row(ReleaseLabel, release_id=id_, key=key, value=value)
        for repository, commit_id in heads.items():
            repository_id = self._repository(repository)
            self._row(
                ReleaseHead,
                release_id=id_,
                repository_id=repository_id,
                commit_id=commit_id,
                from_ref=repository in release["heads"],
                previous_key=None,
            )
        for email in sorted(emails):
            self._row(ReleaseAuthor, release_id=id_, email=email, author_id=self._authors[email])
        self._listed(id_, release, commits)
        self._deploys(id_, release)
        for file in release["files"]:
            self._file(id_, file)

    def _row(self, model: type[Model], **columns: Any) -> bytes | None:
        if "organization_id" in model._meta.fields:
            columns.setdefault("organization_id", self.organization_id)
        self._rows.setdefault(model, []).append(columns)
        return columns.get("id")

    def _organization(self) -> None:
        self._rows[Organization] = [
            {
                "id": self.organization_id,
                "slug": self.slug,
                "display_name": "",
                "open_membership": False,
                "avatar_type": 1,
                "avatar_content_id": None,
                "avatar_uid": None,
                "debug_files_role": "",
                "attachments_role": "",
                "join_requests": False,
                "early_adopter": False,
                "events_member_admin": False,
                "alerts_member_write": False,
                "quota_stored_bytes": None,
                "quota_file_count": None,
                "quota_stream_count": None,
                "create_time": 0,
                "update_time": 0,
                "delete_time": None,
            }
        ]
        self._row(OrganizationSlug, slug=self.slug)

    def _project(self, slug: str) -> bytes:
        id_ = new_id()
        self._row(
            Project,
            id=id_,
            slug=slug,
            display_name="",
            platform="",
            manual_releases=False,
            create_time=0,
            update_time=0,
        )
        self._row(ProjectSlug, slug=slug, project_id=id_)
        return id_

    def _repository(self, name: str) -> bytes:
        if name in self._repositories:
            return self._repositories[name]
        id_ = self._repositories[name] = new_id()
        self._row(
            Repository,
            id=id_,
            display_name=name,
            active_name=name,
            url="",
            provider="",
            external_id=None,
            state=1,
            create_time=0,
            update_time=0,
        )
        return id_

    def _environment(self, name: str) -> bytes:
        if name not in self.environments:
            self.environments[name] = new_id()
            self._row(Environment, id=self.environments[name], display_name=name, create_time=0)
        return self.environments[name]

    def _commit(self, commit: dict[str, Any]) -> bytes:
        place = commit["repository"], commit["id"]
        if place in self._commits:
            return self._commits[place]
        id_ = self._commits[place] = new_id()
        email = commit["email"]
        if email is not None and email not in self._authors:
            self._authors[email] = new_id()
            self._row(
                CommitAuthor,
                id=self._authors[email],
                email=email,
                display_name=commit["name"],
                folded_email=folded_key(email),
                folded_name=folded_key(commit["name"] or ""),
            )
        self._row(
            Commit,
            id=id_,
            repository_id=self._repository(commit["repository"]),
            key=commit["id"],
            author_id=None if email is None else self._authors[email],
            author_name=commit["name"],
            message=None,
            commit_time=None,
            changed_file_count=0,
        )
        for position, reference in enumerate(commit["fixes"]):
            self._row(
                CommitReference,
                commit_id=id_,
                position=position,
                reference=reference,
                folded_reference=folded_key(reference),
            )
        return id_

    def _listed(self, release_id: bytes, release: ReleaseDict, commits: Sequence[bytes]) -> None:
        for position, (commit, commit_id) in enumerate(zip(release["commits"], commits, strict=True)):
            self._row(ReleaseCommit, release_id=release_id, position=position, commit_id=commit_id)
            for reference in commit["fixes"]:
                self._row(
                    ReleaseReference,
                    release_id=release_id,
                    reference=reference,
                    commit_id=commit_id,
                    folded_reference=folded_key(reference),
                )

    def _deploys(self, release_id: bytes, release: ReleaseDict) -> None:
        there: dict[tuple[bytes, bytes], list[tuple[int, bytes]]] = {}
        stays: dict[tuple[bytes, bytes], dict[str, Any]] = {}
        for deploy in release["deploys"]:
            id_, environment_id = new_id(), self._environment(deploy["environment"])
            self._row(
                Deploy,
                id=id_,
                release_id=release_id,
                environment_id=environment_id,
                display_name="",
                url="",
                start_time=None,
                finish_time=deploy["finished"],
                create_time=deploy["finished"],
            )
            for project in deploy["projects"]:
                there.setdefault((self.projects[project], environment_id), []).append((deploy["finished"], id_))
                self._row(
                    DeployProject,
                    project_id=self.projects[project],
                    environment_id=environment_id,
                    finish_time=deploy["finished"],
                    deploy_id=id_,
                    release_id=release_id,
                )
                self._deployed(self.projects[project], deploy["environment"], environment_id)
        for stay in release["stays"]:
            project_id, environment_id = self.projects[stay["project"]], self._environment(stay["environment"])
            stays[project_id, environment_id] = stay
            self._deployed(project_id, stay["environment"], environment_id)
        for project_id, environment_id in dict.fromkeys([*there, *stays]):
            deploys = there.get((project_id, environment_id), [])
            finish_time, deploy_id = max(deploys, default=(None, None))
            stay = stays.get((project_id, environment_id), {})
            self._row(
                ReleaseEnvironment,
                release_id=release_id,
                project_id=project_id,
                environment_id=environment_id,
                last_deploy_id=deploy_id,
                last_finish_time=finish_time,
                deploy_count=len(deploys),
                adopted_time=stay.get("adopted"),
                unadopted_time=stay.get("unadopted"),
            )

    def _deployed(self, project_id: bytes, environment: str, environment_id: bytes) -> None:
        row = {"project_id": project_id, "display_name": environment, "environment_id": environment_id}
        rows = self._rows.setdefault(EnvironmentProject, [])
        if row not in rows:
            rows.append(row)

    def _file(self, release_id: bytes, file: dict[str, Any]) -> None:
        project = file["project"]
        self._row(
            ReleaseFile,
            id=new_id(),
            release_id=release_id,
            file_name=file["name"],
            project_id=NO_PROJECT if project is None else self.projects[project],
            dist=NO_DIST,
            headers={},
            content_id=new_id(),
            kind=1,
            folded_name=folded_key(file["name"]),
            create_time=0,
        )


def _plus(id_: bytes, number: int) -> bytes:
    return (int.from_bytes(id_, "big") + number).to_bytes(len(id_), "big")


@cache
def _insert(model: type[Model]) -> Statement:
    return Statement(model.insert(holes_for(*_fields(model))))


def _fields(model: type[Model]) -> Iterator[Any]:
    return iter(model._meta.sorted_fields)
