"""Projects by id, remembered for a minute: for whoever asks for many of them again and again.

What this process writes is seen at once; what another server wrote, within a minute. Who must be sure reads the row.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Final
from weakref import WeakKeyDictionary

from cachetools import TTLCache

from store.clock import Clock
from store.database import Database, Query, query_shape
from store.database.batches import batches, filled, holes
from store.organizations.models import Project
from store.organizations.rows import PROJECT_COLUMNS, ProjectDetails, project_details

MOST_PROJECTS: Final = 10_000
"""How many projects are remembered; beyond that those that were remembered longest are forgotten."""
KEPT_SECONDS: Final = 60.0


@query_shape
def _by_ids(count: int) -> Query[ProjectDetails]:
    return Query(Project.select(*PROJECT_COLUMNS).where(Project.id.in_(holes(Project.id, count))), row=project_details)


class ProjectCache:
    """The projects of one database; safe to use on several threads."""

    def __init__(self, clock: Clock, *, most: int = MOST_PROJECTS, kept_seconds: float = KEPT_SECONDS) -> None:
        self._kept: TTLCache[bytes, ProjectDetails] = TTLCache(most, kept_seconds, lambda: clock.steady_us() / 1e6)
        self._lock = threading.Lock()
        self._changes = 0

    def get_many(self, db: Database, ids: Collection[bytes]) -> list[ProjectDetails]:
        """Those of the projects that there are, each once and in no order: one query for 500 that are not remembered.

        What is remembered under an id and is not the project of that id is dropped and read again.
        """
        wanted = set(ids)
        with self._lock:
            changes = self._changes
            found = {id_: self._remembered(id_) for id_ in wanted}
        there = {id_: project for id_, project in found.items() if project is not None}
        missing = sorted(wanted.difference(there))
        read = [row for batch in batches(missing) for row in db.rows(_by_ids(len(batch)), **filled(batch))]
        there.update((project.id, project) for project in read)
        with self._lock:
            # Else what was read may be older than what was written meanwhile.
            if changes == self._changes:
                self._kept.update((project.id, project) for project in read)
        return list(there.values())

    def forget(self, project_id: bytes) -> None:
        """The project was changed or deleted, and that is committed."""
        with self._lock:
            self._changes += 1
            self._kept.pop(project_id, None)

    def forget_organization(self, organization_id: bytes) -> None:
        """The organization was deleted, and that is committed."""
        with self._lock:
            self._changes += 1
            for project in list(self._kept.values()):
                if project.organization_id == organization_id:
                    del self._kept[project.id]

    def _remembered(self, id_: bytes) -> ProjectDetails | None:
        project = self._kept.get(id_)
        if isinstance(project, ProjectDetails) and project.id == id_:
            return project
        self._kept.pop(id_, None)
        return None


_CACHES: Final[WeakKeyDictionary[Database, ProjectCache]] = WeakKeyDictionary()
_MAKING: Final = threading.Lock()


def projects_of(db: Database) -> ProjectCache:
    """The one cache of the projects of this database: whoever saves or deletes one tells it."""
    with _MAKING:
        found = _CACHES.get(db)
        if found is None:
            found = _CACHES[db] = ProjectCache(db.clock)
        return found
