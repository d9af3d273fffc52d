"""Changes of many releases against a model: any releases, queries, actions, callers and sizes of calls, in any order.

After each change every release is what the model says: its status, its labels, whether it is there at all, and what its
projects were told. The same programs run on both databases.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from store.database import Database
from store.errors import ReleaseNotFound
from store.paging import PageRequest
from store.releases import labels as labels_module
from store.releases.create import CreateOutcome
from store.releases.delete import delete_release
from store.releases.read import get_release
from store.releases.rows import ReleaseStatus
from store.releases.update import ReleaseChanges, update_release
from store.search import bulk as bulk_module
from store.search.bulk import BulkAction, BulkChange, BulkUpdated, bulk_update_releases
from store.search.filters import ReleaseFilter
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.model.conftest import runs

MAX_LABELS = 2
MOST_ROWS = 20
_NUMBERS = itertools.count(1)
_KEYS = st.sampled_from(["team", "risk", "tier"])
_LABELS = st.dictionaries(_KEYS, st.sampled_from(["x", "y"]), max_size=MAX_LABELS)
_PROJECTS = st.sets(st.sampled_from(["web", "api"]), min_size=1)
_VERSIONS = st.sampled_from(["app@1.0", "app@1.1", "app@2.0", "lib@1.0", "lib@2.0", "plain"])
_OPEN, _ARCHIVED = ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED


@dataclass
class Modelled:
    """A release as it must be."""

    version: str
    projects: set[str]
    labels: dict[str, str]
    status: ReleaseStatus = _OPEN


@dataclass(frozen=True)
class Query:
    """A query, and what it finds among releases of the projects that a caller has."""

    text: str
    finds: Callable[[Modelled, set[str]], bool]
    says_status: bool = False


QUERIES = (
    Query("release:*", lambda _, __: True),
    Query("release.package:app", lambda release, _: release.version.startswith("app@")),
    Query("release.version:>=2", lambda release, _: release.version.endswith("2.0")),
    Query("lai", lambda release, _: release.version == "plain"),
    Query("label.team:x", lambda release, _: release.labels.get("team") == "x"),
    Query("!label.team:x", lambda release, _: release.labels.get("team") != "x"),
    Query("has:label.risk OR project:api", lambda release, own: "risk" in release.labels or "api" in own),
    Query("!project:web", lambda _, own: "web" not in own),
    Query("status:archived", lambda release, _: release.status is _ARCHIVED, says_status=True),
    Query("status:[open, archived]", lambda _, __: True, says_status=True),
)


class Releases(RuleBasedStateMachine):
    """One organization."""

    database: Database
    clock: ManualClock

    @initialize(
        made=st.lists(
            st.fixed_dictionaries(
                {"version": _VERSIONS, "projects": _PROJECTS, "labels": _LABELS, "archived": st.booleans()}
            ),
            min_size=4,
            max_size=8,
        )
    )
    def begin(self, made: list[dict[str, Any]]) -> None:
        self.slug = f"acme-{next(_NUMBERS)}"
        self.acme = Acme(self.database, "web", "api", slug=self.slug)
        self.there: dict[str, Modelled] = {}  # oldest first
        self.told: Counter[tuple[str, str, str]] = Counter()
        for release in made:
            self._create(**release)

    @rule(version=_VERSIONS, projects=_PROJECTS, labels=_LABELS, archived=st.booleans())
    def create(self, version: str, projects: set[str], labels: dict[str, str], archived: bool) -> None:
        self._create(version, projects, labels, archived=archived)

    def _create(self, version: str, projects: set[str], labels: dict[str, str], *, archived: bool) -> None:
        self.clock.advance(seconds=1)
        status = _ARCHIVED if archived else None
        created = self.acme.release(version, *projects, labels=labels, status=status)
        existing = self.there.get(version)
        assert (created.outcome is CreateOutcome.CREATED) == (existing is None)
        if existing is None:
            self.there[version] = Modelled(version, projects, labels, status or _OPEN)
            return
        existing.projects |= projects
        if archived and existing.status is _OPEN:
            existing.status = _ARCHIVED
            self._tell("release_archived", existing)

    @rule(version=_VERSIONS, labels=_LABELS)
    def relabel(self, version: str, labels: dict[str, str]) -> None:
        if version in self.there:
            changes = ReleaseChanges(frozenset({"labels"}), labels=labels)
            update_release(self.acme.db, self.acme.everybody, self.slug, version, changes=changes)
            self.there[version].labels = labels

    @rule(version=_VERSIONS)
    def delete(self, version: str) -> None:
        if version in self.there:
            delete_release(self.acme.db, self.acme.everybody, self.slug, version)
            self._tell("release_deleted", self.there.pop(version))

    @rule(
        action=st.sampled_from(BulkAction),
        query=st.sampled_from(QUERIES),
        labels=_LABELS,
        removed=st.sets(_KEYS),
        member=st.sampled_from([("web", "api"), ("web", "api"), ("web",), ("api",)]),
        size=st.sampled_from([1, 2, 5]),
    )
    def change(
        self,
        action: BulkAction,
        query: Query,
        labels: dict[str, str],
        removed: set[str],
        member: tuple[str, ...],
        size: int,
    ) -> None:
        change = BulkChange(action)
        if action is BulkAction.LABEL:
            removed -= labels.keys()
            if not labels and not removed:
                return
            change = BulkChange(action, labels, tuple(sorted(removed)))
        expected = self._expected(change, query, set(member))
        assert self._changed(change, query, member, size) == expected

    def _expected(self, change: BulkChange, query: Query, member: set[str]) -> list[tuple[str, str]]:
        """What the model does, newest first."""
        default = _ARCHIVED if change.action is BulkAction.RESTORE else _OPEN
        done = []
        for release in reversed(list(self.there.values())):
            own = release.projects & member
            if own and (query.says_status or release.status is default) and query.finds(release, own):
                outcome = self._done(change, release) if release.projects <= member else "FORBIDDEN"
                done.append((release.version, outcome))
        return done

    def _done(self, change: BulkChange, release: Modelled) -> str:
        if change.action is BulkAction.DELETE:
            self._tell("release_deleted", self.there.pop(release.version))
            return "CHANGED"
        if change.action is BulkAction.LABEL:
            new = {key: value for key, value in release.labels.items() if key not in change.remove_labels}
            new.update(change.set_labels)
            if len(new) > MAX_LABELS:
                return "TOO_MANY_LABELS"
            release.labels, old = new, release.labels
            return "UNCHANGED" if new == old else "CHANGED"
        status = _ARCHIVED if change.action is BulkAction.ARCHIVE else _OPEN
        if release.status is status:
            return "UNCHANGED"
        release.status = status
        self._tell("release_archived" if status is _ARCHIVED else "release_reopened", release)
        return "CHANGED"

    def _tell(self, kind: str, release: Modelled) -> None:
        self.told.update((kind, release.version, project) for project in release.projects)

    def _changed(self, change: BulkChange, query: Query, member: tuple[str, ...], size: int) -> list[tuple[str, str]]:
        """What the store does, call after call, its calls cut to the size and to what they may write."""
        caller = self.acme.member_of(*member)
        done: list[tuple[str, str]] = []
        page = PageRequest(size)
        while True:
            updated: BulkUpdated = bulk_update_releases(
                self.acme.db, caller, self.slug, ReleaseFilter(query.text), change, page=page
            )
            assert len(updated.results) <= size
            done.extend((result.version, result.outcome.name) for result in updated.results)
            if updated.next is None:
                return done
            page = PageRequest(size, updated.next)

    @invariant()
    def releases_are_what_the_model_says(self) -> None:
        for version in ("app@1.0", "app@1.1", "app@2.0", "lib@1.0", "lib@2.0", "plain"):
            expected = self.there.get(version)
            try:
                details = get_release(self.acme.db, self.acme.everybody, self.slug, version)
            except ReleaseNotFound:
                assert expected is None
                continue
            assert expected is not None
            release = details.release
            assert release.status == expected.status
            assert {project.slug for project in release.projects} == expected.projects
            assert (dict(details.labels), release.label_count) == (expected.labels, len(expected.labels))
            assert {row.status for row in self.acme.rows_in_projects(release.id)} == {expected.status}

    @invariant()
    def projects_were_told_what_the_model_says(self) -> None:
        told = Counter(
            (kind, version, project)
            for project in ("web", "api")
            for kind, version, _ in self.acme.activities(project)
            if kind != "release_created"
        )
        assert told == self.told


@pytest.mark.timeout(120 + 2 * runs(25))
def test_changes_of_many_releases_are_what_the_model_says(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels_module, "MAX_LABELS", MAX_LABELS)
    monkeypatch.setattr(bulk_module, "MAX_LABELS", MAX_LABELS)
    monkeypatch.setattr(bulk_module, "MOST_ROWS", MOST_ROWS)

    class OnDatabase(Releases):
        pass

    OnDatabase.database, OnDatabase.clock = database, clock
    run_state_machine_as_test(
        OnDatabase,
        settings=settings(
            max_examples=runs(25),
            phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes and tells little more
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
        ),
    )
