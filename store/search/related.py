"""What hangs on a release, asked of in SQL: its projects, deploys, labels, commits and files.

Each is an EXISTS by the release's id. What is of projects that the scope has not is as if it were not there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import peewee

from store.commits.models import Commit, CommitAuthor, ReleaseAuthor, ReleaseCommit, ReleaseHead, ReleaseReference
from store.database.dialect import Engine
from store.deploys.models import DeployProject, Environment, ReleaseEnvironment
from store.files.models import NO_PROJECT, ReleaseFile
from store.organizations.models import DrainingProject, Project, ProjectSlug, Repository
from store.releases.models import Release, ReleaseLabel, ReleaseProject
from store.search.filters import Scope
from store.search.language import Prefix, Text, Value, Wildcard
from store.search.texts import any_text
from store.text import folded_key

Condition: TypeAlias = Any
"""What stands in a WHERE: Peewee's expressions have no one type."""

ALWAYS: Final = peewee.SQL("(1 = 1)")
NEVER: Final = peewee.SQL("(1 = 0)")

_ONE: Final = peewee.SQL("1")
MOST_LISTED: Final = 32
"""More ids than these are bound as one value: a statement takes only so many, and a query may say a key 100 times."""


def in_projects(column: Any, scope: Scope, engine: Engine) -> Condition:
    """That the project whose id is in the column is one of the scope's."""
    if scope.projects.everything:
        # Rows of a deleted project stay until the drain comes by.
        return column.not_in(DrainingProject.select(DrainingProject.project_id))
    return among(column, scope.projects.ids, engine)


def among(column: Any, ids: Collection[bytes], engine: Engine) -> Condition:
    """That the column is one of the ids, however many there are."""
    if not ids:
        return NEVER
    listed = sorted(ids)
    if len(listed) <= MOST_LISTED:
        return column.in_(listed)
    if engine == "postgresql":
        return column == peewee.fn.ANY(peewee.Value(listed, converter=False, unpack=False))
    told = json.dumps([each.hex().upper() for each in listed])
    return peewee.fn.HEX(column).in_(peewee.SQL("(SELECT value FROM json_each(?))", [told]))


def exists(query: Any, engine: Engine) -> Condition:
    """That the query, which is of one release, finds a row.

    PostgreSQL would else be free to join it with all that it is asked of, or to read its whole table once for them; how
    it decides changes with statistics. An OFFSET keeps it where it is: a look at an index a release.
    """
    return peewee.fn.EXISTS(query.offset(0) if engine == "postgresql" else query)


def as_kept(values: Sequence[Value]) -> list[Value]:
    """The values as folded columns keep them: cut where they are too long for an index."""
    return [Text(folded_key(value.text)) if isinstance(value, Text) else value for value in values]


@dataclass(frozen=True, slots=True)
class Related:
    """Conditions on a row of `Release`: it has something for which a test holds, which is one on the row of that."""

    scope: Scope
    engine: Engine

    def project(self, test: Condition = ALWAYS) -> Condition:
        """A row of `ReleaseProject`."""
        return self._exists(
            ReleaseProject.select(_ONE).where(
                ReleaseProject.release_id == Release.id, self._in_projects(ReleaseProject.project_id), test
            )
        )

    def project_called(self, values: Sequence[Value]) -> Condition:
        """A project by its slug; where that is said in full, also by one that it had."""
        texts = [value.text for value in values if isinstance(value, Text)]
        patterns = [value for value in values if not isinstance(value, Text)]
        so_called: Condition = NEVER
        if texts:
            ids = ProjectSlug.select(ProjectSlug.project_id).where(
                ProjectSlug.organization_id == self.scope.organization.id, ProjectSlug.slug.in_(texts)
            )
            so_called = ReleaseProject.project_id.in_(ids)
        if patterns:
            alike = Project.select(_ONE).where(
                Project.id == ReleaseProject.project_id, any_text(Project.slug, patterns, self.engine)
            )
            so_called = so_called | self._exists(alike)
        return self.project(so_called)

    def environment(self, test: Condition) -> Condition:
        """A row of `ReleaseEnvironment`: where it was deployed from one of the projects, or had sessions of it."""
        return self._exists(
            ReleaseEnvironment.select(_ONE).where(
                ReleaseEnvironment.release_id == Release.id, self._in_projects(ReleaseEnvironment.project_id), test
            )
        )

    def any_environment(self) -> Condition:
        """The same of an environment with a name: sessions without one are in none."""
        return self.environment(~self._is_called(ReleaseEnvironment, [Text("")]))

    def environment_called(self, values: Sequence[Value]) -> Condition:
        """An environment, by its name."""
        return self.environment(self._is_called(ReleaseEnvironment, values))

    def deployed(self, name: str, test: Condition) -> Condition:
        """A row of `ReleaseEnvironment` with deploys, of the environment of this name; of any, when it is empty."""
        deployed = ReleaseEnvironment.last_finish_time.is_null(False) & test
        return (Release.deploy_count > 0) & self.environment(self._named(ReleaseEnvironment, name) & deployed)

    def deploy(self, name: str, test: Condition) -> Condition:
        """A row of `DeployProject`, of the environment of this name; of any, when it is empty."""
        deploys = DeployProject.select(_ONE).where(
            DeployProject.release_id == Release.id,
            self._in_projects(DeployProject.project_id),
            self._named(DeployProject, name),
            test,
        )
        return (Release.deploy_count > 0) & self._exists(deploys)

    def label(self, name: str, test: Condition) -> Condition:
        """A row of `ReleaseLabel` of this key."""
        labels = ReleaseLabel.select(_ONE).where(ReleaseLabel.release_id == Release.id, ReleaseLabel.key == name, test)
        return (Release.label_count > 0) & self._exists(labels)

    def author(self, values: Sequence[Value]) -> Condition:
        """An author of a commit, by e-mail or by name."""
        # An author without a name is kept with an empty one: nobody is called that.
        said = as_kept([value for value in values if value != Text("")])
        if not said:
            return NEVER
        email, name = (
            any_text(column, said, self.engine) for column in (CommitAuthor.folded_email, CommitAuthor.folded_name)
        )
        authors = (
            ReleaseAuthor.select(_ONE)
            .join(CommitAuthor, on=(CommitAuthor.id == ReleaseAuthor.author_id))
            .where(ReleaseAuthor.release_id == Release.id, email | name)
        )
        return (Release.author_count > 0) & self._exists(authors)

    def commit(self, value: Value) -> Condition:
        """A commit, by its id. Where few of all have it they are sought first, else each release's own are gone
        through."""
        assert isinstance(value, Text | Wildcard | Prefix)
        so_called = any_text(Commit.key, [value], self.engine)
        commits = ReleaseCommit.select(ReleaseCommit.release_id).join(Commit, on=(Commit.id == ReleaseCommit.commit_id))
        if isinstance(value, Text) or value.prefix in self.scope.rare_prefixes:
            found = commits.where(Commit.organization_id == self.scope.organization.id, so_called)
            return (Release.commit_count > 0) & Release.id.in_(found)
        of_release = commits.where(ReleaseCommit.release_id == Release.id, so_called)
        return (Release.commit_count > 0) & self._exists(of_release)

    def repository(self, values: Sequence[Value]) -> Condition:
        """A repository, by its name. Of each one with commits in a release, or with a ref, the release has a head."""
        heads = (
            ReleaseHead.select(_ONE)
            .join(Repository, on=(Repository.id == ReleaseHead.repository_id))
            .where(ReleaseHead.release_id == Release.id, any_text(Repository.display_name, values, self.engine))
        )
        return (Release.head_count > 0) & self._exists(heads)

    def reference(self, test: Condition = ALWAYS) -> Condition:
        """A row of `ReleaseReference`, whose commit is still in the release."""
        placed = (ReleaseCommit.commit_id == ReleaseReference.commit_id) & (
            ReleaseCommit.release_id == ReleaseReference.release_id
        )
        references = (
            ReleaseReference.select(_ONE)
            .join(ReleaseCommit, on=placed)
            .where(ReleaseReference.release_id == Release.id, test)
        )
        return (Release.commit_count > 0) & self._exists(references)

    def file(self, test: Condition = ALWAYS) -> Condition:
        """A row of `ReleaseFile`."""
        is_seen = (ReleaseFile.project_id == NO_PROJECT) | self._in_projects(ReleaseFile.project_id)
        files = ReleaseFile.select(_ONE).where(ReleaseFile.release_id == Release.id, test, is_seen)
        return (Release.file_count > 0) & self._exists(files)

    def _exists(self, query: Any) -> Condition:
        return exists(query, self.engine)

    def _in_projects(self, column: Any) -> Condition:
        return in_projects(column, self.scope, self.engine)

    def _is_called(self, model: Any, values: Sequence[Value]) -> Condition:
        """That a row, of a model with an environment_id, is of an environment that is called so."""
        environments = Environment.select(Environment.id).where(
            Environment.organization_id == self.scope.organization.id,
            any_text(Environment.display_name, values, self.engine),
        )
        return model.environment_id.in_(environments)

    def _named(self, model: Any, name: str) -> Condition:
        return self._is_called(model, [Text(name)]) if name else ALWAYS
