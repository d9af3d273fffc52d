"""Jobs that the server does by itself."""

from __future__ import annotations

import threading

import pytest

from server.housekeeping import Housekeeping
from store.uploads.models import Upload
from tests.rpc.fast_door import start
from tests.rpc.wire import Served


def test_a_job_that_fails_stops_no_other() -> None:
    done: list[str] = []

    def fail() -> None:
        done.append("failed")
        raise RuntimeError("on purpose")

    Housekeeping({"first": fail, "second": lambda: done.append("second")}).run_once()
    assert done == ["failed", "second"]


def test_jobs_run_by_themselves_soon_after_the_start() -> None:
    ran = threading.Event()
    housekeeping = Housekeeping({"job": ran.set}, first_seconds=0.01)
    housekeeping.start()
    assert ran.wait(60)
    housekeeping.stop(seconds=60)


def test_after_stop_no_further_job_begins() -> None:
    done: list[str] = []
    housekeeping = Housekeeping(
        {"first": lambda: housekeeping.stop(seconds=0), "second": lambda: done.append("second")}
    )
    housekeeping.run_once()
    assert done == []


@pytest.fixture
def outdated(edge: Served) -> Served:
    """A server with an upload whose time is over."""
    edge.make_organization(projects=["web"])
    edge.make_release("organizations/acme", "app@1.0.0", "web")
    start(edge)
    edge.clock.advance(seconds=25 * 3600)
    assert uploads(edge) == 1
    return edge


def uploads(server: Served) -> int:
    return len(server.database.read(lambda reader: reader.fetch(Upload.select(Upload.id).tuples())))


def test_uploads_whose_time_is_over_are_forgotten(outdated: Served) -> None:
    outdated.server.housekeeping.run_once()
    assert uploads(outdated) == 0


def test_a_server_that_drains_forgets_no_upload(outdated: Served) -> None:
    outdated.server.drain(seconds=0)
    outdated.server.housekeeping.run_once()
    assert uploads(outdated) == 1


def test_no_upload_is_forgotten_while_nobody_could_go_on_with_it(
    outdated: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outdated.server.store.blobs.packs, "_failed", True)
    outdated.server.housekeeping.run_once()
    assert uploads(outdated) == 1
