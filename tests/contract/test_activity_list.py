"""ListActivity: what was done, walked along whichever index is the narrowest."""

from __future__ import annotations

from typing import Any

import pytest

from store.access import Access
from store.activity import list as activity_list
from store.activity.list import ActivityFilter, ActivityRow, list_activity
from store.database import Database
from store.organizations import delete
from store.organizations.organizations import OrganizationChanges, update_organization
from store.paging import Page, PageRequest
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.walks import walked

VERSIONS = ("1.0.0", "2.0.0", "3.0.0", "4.0.0")


@pytest.fixture
def acme(database: Database, clock: ManualClock) -> Acme:
    """Of three projects, the first has 1.0.0 and 3.0.0, the second 2.0.0 and 3.0.0, the third 4.0.0; in the middle the
    organization was changed."""
    acme = Acme(database, "api", "web", "cli")
    for version, projects in zip(VERSIONS, (["api"], ["web"], ["api", "web"], ["cli"]), strict=True):
        acme.release(version, *projects)
        clock.advance(seconds=1)
        if version == "2.0.0":
            update_organization(database, acme.everybody, "acme", OrganizationChanges(display_name="Acme"))
    return acme


@pytest.fixture(params=[1, 2, 10_000])
def most(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many activities a page looks at."""
    monkeypatch.setattr(activity_list, "MOST_WALKED", request.param)
    return int(request.param)


def told(acme: Acme, access: Access | None = None, size: int = 100, **sought: Any) -> list[tuple[str, str | None]]:
    """(subject, project) of what is listed, walked to the end and back again."""

    def page_at(request: PageRequest) -> Page[ActivityRow]:
        return list_activity(acme.db, access or acme.everybody, "acme", request, sought=ActivityFilter(**sought))[1]

    return [(row.subject, row.project_slug) for row in walked(page_at, size)]


EVERYTHING = {
    ("4.0.0", "cli"),
    ("3.0.0", "web"),
    ("3.0.0", "api"),
    ("acme", None),
    ("2.0.0", "web"),
    ("1.0.0", "api"),
}


@pytest.mark.usefixtures("most")
@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("ranges", [1, 32])
def test_whoever_asks_sees_what_is_theirs_once_and_in_order(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, size: int, ranges: int
) -> None:
    monkeypatch.setattr(activity_list, "MOST_RANGES", ranges)
    everything = told(acme, size=size)
    assert (len(everything), set(everything)) == (len(EVERYTHING), EVERYTHING)
    assert [subject for subject, _ in everything] == ["4.0.0", "3.0.0", "3.0.0", "acme", "2.0.0", "1.0.0"]
    for projects in (["api"], ["web", "cli"]):
        theirs = [each for each in everything if each[1] in (*projects, None)]
        assert told(acme, acme.member_of(*projects), size) == theirs
        assert told(acme, size=size, projects=frozenset(projects)) == [each for each in theirs if each[1] is not None]
    assert told(acme, acme.member_of(), size) == [("acme", None)]


@pytest.mark.usefixtures("most")
@pytest.mark.parametrize("size", [1, 100])
def test_filters_are_walked_there_and_back(acme: Acme, size: int) -> None:
    assert told(acme, size=size, kinds=frozenset({"organization_changed"})) == [("acme", None)]
    assert told(acme, size=size, version="3.0.0", projects=frozenset({"api"})) == [("3.0.0", "api")]
    assert told(acme, acme.member_of("web"), size, version="3.0.0") == [("3.0.0", "web")]
    assert told(acme, size=size, version="acme") == []
    times = sorted({happen_time for _, _, happen_time in acme.activities()})
    assert told(acme, size=size, start_time=times[1], end_time=times[2]) == [("2.0.0", "web")]
    assert len(told(acme, size=size, start_time=times[0] + 1, end_time=times[-1])) == 4


def test_what_a_deleted_project_did_is_not_shown_even_before_the_drain(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "AT_ONCE_SECONDS", 0.0)
    member = acme.member_of("web", "api")
    delete.delete_project(acme.db, acme.everybody, "acme", "web", force=True)
    assert told(acme, member) == [("web", None), ("3.0.0", "api"), ("acme", None), ("1.0.0", "api")]
