"""The calls of BulkUpdateReleases: where each ends and the next goes on, what comes in between, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from store.database import Database, QueryEvent, Terms
from store.errors import (
    InvalidField,
    OrganizationNotFound,
    ProjectForbidden,
    QueryInvalid,
    ScopeMissing,
)
from store.releases.delete import delete_release
from store.releases.models import DrainingRelease
from store.releases.rows import ReleaseStatus
from store.releases.update import ReleaseChanges, update_release
from store.search import bulk as bulk_module
from store.search.bulk import BulkAction, BulkChange, BulkUpdated
from tests.clocks import ManualClock
from tests.contract.bulk import ARCHIVE, DELETE, RESTORE, Registry, label, outcomes, versions
from tests.contract.callers import OPERATOR, at_once, errors_in


@pytest.fixture
def acme(database: Database, clock: ManualClock) -> Registry:
    return Registry(database, clock)


@pytest.mark.parametrize("change", [ARCHIVE, DELETE, label(a="b")], ids=lambda change: change.action.name)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_calls_deal_with_each_release_once_newest_first(acme: Registry, change: BulkChange, size: int) -> None:
    for number in range(5):
        acme.make(f"1.{number}", *(("web", "api") if number % 2 else ("web",)))
    calls = acme.all_calls(change, size=size)

    dealt_with = list(chain(*calls))
    assert dealt_with == ["1.4", "1.3", "1.2", "1.1", "1.0"]
    assert {len(call) for call in calls[:-1]} <= {size}
    again = list(chain(*acme.all_calls(change, size=size)))
    assert again == (dealt_with if change.action is BulkAction.LABEL else [])


def test_a_call_ends_before_it_writes_too_many_rows(acme: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_module, "MOST_ROWS", 10)
    for number in range(4):
        acme.make(f"1.{number}", "web", "api")  # six rows each: its own, the drain's, and two a project
    acme.make("2.0")
    assert acme.all_calls(DELETE) == [["2.0", "1.3"], ["1.2"], ["1.1"], ["1.0"]]


def test_labels_count_as_the_rows_that_they_are(acme: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_module, "MOST_ROWS", 10)
    for number in range(3):
        acme.make(f"1.{number}")
    change = BulkChange(BulkAction.LABEL, {"a": "1", "b": "2"}, ("c",))
    assert acme.all_calls(change) == [["1.2", "1.1"], ["1.0"]]
    assert acme.all_calls(label(**{f"k{number}": "v" for number in range(20)})) == [["1.2"], ["1.1"], ["1.0"]]


def test_a_release_with_projects_that_are_not_the_callers_stays_as_it_is(acme: Registry) -> None:
    acme.make("1.0", "web")
    shared = acme.make("2.0", "web", "api")
    acme.make("3.0", "api")
    caller = acme.member_of("web")
    for change in (label(a="b"), ARCHIVE, DELETE):
        updated = acme.bulk(change, access=caller, statuses=(ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED))
        assert outcomes(updated) == {"2.0": "FORBIDDEN", "1.0": "CHANGED"}
        assert updated.changed_count == 1
    assert acme.read("2.0") == shared
    assert acme.statuses("2.0", "3.0") == [ReleaseStatus.OPEN] * 2


def test_projects_and_their_organization_are_the_callers(acme: Registry) -> None:
    acme.make("1.0", "api")
    caller = acme.member_of("web")
    with pytest.raises(ProjectForbidden):
        acme.bulk(DELETE, access=caller, projects=("api",))
    with pytest.raises(OrganizationNotFound):
        acme.bulk(DELETE, access=replace(caller, organization_id=caller.token_id))
    assert versions(acme.bulk(DELETE, access=caller)) == []
    assert versions(acme.bulk(ARCHIVE, projects=("web",))) == []
    assert versions(acme.bulk(ARCHIVE, projects=("api",))) == ["1.0"]


def test_a_rehearsal_tells_what_would_be_done(acme: Registry) -> None:
    before = [acme.make("1.0", labels={"a": "b"}), acme.make("2.0")]
    told = acme.activities()
    dry: Terms[BulkUpdated, BulkUpdated] = Terms(validate_only=True)
    for change, first in ((ARCHIVE, "CHANGED"), (DELETE, "CHANGED"), (label(a="b"), "UNCHANGED")):
        updated = acme.bulk(change, terms=dry)
        assert (outcomes(updated), updated.next) == ({"2.0": "CHANGED", "1.0": first}, None)
    assert acme.all_calls(DELETE, size=1, terms=dry) == [["2.0"], ["1.0"]]

    assert [acme.read("1.0"), acme.read("2.0")] == before
    assert acme.labels("1.0") == {"a": "b"}
    assert acme.activities() == told
    assert acme.db.read(lambda reader: reader.fetch(DrainingRelease.select())) == []


def test_what_fails_in_the_middle_changes_nothing(acme: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [acme.make("1.0"), acme.make("2.0")]

    def fail(name: str) -> None:
        if name == "bulk.in_rows":
            raise InterruptedError

    monkeypatch.setattr(bulk_module, "crashpoint", fail)
    for change in (ARCHIVE, DELETE, label(a="b")):
        with pytest.raises(InterruptedError):
            acme.bulk(change)
    assert [acme.read("1.0"), acme.read("2.0")] == before
    monkeypatch.undo()
    assert outcomes(acme.bulk(ARCHIVE)) == {"2.0": "CHANGED", "1.0": "CHANGED"}


def meanwhile(acme: Registry, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Something happens once, after the releases were found and before they are locked."""
    write = acme.db.write

    def after(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(acme.db, "write", write)
        act()
        return write(*arguments, **more)

    monkeypatch.setattr(acme.db, "write", after)


def test_a_release_that_was_deleted_meanwhile_is_left_out(acme: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    acme.make("1.0")
    acme.make("2.0")
    meanwhile(acme, monkeypatch, lambda: delete_release(acme.db, OPERATOR, "acme", "1.0"))
    assert outcomes(acme.bulk(ARCHIVE)) == {"2.0": "CHANGED"}


def test_a_release_that_is_no_longer_what_was_sought_is_left_alone(
    acme: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.make("1.0", labels={"keep": "no"})
    acme.make("2.0", labels={"keep": "no"})
    keep = ReleaseChanges(frozenset({"labels"}), labels={"keep": "yes"})
    meanwhile(acme, monkeypatch, lambda: update_release(acme.db, OPERATOR, "acme", "1.0", changes=keep))

    assert outcomes(acme.bulk(DELETE, "label.keep:no")) == {"2.0": "CHANGED"}
    assert acme.labels("1.0") == {"keep": "yes"}


def test_a_release_that_got_another_status_meanwhile_is_left_alone(
    acme: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.make("1.0")
    acme.make("2.0")
    archived = ReleaseChanges(frozenset({"status"}), status=ReleaseStatus.ARCHIVED)
    meanwhile(acme, monkeypatch, lambda: update_release(acme.db, OPERATOR, "acme", "1.0", changes=archived))

    assert outcomes(acme.bulk(DELETE)) == {"2.0": "CHANGED"}
    assert acme.statuses("1.0") == [ReleaseStatus.ARCHIVED]


def test_a_release_that_came_into_a_foreign_project_meanwhile_is_forbidden(
    acme: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.make("1.0", "web")
    meanwhile(acme, monkeypatch, lambda: acme.release("1.0", "api"))
    assert outcomes(acme.bulk(DELETE, access=acme.member_of("web"))) == {"1.0": "FORBIDDEN"}
    assert acme.statuses("1.0") == [ReleaseStatus.OPEN]


def test_periods_reckon_from_the_first_call_on(acme: Registry) -> None:
    acme.make("1.0")
    acme.make("2.0")
    first = acme.bulk(label(a="b"), "release.created:-1h", size=1)
    acme.clock.advance(seconds=2 * 3600)
    assert versions(first) == ["2.0"]
    assert versions(acme.bulk(label(a="b"), "release.created:-1h", size=1, after=first)) == ["1.0"]
    assert versions(acme.bulk(label(a="b"), "release.created:-1h")) == []


def test_calls_at_once_change_each_release_once(acme: Registry) -> None:
    for number in range(20):
        acme.make(f"1.{number}", "web", "api")
    every = (ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED)
    told = at_once(6, lambda index: acme.bulk(RESTORE if index % 2 else ARCHIVE, statuses=every))

    assert errors_in(told) == []
    changed = sum(updated.changed_count for updated in told if isinstance(updated, BulkUpdated))
    kinds = {"release_archived", "release_reopened"}
    told_of = [subject for kind, subject, _ in acme.activities("api") if kind in kinds]
    assert len(told_of) == changed >= 20
    for number in range(20):
        assert acme.read(f"1.{number}").revision == 1 + told_of.count(f"1.{number}")


def test_many_releases_take_as_many_statements_as_few(acme: Registry) -> None:
    seen: list[QueryEvent] = []

    def statements(change: BulkChange) -> int:
        seen.clear()
        acme.db.hooks.append(seen.append)
        acme.bulk(change, statuses=(ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED))
        acme.db.hooks.remove(seen.append)
        return len(seen)

    few, many = {}, {}
    changes = {"archive": ARCHIVE, "restore": RESTORE, "label": label(a="b"), "delete": DELETE}
    for number in range(2):
        acme.make(f"1.{number}", "web", "api", labels={"x": "y"})
    few = {name: statements(change) for name, change in changes.items()}
    for number in range(30):  # whether they had sessions is asked of 64 releases in projects together
        acme.make(f"2.{number}", "web", "api", labels={"x": "y"})
    many = {name: statements(change) for name, change in changes.items()}
    assert many == few


def test_deleting_needs_its_scope(acme: Registry) -> None:
    acme.make("1.0")
    scopes = frozenset({"release:read", "release:write"})
    writer = replace(acme.everybody, scopes=scopes)
    with pytest.raises(ScopeMissing) as raised:
        acme.bulk(DELETE, access=writer)
    assert raised.value.metadata == {"scope": "release:admin"}
    assert outcomes(acme.bulk(ARCHIVE, access=writer)) == {"1.0": "CHANGED"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (BulkChange(BulkAction.ARCHIVE, {"a": "b"}), "set_labels"),
        (BulkChange(BulkAction.DELETE, {}, ("a",)), "remove_labels"),
        (BulkChange(BulkAction.LABEL), "set_labels"),
        (BulkChange(BulkAction.LABEL, {"a": " b"}), 'set_labels["a"]'),
        (BulkChange(BulkAction.LABEL, {}, ("a", "")), "remove_labels[1]"),
        (BulkChange(BulkAction.LABEL, {"a": "b"}, ("c", "a")), "remove_labels[1]"),
    ],
)
def test_labels_are_those_that_the_action_takes(acme: Registry, change: BulkChange, field: str) -> None:
    acme.make("1.0")
    with pytest.raises(InvalidField) as raised:
        acme.bulk(change)
    assert raised.value.metadata == {"field": field}
    assert acme.labels("1.0") == {}


@pytest.mark.parametrize("query", ["release:latest", "release:[1.0, latest]", "!(!release:latest AND commits:0)"])
def test_the_latest_release_is_not_archived_or_deleted_by_that_name(acme: Registry, query: str) -> None:
    """Another one would be the latest then, and a repeated call would take that."""
    acme.make("1.0")
    for change in (ARCHIVE, DELETE):
        with pytest.raises(InvalidField) as raised:
            acme.bulk(change, query)
        assert raised.value.metadata == {"field": "query"}
    assert outcomes(acme.bulk(label(a="b"), query)) == {"1.0": "CHANGED"}


def test_all_but_the_latest_release_are_deleted(acme: Registry) -> None:
    for number in range(4):
        acme.make(f"1.{number}")
    assert acme.all_calls(DELETE, "!release:latest", size=1) == [["1.2"], ["1.1"], ["1.0"]]
    assert acme.statuses("1.3") == [ReleaseStatus.OPEN]


def test_a_query_that_cannot_be_read_is_refused(acme: Registry) -> None:
    with pytest.raises(QueryInvalid):
        acme.bulk(DELETE, "release.version:>=banana(")


@pytest.mark.parametrize("query", ["", " ", "\t \u00a0"])
def test_a_query_without_terms_changes_nothing(acme: Registry, query: str) -> None:
    """In a list it finds everything: here that has to be said."""
    acme.make("1.0")
    for change in (ARCHIVE, RESTORE, DELETE, label(a="b")):
        with pytest.raises(InvalidField) as raised:
            acme.bulk(change, query)
        assert raised.value.metadata == {"field": "query"}
    assert acme.statuses("1.0") == [ReleaseStatus.OPEN]
    assert acme.labels("1.0") == {}


def test_a_search_that_finds_little_goes_on_behind_what_it_looked_at(
    acme: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.search.find.MOST_WALKED", 3)
    for number in range(8):
        acme.make("needle" if number == 0 else f"hay-{number}")
    calls = acme.all_calls(ARCHIVE, "*eedl*")
    assert list(chain(*calls)) == ["needle"]
    assert len(calls) > 1
