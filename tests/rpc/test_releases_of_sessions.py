"""Releases that only sessions know: created behind the back of the calls that would show them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import activities_pb2, health_pb2, organizations_pb2, releases_pb2, sessions_pb2

from store.database import Database
from store.health import discovery
from tests.clocks import ManualClock
from tests.rpc.serving import served
from tests.rpc.wire import Served, bearer, raises_reason

ACME = "organizations/acme"
VERSION = "web@1.0.0"
NAME = f"{ACME}/releases/{VERSION}"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web", "api"])
    return server


def tell(server: Served, number: int, *, version: str = VERSION, project: str = "web", environment: str = "") -> None:
    start = Timestamp()
    start.FromMicroseconds(server.clock.now_us() - 60_000_000)
    update = sessions_pb2.SessionUpdate(
        session_id=f"00000000-0000-4000-8000-{number:012}",
        sequence=1,
        status=sessions_pb2.SESSION_STATUS_OK,
        start_time=start,
        version=version,
        environment=environment,
        project=f"{ACME}/projects/{project}",
    )
    request = sessions_pb2.RecordSessionsRequest(parent=ACME, updates=[update])
    answer = server.health.RecordSessions(request, metadata=server.operator)
    assert answer.recorded.recorded_count == 1


def listed(server: Served, *projects: str) -> list[str]:
    request = releases_pb2.ListReleasesRequest(
        parent=ACME, projects=[f"{ACME}/projects/{project}" for project in projects]
    )
    answer = server.releases.ListReleases(request, metadata=server.operator)
    return [release.version for release in answer.releases]


def forget(server: Served) -> None:
    """What calls told so far was looked at, long ago."""
    server.server.store.sought.take()
    server.clock.advance(seconds=61)


def test_sessions_of_a_new_version_make_a_release(acme: Served) -> None:
    tell(acme, 1, environment="production")
    assert listed(acme) == []
    acme.server.discovery.run_once()
    assert listed(acme) == listed(acme, "web") == [VERSION]
    assert listed(acme, "api") == []


@pytest.mark.parametrize("project", ["web", ""])
def test_a_list_finds_them_for_the_next_one(acme: Served, project: str) -> None:
    tell(acme, 1)
    forget(acme)
    acme.server.discovery.run_once()
    assert listed(acme, *filter(None, [project])) == []
    acme.server.discovery.run_once()
    assert listed(acme) == [VERSION]


def test_a_list_of_another_project_does_not(acme: Served) -> None:
    tell(acme, 1)
    forget(acme)
    listed(acme, "api")
    acme.server.discovery.run_once()
    assert listed(acme) == []


def test_asking_for_its_health_does(acme: Served) -> None:
    tell(acme, 1)
    forget(acme)
    request = health_pb2.GetReleaseHealthRequest(name=NAME)
    acme.health.GetReleaseHealth(request, metadata=acme.operator)
    acme.server.discovery.run_once()
    assert listed(acme) == [VERSION]


def test_a_get_with_health_options_does(acme: Served) -> None:
    acme.make_release(ACME, "web@0.9", "web")
    tell(acme, 1)
    forget(acme)
    request = releases_pb2.GetReleaseRequest(
        name=f"{ACME}/releases/web@0.9", health_options=releases_pb2.HealthOptions(health=True)
    )
    acme.releases.GetRelease(request, metadata=acme.operator)
    acme.server.discovery.run_once()
    assert set(listed(acme)) == {VERSION, "web@0.9"}


def test_once_a_project_and_minute_at_most(acme: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    found = discovery.discover

    def counted(*args: object, **named: object) -> object:
        looks.append(args)
        return found(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("server.discovery.discover", counted)
    for number in range(5):
        tell(acme, number, version=f"web@{number}")
        listed(acme)
        listed(acme, "web")
        acme.server.discovery.run_once()
    assert len(looks) == 1
    assert listed(acme) == ["web@0"]
    acme.clock.advance(seconds=60)
    acme.server.discovery.run_once()
    assert len(looks) == 2
    assert len(listed(acme)) == 5


def test_a_project_may_forbid_it(acme: Served) -> None:
    web = organizations_pb2.Project(name=f"{ACME}/projects/web", manual_releases=True)
    request = organizations_pb2.UpdateProjectRequest(project=web, update_mask=FieldMask(paths=["manual_releases"]))
    assert acme.organizations.UpdateProject(request, metadata=acme.operator).project.manual_releases
    acme.make_release(ACME, "web@2", "api")
    tell(acme, 1)
    tell(acme, 2, version="web@2")
    tell(acme, 3, version="web@3", project="api")
    acme.server.discovery.run_once()
    assert set(listed(acme)) == {"web@2", "web@3"}
    assert listed(acme, "web") == ["web@2"]


def test_the_activity_names_no_token(acme: Served) -> None:
    tell(acme, 1)
    acme.server.discovery.run_once()
    request = activities_pb2.ListActivityRequest(parent=ACME, release=NAME)
    (activity,) = acme.organizations.ListActivity(request, metadata=acme.operator).activities
    assert (activity.kind, activity.token, activity.caller, activity.subject) == (
        activities_pb2.ACTIVITY_KIND_RELEASE_CREATED,
        "",
        "",
        VERSION,
    )


def test_the_empty_environment_is_in_no_list(acme: Served) -> None:
    tell(acme, 1)
    tell(acme, 2, environment="production")
    acme.server.discovery.run_once()
    request = organizations_pb2.ListEnvironmentsRequest(parent=ACME)
    found = acme.organizations.ListEnvironments(request, metadata=acme.operator).environments
    assert [environment.display_name for environment in found] == ["production"]


def test_a_release_with_sessions_is_deleted_by_force_alone(acme: Served) -> None:
    tell(acme, 1)
    acme.server.discovery.run_once()
    with raises_reason("RELEASE_HAS_HEALTH", "FAILED_PRECONDITION") as refusal:
        acme.releases.DeleteRelease(releases_pb2.DeleteReleaseRequest(name=NAME), metadata=acme.operator)
    assert refusal.metadata == {"name": NAME}
    assert listed(acme) == [VERSION]
    request = releases_pb2.DeleteReleaseRequest(name=NAME, force=True)
    acme.releases.DeleteRelease(request, metadata=acme.operator)
    assert listed(acme) == []


def test_of_many_only_those_without_sessions_are_deleted_without_force(acme: Served) -> None:
    acme.make_release(ACME, "web@0.9", "web")
    tell(acme, 1)
    acme.server.discovery.run_once()
    request = releases_pb2.BulkUpdateReleasesRequest(
        parent=ACME, query="release:*", action=releases_pb2.BULK_RELEASE_ACTION_DELETE
    )
    answer = acme.releases.BulkUpdateReleases(request, metadata=acme.operator)
    assert {result.name: result.outcome for result in answer.results} == {
        NAME: releases_pb2.BULK_RELEASE_OUTCOME_HAS_HEALTH,
        f"{ACME}/releases/web@0.9": releases_pb2.BULK_RELEASE_OUTCOME_CHANGED,
    }
    request.force = True
    answer = acme.releases.BulkUpdateReleases(request, metadata=acme.operator)
    assert [result.outcome for result in answer.results] == [releases_pb2.BULK_RELEASE_OUTCOME_CHANGED]
    assert listed(acme) == []
    request.action = releases_pb2.BULK_RELEASE_ACTION_ARCHIVE
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        acme.releases.BulkUpdateReleases(request, metadata=acme.operator)
    assert list(refusal.violations) == ["force"]


@pytest.fixture
def discovering(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[Served]:
    """A server that looks by itself."""
    with served(database, clock, tmp_path, discovers=True) as running:
        running.make_organization(projects=["web", "api"])
        yield running


def test_it_happens_by_itself(discovering: Served) -> None:
    tell(discovering, 1)
    for _ in range(6000):
        if listed(discovering):
            break
        threading.Event().wait(0.01)
    assert listed(discovering) == [VERSION]


def test_a_look_that_fails_stops_no_later_one(discovering: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    found = discovery.discover

    def fail(*_args: object, **_named: object) -> None:
        monkeypatch.setattr("server.discovery.discover", found)
        failed.set()
        raise RuntimeError("on purpose")

    monkeypatch.setattr("server.discovery.discover", fail)
    tell(discovering, 1)
    assert failed.wait(60)
    tell(discovering, 2, version="api@1", project="api")
    for _ in range(6000):
        if listed(discovering, "api"):
            break
        threading.Event().wait(0.01)
    assert listed(discovering, "api") == ["api@1"]


def test_no_call_waits_for_it(discovering: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes for ever: calls are answered, and the server closes when it is let go of."""
    begun, go_on = threading.Event(), threading.Event()

    def hang(*_args: object, **_named: object) -> discovery.Discovered:
        begun.set()
        go_on.wait(60)
        return discovery.Discovered()

    monkeypatch.setattr("server.discovery.discover", hang)
    tell(discovering, 1)
    assert begun.wait(60)
    for number in range(2, 6):
        tell(discovering, number, version=f"web@{number}")
        assert listed(discovering) == []
    go_on.set()


def test_a_token_lists_what_it_may_and_the_rest_is_found_all_the_same(acme: Served) -> None:
    tell(acme, 1, project="api", version="api@1")
    forget(acme)
    secret = acme.make_token(ACME, "release:read", projects=["web"])
    request = releases_pb2.ListReleasesRequest(parent=ACME)
    assert list(acme.releases.ListReleases(request, metadata=bearer(secret)).releases) == []
    acme.server.discovery.run_once()
    assert list(acme.releases.ListReleases(request, metadata=bearer(secret)).releases) == []
    assert listed(acme) == ["api@1"]
