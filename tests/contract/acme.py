"""An organization with projects and callers, for tests of what happens in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from store.access import Access
from store.activity.models import Activity
from store.database import Database
from store.organizations.rows import ProjectDetails
from store.paging import PageRequest
from store.releases.create import CreatedRelease, ReleaseDraft, create_release
from store.releases.details import ReleaseDetails
from store.releases.models import ReleaseProject
from store.search.filters import ReleaseFilter
from store.search.list import list_releases
from tests.contract.callers import member_of, member_of_all, new_organization, new_project


class Acme:
    """The organization `acme` (or of another slug) and shorthands for what tests do in it again and again."""

    def __init__(self, db: Database, *projects: str, slug: str = "acme", open_membership: bool = False) -> None:
        self.db = db
        self.slug = slug
        self.organization = new_organization(db, slug, open_membership=open_membership)
        self.id = self.organization.id
        self.projects: dict[str, bytes] = {}
        self._details: dict[str, ProjectDetails] = {}
        for project in projects:
            self.add_project(project)
        self.everybody = replace(member_of_all(self.organization), caller="ci")

    def add_project(self, slug: str) -> bytes:
        self._details[slug] = new_project(self.db, self.organization, slug)
        self.projects[slug] = self._details[slug].id
        return self.projects[slug]

    def member_of(self, *projects: str) -> Access:
        """A caller that is a member of just these projects."""
        return member_of(self.organization, *(self._details[project] for project in projects))

    def release(self, version: str, *projects: str, access: Access | None = None, **fields: Any) -> CreatedRelease:
        """Create the release, by a caller who may do everything unless `access` says who."""
        draft = ReleaseDraft(version, projects=projects, **fields)
        created: CreatedRelease = create_release(self.db, access or self.everybody, self.slug, draft)
        return created

    def listed(
        self, access: Access | None = None, *, contents: bool = False, **wanted: Any
    ) -> tuple[ReleaseDetails, ...]:
        """The first hundred releases of a list, for a caller who may see everything unless `access` says who."""
        caller = access or self.everybody
        listed = list_releases(
            self.db, caller, self.slug, ReleaseFilter(**wanted), page=PageRequest(100), contents=contents
        )
        return listed.page.items

    def activities(self, project: str | None = None) -> list[tuple[str, str, int]]:
        """(kind, subject, happen_time) of what was recorded, in that order, for one project or for all."""
        query = Activity.select().where(Activity.organization_id == self.id)
        if project is not None:
            query = query.where(Activity.project_id == self.projects[project])
        rows: Sequence[Activity] = self.db.read(lambda reader: reader.fetch(query.order_by(Activity.id)))
        return [(row.kind, row.subject, row.happen_time) for row in rows]

    def told(self, kind: str, project: str) -> list[dict[str, Any]]:
        """What the activities of this kind say to the project, in their order."""
        of_project = (Activity.project_id == self.projects[project]) & (Activity.kind == kind)
        query = Activity.select().where(of_project).order_by(Activity.id)
        rows: Sequence[Activity] = self.db.read(lambda reader: reader.fetch(query))
        return [dict(row.data) for row in rows]

    def changes(self) -> list[dict[str, Any]]:
        """What activities `organization_changed` say, in their order."""
        query = Activity.select().where(Activity.organization_id == self.id, Activity.kind == "organization_changed")
        rows: Sequence[Activity] = self.db.read(lambda reader: reader.fetch(query.order_by(Activity.id)))
        assert {(row.project_id, row.caller) for row in rows} <= {(None, "ci")}
        return [dict(row.data) for row in rows]

    def rows_in_projects(self, release_id: bytes) -> list[ReleaseProject]:
        """The (release, project) rows of a release."""
        query = ReleaseProject.select().where(ReleaseProject.release_id == release_id)
        rows: list[ReleaseProject] = self.db.read(lambda reader: reader.fetch(query))
        return rows
