"""Labels of releases: set with a creation, replaced by an update, told by every answer, gone with the release."""

from __future__ import annotations

from typing import Any

import pytest

from store.database import PLAIN, Database, QueryEvent, Terms
from store.errors import InvalidField
from store.releases.create import CreateOutcome
from store.releases.delete import delete_release
from store.releases.details import ReleaseDetails
from store.releases.drain import drain_deleted_releases
from store.releases.models import Release, ReleaseLabel
from store.releases.read import get_release
from store.releases.update import ReleaseChanges, update_release
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "api", "web")


def update(acme: Acme, version: str, *, terms: Terms[Any, Any] = PLAIN, **fields: Any) -> ReleaseDetails:
    changes = ReleaseChanges(frozenset(fields), **fields)
    updated: ReleaseDetails = update_release(acme.db, OPERATOR, "acme", version, changes=changes, terms=terms)
    return updated


def labels(acme: Acme, version: str, *, contents: bool = True) -> dict[str, str]:
    """What GetRelease tells; the count of the row is that of the rows."""
    details = get_release(acme.db, OPERATOR, "acme", version, contents=contents)
    assert details.release.label_count == len(details.labels)
    return dict(details.labels)


def kept(acme: Acme) -> list[tuple[bytes, str, str]]:
    query = ReleaseLabel.select(ReleaseLabel.release_id, ReleaseLabel.key, ReleaseLabel.value).order_by(
        ReleaseLabel.release_id, ReleaseLabel.key
    )
    return acme.db.read(lambda reader: reader.fetch(query.tuples()))


def statements(acme: Acme, version: str, *, contents: bool) -> int:
    """How many statements reading the release takes."""
    seen: list[QueryEvent] = []
    acme.db.hooks.append(seen.append)
    get_release(acme.db, OPERATOR, "acme", version, contents=contents)
    acme.db.hooks.remove(seen.append)
    return len(seen)


def test_a_new_release_has_the_labels_it_is_created_with(acme: Acme) -> None:
    created = acme.release("1.0.0", "web", labels={"team": "payments", "risk": "low"})

    assert created.details.labels == {"team": "payments", "risk": "low"}
    assert labels(acme, "1.0.0") == {"team": "payments", "risk": "low"}
    assert labels(acme, "1.0.0", contents=False) == {"team": "payments", "risk": "low"}
    assert {row[0] for row in kept(acme)} == {created.details.release.id}


def test_creating_a_release_again_leaves_its_labels(acme: Acme) -> None:
    acme.release("1.0.0", "web", labels={"team": "payments"})
    again = acme.release("1.0.0", "api", labels={"team": "search", "risk": "low"})

    assert (again.outcome, dict(again.details.labels)) == (CreateOutcome.EXTENDED, {"team": "payments"})
    assert labels(acme, "1.0.0") == {"team": "payments"}


def test_an_update_replaces_all_labels(acme: Acme, clock: ManualClock) -> None:
    created = acme.release("1.0.0", "web", labels={"team": "payments", "risk": "low", "same": "1"}).details.release
    clock.advance(seconds=1)
    updated = update(acme, "1.0.0", labels={"team": "search", "tier": "1", "same": "1"})

    assert updated.labels == {"team": "search", "tier": "1", "same": "1"}
    assert labels(acme, "1.0.0") == {"team": "search", "tier": "1", "same": "1"}
    assert updated.release.etag != created.etag
    assert updated.release.update_time == START_US + 1_000_000


def test_an_update_without_labels_leaves_them(acme: Acme) -> None:
    acme.release("1.0.0", "web", labels={"team": "payments"})
    assert update(acme, "1.0.0", ref="main").labels == {"team": "payments"}
    assert labels(acme, "1.0.0") == {"team": "payments"}


def test_labels_are_cleared_by_naming_them_and_giving_none(acme: Acme) -> None:
    acme.release("1.0.0", "web", labels={"team": "payments"})
    update(acme, "1.0.0", labels={})
    assert labels(acme, "1.0.0") == {}
    assert kept(acme) == []


def test_the_same_labels_leave_the_etag(acme: Acme, clock: ManualClock) -> None:
    created = acme.release("1.0.0", "web", labels={"a": "1", "b": "2"}).details.release
    clock.advance(seconds=1)
    assert update(acme, "1.0.0", labels={"b": "2", "a": "1"}).release == created


def test_a_rehearsed_update_sets_no_label(acme: Acme) -> None:
    acme.release("1.0.0", "web", labels={"team": "payments"})
    assert update(acme, "1.0.0", labels={"x": "y"}, terms=Terms(validate_only=True)).labels == {"x": "y"}
    assert labels(acme, "1.0.0") == {"team": "payments"}


def test_labels_of_one_release_are_not_those_of_another(acme: Acme) -> None:
    acme.release("1.0.0", "web", labels={"team": "payments"})
    acme.release("2.0.0", "web", labels={"team": "search"})
    update(acme, "2.0.0", labels={"risk": "low"})
    assert labels(acme, "1.0.0") == {"team": "payments"}
    assert labels(acme, "2.0.0") == {"risk": "low"}


def test_reading_a_release_without_labels_takes_one_statement(acme: Acme) -> None:
    acme.release("1.0.0", "web")
    acme.release("2.0.0", "web", labels={"team": "search"})
    assert statements(acme, "1.0.0", contents=True) == 1
    assert statements(acme, "1.0.0", contents=False) == 1
    assert statements(acme, "2.0.0", contents=False) > 1


FULL = {f"key-{number}": "value" for number in range(64)}


@pytest.mark.parametrize(
    "good",
    [FULL, {"k" * 64: "v" * 200}, {"ключ": "значение"}, {"a b": "c d"}, {"😀" * 64: "😀" * 200}],
    ids=["64 labels", "longest", "any script", "spaces inside", "four bytes each"],
)
def test_what_labels_may_be(acme: Acme, good: dict[str, str]) -> None:
    acme.release("1.0.0", "web", labels=good)
    assert labels(acme, "1.0.0") == good


@pytest.mark.parametrize(
    ("bad", "field", "description"),
    [
        (FULL | {"one": "more"}, "release.labels", "has 65 labels, and at most 64 are allowed"),
        ({"": "v"}, 'release.labels[""]', "has an empty key"),
        ({"k": ""}, 'release.labels["k"]', "has an empty value"),
        ({"k" * 65: "v"}, f'release.labels["{"k" * 40}"]', "has a key of 65 characters, and at most 64 are allowed"),
        ({"k": "v" * 201}, 'release.labels["k"]', "has a value of 201 characters, and at most 200 are allowed"),
        ({" k": "v"}, 'release.labels[" k"]', "has a key that begins or ends with a space"),
        ({"k": "v "}, 'release.labels["k"]', "has a value that begins or ends with a space"),
    ],
)
def test_what_labels_may_not_be(acme: Acme, bad: dict[str, str], field: str, description: str) -> None:
    with pytest.raises(InvalidField) as raised:
        acme.release("1.0.0", "web", labels=bad)
    (violation,) = raised.value.violations
    assert (violation.field, violation.description) == (field, description)

    acme.release("1.0.0", "web", labels={"team": "payments"})
    with pytest.raises(InvalidField):
        update(acme, "1.0.0", labels=bad)
    assert labels(acme, "1.0.0") == {"team": "payments"}


def test_labels_go_with_their_release(acme: Acme) -> None:
    acme.release("1.0.0", "web", labels={"team": "payments"})
    acme.release("2.0.0", "web", labels={"team": "search"})
    delete_release(acme.db, OPERATOR, "acme", "1.0.0")
    acme.release("1.0.0", "web")
    assert labels(acme, "1.0.0") == {}

    assert drain_deleted_releases(acme.db) == 1
    assert [row[1:] for row in kept(acme)] == [("team", "search")]
    left: list[Release] = acme.db.read(lambda reader: reader.fetch(Release.select().order_by(Release.version)))
    assert [(row.version, row.label_count) for row in left] == [("1.0.0", 0), ("2.0.0", 1)]
