from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from store.access import Access
from store.database import Database, Terms, new_id
from store.errors import InvalidField, OrganizationNotFound, ProjectNotFound, ThresholdNotFound, TooManyThresholds
from store.health.thresholds import (
    MOST_THRESHOLDS,
    ThresholdChanges,
    ThresholdDraft,
    ThresholdInProject,
    ThresholdMetric,
    ThresholdRow,
    ThresholdTrigger,
    create_threshold,
    delete_threshold,
    list_thresholds,
    update_threshold,
)
from store.organizations.delete import delete_project
from store.organizations.projects import ProjectChanges, update_project
from store.paging import PageRequest
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, WAIT, all_pages, at_once, errors_in, half_done, second

ERRORS = ThresholdDraft(ThresholdMetric.TOTAL_ERROR_COUNT, ThresholdTrigger.OVER, 5_000, 3600)
CRASH_FREE = ThresholdDraft(ThresholdMetric.CRASH_FREE_SESSION_RATE, ThresholdTrigger.UNDER, 99_500, 86_400, "qa")


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "web", "api")


def made(
    acme: Acme, project: str = "web", draft: ThresholdDraft = ERRORS, *, access: Access = OPERATOR
) -> ThresholdRow:
    answer: ThresholdInProject = create_threshold(acme.db, access, "acme", project, draft)
    assert (answer.organization_slug, answer.project_slug) == ("acme", project)
    return answer.threshold


def changed(acme: Acme, row: ThresholdRow, project: str = "web", **changes: Any) -> ThresholdRow:
    said = ThresholdChanges(frozenset(changes), **changes)
    answer: ThresholdInProject = update_threshold(acme.db, OPERATOR, "acme", project, row.id, said)
    return answer.threshold


def listed(acme: Acme, project: str | None = "web", access: Access = OPERATOR) -> list[ThresholdRow]:
    page = list_thresholds(acme.db, access, "acme", project, PageRequest(1000))
    assert page.next is None
    return [found.threshold for found in page.items]


def test_a_created_threshold_is_listed_as_it_is_kept(acme: Acme, clock: ManualClock) -> None:
    row = made(acme, draft=CRASH_FREE)
    assert row == ThresholdRow(
        id=row.id,
        project_id=acme.projects["web"],
        environment="qa",
        metric=ThresholdMetric.CRASH_FREE_SESSION_RATE,
        trigger=ThresholdTrigger.UNDER,
        value_thousandths=99_500,
        window_seconds=86_400,
        create_time=clock.now_us(),
        update_time=clock.now_us(),
    )
    assert listed(acme) == [row]
    assert listed(acme, "api") == []


def test_no_environment_and_an_empty_one_are_two_things(acme: Acme) -> None:
    rows = [made(acme, draft=replace(ERRORS, environment=name)) for name in (None, "")]
    assert [row.environment for row in listed(acme)] == [None, ""]
    assert changed(acme, rows[0], environment="").environment == ""
    assert changed(acme, rows[1], environment=None).environment is None


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (replace(ERRORS, value_thousandths=-1), "value"),
        (replace(ERRORS, value_thousandths=10**15 + 1), "value"),
        (replace(CRASH_FREE, value_thousandths=100_001), "value"),
        (replace(ERRORS, window_seconds=0), "window"),
        (replace(ERRORS, window_seconds=-60), "window"),
        (replace(ERRORS, window_seconds=90), "window"),
        (replace(ERRORS, window_seconds=90 * 86_400 + 60), "window"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused(acme: Acme, bad: ThresholdDraft, field: str) -> None:
    with pytest.raises(InvalidField) as raised:
        made(acme, draft=bad)
    assert raised.value.metadata == {"field": f"threshold.{field}"}
    assert listed(acme) == []


def test_the_largest_and_the_smallest_are_kept(acme: Acme) -> None:
    largest = made(acme, draft=replace(ERRORS, value_thousandths=10**15, window_seconds=90 * 86_400))
    smallest = made(acme, draft=replace(CRASH_FREE, value_thousandths=100_000, window_seconds=60))
    assert listed(acme) == [largest, smallest]


def test_only_what_is_said_changes(acme: Acme, clock: ManualClock) -> None:
    row = made(acme, draft=CRASH_FREE)
    clock.advance(seconds=1)
    assert changed(acme, row, value_thousandths=99_500, environment="qa") == row
    after = changed(acme, row, value_thousandths=98_000, window_seconds=60)
    assert after == replace(row, value_thousandths=98_000, window_seconds=60, update_time=clock.now_us())
    assert listed(acme) == [after]


def test_what_is_changed_must_fit_what_stays(acme: Acme) -> None:
    row = made(acme, draft=replace(ERRORS, value_thousandths=101_000))
    with pytest.raises(InvalidField) as raised:
        changed(acme, row, metric=ThresholdMetric.FAILURE_RATE)
    assert raised.value.metadata == {"field": "threshold.value"}
    assert listed(acme) == [row]
    assert changed(acme, row, metric=ThresholdMetric.FAILURE_RATE, value_thousandths=1).value_thousandths == 1


def test_a_deleted_threshold_is_gone(acme: Acme) -> None:
    first, second = made(acme), made(acme)
    delete_threshold(acme.db, OPERATOR, "acme", "web", first.id)
    assert listed(acme) == [second]
    with pytest.raises(ThresholdNotFound):
        delete_threshold(acme.db, OPERATOR, "acme", "web", first.id)
    with pytest.raises(ThresholdNotFound):
        changed(acme, first, value_thousandths=1)


def test_a_rehearsal_changes_nothing(acme: Acme) -> None:
    rehearsal: Terms[Any, Any] = Terms(validate_only=True)
    create_threshold(acme.db, OPERATOR, "acme", "web", ERRORS, rehearsal)
    assert listed(acme) == []
    row = made(acme)
    changes = ThresholdChanges(frozenset({"value_thousandths"}), value_thousandths=1)
    told: ThresholdInProject = update_threshold(acme.db, OPERATOR, "acme", "web", row.id, changes, rehearsal)
    assert told.threshold.value_thousandths == 1
    delete_threshold(acme.db, OPERATOR, "acme", "web", row.id, rehearsal)
    assert listed(acme) == [row]


def test_a_threshold_is_found_in_its_own_project_only(acme: Acme) -> None:
    row = made(acme)
    Acme(acme.db, "web", slug="umbrella")
    for organization, project in (("acme", "api"), ("umbrella", "web")):
        with pytest.raises(ThresholdNotFound) as raised:
            delete_threshold(acme.db, OPERATOR, organization, project, row.id)
        assert raised.value.metadata["name"].startswith(f"organizations/{organization}/projects/{project}/thresholds/")
    assert listed(acme) == [row]


def test_projects_that_a_caller_has_no_access_to_look_like_none(acme: Acme) -> None:
    row = made(acme)
    api = acme.member_of("api")
    told = []
    for project in ("web", "nowhere"):
        with pytest.raises(ProjectNotFound) as raised:
            list_thresholds(acme.db, api, "acme", project, PageRequest(10))
        told.append(raised.value.message.replace(project, "*"))
        with pytest.raises(ProjectNotFound):
            create_threshold(acme.db, api, "acme", project, ERRORS)
        with pytest.raises(ProjectNotFound):
            delete_threshold(acme.db, api, "acme", project, row.id)
        with pytest.raises(ProjectNotFound):
            update_threshold(acme.db, api, "acme", project, row.id, ThresholdChanges(frozenset()))
    assert told[0] == told[1]
    umbrella = Acme(acme.db, slug="umbrella")
    with pytest.raises(OrganizationNotFound):
        list_thresholds(acme.db, umbrella.everybody, "acme", None, PageRequest(10))


def test_with_open_membership_every_project_is_open(database: Database) -> None:
    acme = Acme(database, "web", "api", open_membership=True)
    row = made(acme, access=acme.member_of("api"))
    assert listed(acme, None, acme.member_of("api")) == [row]


def test_a_project_has_no_more_than_a_hundred(acme: Acme) -> None:
    rows = [made(acme) for _ in range(MOST_THRESHOLDS)]
    with pytest.raises(TooManyThresholds) as raised:
        made(acme)
    assert raised.value.metadata == {"limit": "100"}
    made(acme, "api")
    delete_threshold(acme.db, OPERATOR, "acme", "web", rows[7].id)
    made(acme)


def test_of_simultaneous_creations_no_more_than_a_hundred_succeed(acme: Acme) -> None:
    for _ in range(MOST_THRESHOLDS - 3):
        made(acme)
    outcomes = at_once(8, lambda _: made(acme))
    assert [type(error) for error in errors_in(outcomes)] == [TooManyThresholds] * 5
    assert len(listed(acme)) == MOST_THRESHOLDS


def test_thresholds_are_listed_oldest_first_in_pages_of_any_size(acme: Acme) -> None:
    rows = [made(acme, ("web", "api")[index % 2]) for index in range(7)]
    callers = {None: OPERATOR, "both": acme.member_of("web", "api"), "web": acme.member_of("web")}
    for kind, access in callers.items():
        expected = rows[::2] if kind == "web" else rows
        for size in (1, 2, 3, 10):
            pages = all_pages(lambda page, access=access: list_thresholds(acme.db, access, "acme", None, page), size)  # type: ignore[misc]
            assert [found.threshold for page in pages for found in page] == expected
    one = list_thresholds(acme.db, OPERATOR, "acme", "api", PageRequest(2))
    assert [found.threshold for found in one.items] == rows[1:5:2]
    assert one.next is not None
    two = list_thresholds(acme.db, OPERATOR, "acme", "api", PageRequest(2, one.next))
    assert two.previous is not None
    assert list_thresholds(acme.db, OPERATOR, "acme", "api", PageRequest(2, two.previous)).items == one.items


def test_thresholds_of_a_caller_of_many_projects_are_listed_in_order(acme: Acme) -> None:
    slugs = [f"p-{index}" for index in range(70)]
    for slug in slugs:
        acme.add_project(slug)
    rows = [made(acme, slug) for slug in reversed(slugs)]
    made(acme)
    access = acme.member_of(*slugs)
    pages = all_pages(lambda page: list_thresholds(acme.db, access, "acme", None, page), 30)
    assert [[found.threshold for found in page] for page in pages] == [rows[:30], rows[30:60], rows[60:]]


def test_thresholds_go_by_the_present_slugs(acme: Acme) -> None:
    row = made(acme)
    update_project(acme.db, OPERATOR, "acme", "web", ProjectChanges(slug="site"))
    found = list_thresholds(acme.db, OPERATOR, "acme", "web", PageRequest(10)).items
    assert [(each.project_slug, each.threshold) for each in found] == [("site", row)]


def test_thresholds_of_a_deleted_project_are_not_shown(acme: Acme) -> None:
    made(acme)
    kept = made(acme, "api")
    delete_project(acme.db, OPERATOR, "acme", "web")
    assert listed(acme, None) == [kept]


def test_a_threshold_of_a_project_that_goes_in_that_moment_is_refused(acme: Acme) -> None:
    def remove() -> None:
        delete_project(acme.db, OPERATOR, "acme", "web")

    with ThreadPoolExecutor(1) as threads:
        with half_done(acme.db, 'DELETE FROM "project"', remove) as removing:
            creating = second(acme.db, threads, lambda: made(acme))
        removing.result(WAIT)
        with pytest.raises(ProjectNotFound):
            creating.result(WAIT)
    assert listed(acme, None) == []


def test_an_unknown_id_is_not_found(acme: Acme) -> None:
    with pytest.raises(ThresholdNotFound):
        delete_threshold(acme.db, OPERATOR, "acme", "web", new_id())
