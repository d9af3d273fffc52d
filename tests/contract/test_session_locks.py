"""Who waits for whom while sessions are told, on PostgreSQL: on SQLite one writes at a time, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from store.database import Query, hole
from store.health.thresholds import ThresholdDraft, ThresholdMetric, ThresholdTrigger, create_threshold
from store.health.upkeep import keep_up
from store.health.windows import DAY_US
from store.organizations.delete import delete_project
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from store.releases.models import Release
from tests.clocks import START_US, ManualClock
from tests.conftest import opened
from tests.contract.acme import Acme
from tests.contract.callers import WAIT, half_done, second
from tests.contract.telling import Telling, update
from tests.postgres_server import PostgresServer

DRAFT = ThresholdDraft(ThresholdMetric.TOTAL_ERROR_COUNT, ThresholdTrigger.OVER, 1, 60)
LOCK_RELEASE = Query(Release.select(Release.id).where(Release.id == hole(Release.id)))


@pytest.fixture
def web(postgres_server: PostgresServer, postgres_template: str, clock: ManualClock) -> Iterator[Telling]:
    with postgres_server.recycled_database(postgres_template) as url, opened(url, clock) as database:
        yield Telling(Acme(database, "web"))


def test_sessions_that_wait_keep_nobody_from_their_project(web: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.organizations.delete.AT_ONCE_SECONDS", 0)  # the drain waits for them
    web.tell(update(1, start_time=START_US - 5 * DAY_US))
    caller = web.acme.everybody
    with ThreadPoolExecutor(2) as threads:
        with half_done(web.db, 'INSERT INTO "health_day"', lambda: keep_up(web.db, web.limits)):
            told = second(web.db, threads, lambda: web.tell(update(2)))
            create = partial(create_threshold, web.db, caller, "acme", "web", DRAFT)
            threads.submit(create).result(WAIT)
            threads.submit(lambda: delete_project(web.db, caller, "acme", "web")).result(WAIT)
        assert [refusal.reason for refusal in told.result(WAIT).refused] == ["PROJECT_FORBIDDEN"]


def test_a_drain_that_waits_for_a_deleted_release_keeps_nobody_from_telling_sessions(web: Telling) -> None:
    release = web.acme.release("web@1.0.0", "web").details.release
    web.tell(update(1))
    delete_release(web.db, web.acme.everybody, "acme", "web@1.0.0", force=True)

    def seek() -> object:
        """As who waited for a release that was then deleted: the row that is not wanted any more is locked."""
        return web.db.write(lambda tx: tx.lock(LOCK_RELEASE, id=release.id))

    with ThreadPoolExecutor(2) as threads:
        with half_done(web.db, 'SELECT "t1"."id" FROM "release"', seek):
            drained = second(web.db, threads, lambda: drain_deleted_releases(web.db))
            assert threads.submit(lambda: web.answers(update(2))).result(WAIT) == (1, 0, 0)
        assert drained.result(WAIT) == 1
