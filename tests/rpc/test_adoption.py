"""GetAdoption and RunAdoption over the wire, and the job that runs by itself."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import admin_pb2, admin_pb2_grpc, deploy_service_pb2, health_pb2

from store.health.items import SessionCounts, SessionLimits
from store.health.record import record_sessions
from store.leases import Job, holding_lease
from tests.clocks import ManualClock
from tests.contract.callers import OPERATOR
from tests.rpc.wire import Metadata, Served, bearer, raises_reason

ACME = "organizations/acme"
WEB, API = f"{ACME}/projects/web", f"{ACME}/projects/api"
HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web", "api"])
    return server


def now(acme: Served) -> Timestamp:
    time = Timestamp()
    time.FromMicroseconds(acme.clock.now_us())
    return time


def sessions(acme: Served, version: str, count: int, environment: str = "production", *, project: str = "web") -> None:
    """So many sessions begin now; by the store itself, since RecordSessions has releases created behind its answer."""
    counts = SessionCounts(
        counts_id=os.urandom(16),
        start_time=acme.clock.now_us(),
        exited_count=count,
        errored_count=0,
        abnormal_count=0,
        crashed_count=0,
        user=version,
        version=version,
        environment=environment,
        project=project,
    )
    recorded = record_sessions(acme.database, OPERATOR, "acme", [], [counts], limits=SessionLimits())
    assert recorded.recorded == 1


def run(acme: Served) -> tuple[int, int, int, int]:
    stub = admin_pb2_grpc.AdminServiceStub(acme.channel)
    answer = stub.RunAdoption(admin_pb2.RunAdoptionRequest(), metadata=acme.operator)
    return answer.project_count, answer.adopted_count, answer.replaced_count, answer.created_release_count


def adoptions(
    acme: Served, version: str, *, metadata: Metadata | None = None, **asked: Sequence[str]
) -> list[health_pb2.EnvironmentAdoption]:
    request = health_pb2.GetAdoptionRequest(name=f"{ACME}/releases/{version}", **asked)
    return list(acme.health.GetAdoption(request, metadata=metadata or acme.operator).adoptions)


def test_a_release_is_adopted_and_replaced_over_the_wire(acme: Served, clock: ManualClock) -> None:
    sessions(acme, "1.0.0", 90)
    sessions(acme, "2.0.0", 10)
    assert run(acme) == (1, 2, 0, 2)
    adopted = now(acme)
    (told,) = adoptions(acme, "2.0.0")
    assert told == health_pb2.EnvironmentAdoption(
        adoption=health_pb2.ReleaseAdoption(
            project=WEB, environment="production", stage=health_pb2.ADOPTION_STAGE_ADOPTED, adopt_time=adopted
        ),
        shares=health_pb2.HealthAdoption(
            user_adoption=50,
            session_adoption=10,
            user_count=1,
            session_count=10,
            project_user_count=2,
            project_session_count=100,
        ),
    )

    clock.advance(seconds=DAY)
    sessions(acme, "1.0.0", 90)
    assert run(acme) == (1, 0, 1, 0)
    (told,) = adoptions(acme, "2.0.0")
    assert told.adoption.stage == health_pb2.ADOPTION_STAGE_REPLACED
    assert (told.adoption.adopt_time, told.adoption.unadopt_time) == (adopted, now(acme))
    assert not told.shares.HasField("session_adoption")


def test_it_is_told_of_the_projects_and_environments_that_were_asked_for(acme: Served) -> None:
    acme.make_release(ACME, "1.0.0", "web", "api")
    create = deploy_service_pb2.CreateDeployRequest(
        parent=f"{ACME}/releases/1.0.0", environments=["staging"], request_id=str(uuid.uuid4())
    )
    acme.deploys.CreateDeploy(create, metadata=acme.operator)
    sessions(acme, "1.0.0", 5, project="api")
    sessions(acme, "1.0.0", 5, "", project="api")
    run(acme)

    def places(projects: Sequence[str] = (), environments: Sequence[str] = ()) -> list[tuple[str, str, int]]:
        told = adoptions(acme, "1.0.0", projects=projects, environments=environments)
        return [(each.adoption.project, each.adoption.environment, each.adoption.stage) for each in told]

    low, adopted = health_pb2.ADOPTION_STAGE_LOW_ADOPTION, health_pb2.ADOPTION_STAGE_ADOPTED
    everywhere = [(API, "production", adopted), (API, "staging", low), (WEB, "staging", low)]
    assert places() == everywhere
    assert places(projects=[WEB]) == everywhere[2:]
    assert places(environments=["production"]) == everywhere[:1]
    assert places(projects=[WEB], environments=["production"]) == []


def test_only_who_may_read_health_and_see_the_release_is_told(acme: Served) -> None:
    acme.make_release(ACME, "1.0.0", "web")
    readers = bearer(acme.make_token(ACME, "health:read", projects=["web"]))
    assert adoptions(acme, "1.0.0", metadata=readers) == []
    others = bearer(acme.make_token(ACME, "health:read", projects=["api"]))
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        adoptions(acme, "1.0.0", metadata=others)
    with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED"):
        adoptions(acme, "1.0.0", metadata=readers, projects=[API])
    without = bearer(acme.make_token(ACME, "release:read", all_projects=True))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        adoptions(acme, "1.0.0", metadata=without)


def test_an_environment_without_a_name_has_no_stages(acme: Served) -> None:
    acme.make_release(ACME, "1.0.0", "web")
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        adoptions(acme, "1.0.0", environments=["production", ""])
    assert list(refusal.violations) == ["environments[1]"]


def test_while_another_server_is_at_it_a_run_is_refused(acme: Served) -> None:
    with holding_lease(acme.database, Job.ADOPTION), raises_reason("ADOPTION_BUSY", "ABORTED") as refusal:
        run(acme)
    assert refusal.retry_seconds
    assert run(acme) == (0, 0, 0, 0)


def test_only_the_operator_runs_it(acme: Served) -> None:
    token = bearer(acme.make_token(ACME, "org:admin", "release:admin", "health:write", all_projects=True))
    stub = admin_pb2_grpc.AdminServiceStub(acme.channel)
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        stub.RunAdoption(admin_pb2.RunAdoptionRequest(), metadata=token)


def test_the_server_runs_it_every_hour_by_itself(acme: Served, clock: ManualClock) -> None:
    sessions(acme, "1.0.0", 10)
    acme.server.housekeeping.run_once()
    (told,) = adoptions(acme, "1.0.0")
    assert told.adoption.adopt_time == now(acme)
    sessions(acme, "2.0.0", 10)
    with holding_lease(acme.database, Job.ADOPTION):
        acme.server.housekeeping.run_once()  # another server is at it: no failure, and nothing done
    acme.server.housekeeping.run_once()  # not yet
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        adoptions(acme, "2.0.0")
    clock.advance(seconds=HOUR)
    acme.server.housekeeping.run_once()
    (told,) = adoptions(acme, "2.0.0")
    assert told.adoption.adopt_time == now(acme)
