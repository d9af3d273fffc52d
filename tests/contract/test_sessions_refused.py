"""Recording sessions: what is refused, alone or with the whole call, and where the answer says it stood."""

from __future__ import annotations

import pytest

from store.database import Database
from store.errors import OrganizationNotFound
from store.health import sketches
from store.health.items import Refusal, SessionLimits
from store.health.record import record_sessions
from store.health.windows import DAY_US, HOUR_US
from store.organizations.delete import delete_project
from tests.clocks import START_US
from tests.contract.acme import Acme
from tests.contract.callers import member_of
from tests.contract.telling import Telling, counts, update


@pytest.fixture
def web(database: Database) -> Telling:
    return Telling(Acme(database, "web", "api"))


def test_what_began_too_early_or_too_late_is_refused_alone(web: Telling) -> None:
    web.limits = SessionLimits(session_days=3)
    edges = (START_US - 3 * DAY_US, START_US + HOUR_US)
    beyond = (START_US - 3 * DAY_US - 1, START_US + HOUR_US + 1)
    told = [update(number, start_time=start) for number, start in enumerate((*edges, *beyond))]
    counted = [counts(number, start_time=start, exited_count=1) for number, start in enumerate((*beyond, *edges))]
    recorded = web.tell(*told, *counted)
    assert (recorded.recorded, recorded.known) == (4, 0)
    early, late = (
        "is more than 3 days ago, and nothing is kept of what began then",
        "is more than an hour ahead of the server's clock",
    )
    assert recorded.refused == (
        Refusal("updates", 2, "start_time", "INVALID_FIELD", early),
        Refusal("updates", 3, "start_time", "INVALID_FIELD", late),
        Refusal("counts", 0, "start_time", "INVALID_FIELD", early),
        Refusal("counts", 1, "start_time", "INVALID_FIELD", late),
    )
    assert recorded.refused[0].path == "updates[2].start_time"
    assert web.total() == (4, 0, 0, 0, 0)


def test_projects_that_are_not_the_callers_are_refused_all_alike(web: Telling) -> None:
    Acme(web.db, "theirs", slug="rival")
    member = web.acme.member_of("web")
    told = [
        update(number, project=project) for number, project in enumerate(("web", "api", "missing", "theirs", "web"))
    ]
    recorded = web.tell(*told, counts(1, project="api", exited_count=1), access=member)
    assert recorded.recorded == 2
    assert [(refusal.path, refusal.reason) for refusal in recorded.refused] == [
        ("updates[1].project", "PROJECT_FORBIDDEN"),
        ("updates[2].project", "PROJECT_FORBIDDEN"),
        ("updates[3].project", "PROJECT_FORBIDDEN"),
        ("counts[0].project", "PROJECT_FORBIDDEN"),
    ]
    assert len({refusal.description for refusal in recorded.refused}) == 1
    assert web.total() == (2, 0, 0, 0, 0)
    assert web.series("web@1.0.0", project="api") is None


def test_open_membership_does_not_widen_who_may_tell(database: Database) -> None:
    web = Telling(Acme(database, "web", "api", open_membership=True))
    recorded = web.tell(update(1, project="api"), access=web.acme.member_of("web"))
    assert [refusal.reason for refusal in recorded.refused] == ["PROJECT_FORBIDDEN"]


def test_another_organization_is_not_found(web: Telling) -> None:
    rival = Acme(web.db, slug="rival")
    with pytest.raises(OrganizationNotFound):
        web.tell(update(1), access=rival.everybody)
    with pytest.raises(OrganizationNotFound):
        web.tell(update(1), access=member_of(rival.organization))
    assert web.series("web@1.0.0") is None


def test_places_are_those_that_the_caller_says(web: Telling) -> None:
    told = [update(1, project="missing"), update(2), update(3, start_time=0)]
    counted = [counts(1, project="missing")]
    recorded = record_sessions(
        web.db,
        web.acme.everybody,
        "acme",
        told,
        counted,
        limits=web.limits,
        update_places=[4, 5, 90],
        counts_places=range(7, 8),
    )
    assert [refusal.path for refusal in recorded.refused] == [
        "updates[4].project",
        "updates[90].start_time",
        "counts[7].project",
    ]


def test_a_project_that_is_deleted_meanwhile_is_refused_like_a_missing_one(
    web: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deleted() -> None:
        delete_project(web.db, web.acme.everybody, "acme", "api", force=True)

    monkeypatch.setattr(sketches, "load", deleted)  # between looking for the projects and writing
    recorded = web.tell(update(1), update(2, project="api"), counts(3, project="api", exited_count=1))
    assert (recorded.recorded, recorded.known) == (1, 0)
    assert [(refusal.path, refusal.reason) for refusal in recorded.refused] == [
        ("updates[1].project", "PROJECT_FORBIDDEN"),
        ("counts[0].project", "PROJECT_FORBIDDEN"),
    ]
    assert web.last_time("api") is None
