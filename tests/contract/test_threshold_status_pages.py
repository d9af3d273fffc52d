"""Pages of the status of thresholds: the same answers in any pieces, and bounded work for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from store.database import Database, QueryEvent
from store.errors import PageTokenInvalid
from store.health import threshold_status
from store.paging import PageRequest, Position
from tests.clocks import ManualClock
from tests.contract.callers import all_pages
from tests.contract.watched import CRASH_FREE_USERS, ERRORS, Watched


@pytest.fixture
def acme(database: Database, clock: ManualClock) -> Watched:
    return Watched(database, "web", "api", clock=clock)


def test_where_too_many_projects_have_thresholds_to_look_them_up_the_answers_are_the_same(
    acme: Watched, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.add_project("lib")
    for minor in range(30):
        acme.release(f"app@1.{minor}.0", *(("web", "lib"), ("api", "lib"), ("lib",))[minor % 3])
        clock.advance(seconds=1)
    acme.threshold(project="web")
    acme.threshold(project="api", environment="qa")
    expected = acme.shown()
    assert len(expected) == 20
    for name, most in (("MOST_PROJECTS", 1), ("MOST_LOOKED_UP", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(threshold_status, "FEWEST_WALKED", 4)
            patch.setattr(threshold_status, name, most)
            for access in (None, acme.member_of("web", "api", "lib")):
                assert acme.shown(access=access) == expected
                pages = all_pages(lambda page, access=access: acme.status(page, access=access).page, 3)  # type: ignore[misc]
                assert [(each.version, each.project_slug) for page in pages for each in page] == expected
                assert acme.shown(access=access, environments=("qa",)) == [
                    each for each in expected if each[1] == "api"
                ]
            last = acme.status(PageRequest(100, acme.status(PageRequest(19)).page.next)).page
            assert last.previous is not None
            before = acme.status(PageRequest(100, last.previous)).page
            assert [(each.version, each.project_slug) for each in before.items] == expected[:19]


def test_a_page_looks_at_no_more_releases_than_it_may(
    acme: Watched, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many of them no threshold watches: then it holds fewer, and tells where to go on."""
    acme.threshold()
    acme.release("app@1.0.0", "web")
    for minor in range(25):
        clock.advance(seconds=1)
        acme.release(f"api@1.{minor}.0", "api")
    monkeypatch.setattr(threshold_status, "MOST_PROJECTS", 0)
    monkeypatch.setattr(threshold_status, "MOST_WALKED", 10)
    pages = all_pages(lambda page: acme.status(page).page, 5)
    assert [[each.version for each in page] for page in pages] == [[], [], ["app@1.0.0"]]
    first = acme.status(PageRequest(5)).page
    assert first.next is not None
    second = acme.status(PageRequest(5, first.next)).page
    assert second.previous is not None
    assert acme.status(PageRequest(5, second.previous)).page.items == ()


def test_a_page_ends_before_it_tells_more_than_a_thousand_statuses(acme: Watched, clock: ManualClock) -> None:
    for _ in range(100):
        acme.threshold()
    for minor in range(12):
        acme.release(f"app@1.{minor}.0", "web")
        clock.advance(seconds=1)
    pages = all_pages(lambda page: acme.status(page).page, 100)
    assert [len(page) for page in pages] == [10, 2]
    assert {len(each.statuses) for page in pages for each in page} == {100}


def test_a_page_takes_few_queries_however_many_releases_are_on_it(acme: Watched, clock: ManualClock) -> None:
    for metric in (ERRORS, CRASH_FREE_USERS):
        acme.threshold(metric, environment="qa", hours=50)
    told = []
    for minor in range(40):
        acme.release(f"app@1.{minor}.0", "web")
        acme.deploy(f"app@1.{minor}.0", "qa")
        acme.sessions(f"app@1.{minor}.0", environment="qa", users=["ada"])
        clock.advance(seconds=3600)
        if minor in (3, 39):
            with counted(acme.db) as statements:
                assert len(acme.status().page.items) == minor + 1
            told.append(len(statements))
    few, many = told
    assert many <= few + 10


def test_a_small_page_does_not_look_at_releases_one_by_one(
    acme: Watched, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.threshold()
    acme.release("app@1.0.0", "web")
    for minor in range(60):
        clock.advance(seconds=1)
        acme.release(f"api@1.{minor}.0", "api")
    monkeypatch.setattr(threshold_status, "MOST_PROJECTS", 0)
    with counted(acme.db) as statements:
        assert [each.version for each in acme.status(PageRequest(1)).page.items] == ["app@1.0.0"]
    assert len(statements) < 25


@contextmanager
def counted(db: Database) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(event: QueryEvent) -> None:
        statements.append(event.sql)

    db.hooks.append(note)
    try:
        yield statements
    finally:
        db.hooks.remove(note)


def test_a_position_of_another_list_is_refused(acme: Watched) -> None:
    acme.threshold()
    for key in ((b"\0" * 16,), ("text", b"\0" * 16, b"\0" * 16)):
        with pytest.raises(PageTokenInvalid):
            acme.status(PageRequest(5, Position(key)))
