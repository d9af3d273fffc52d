"""GetPreviousRelease over the wire."""

from __future__ import annotations

import grpc
import pytest
from releaseregistry.v1 import commits_pb2, releases_pb2

from tests.rpc.wire import Served, raises_reason

PARENT = "organizations/acme"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("web",))
    return server


def create(acme: Served, version: str, *commits: str) -> releases_pb2.Release:
    request = releases_pb2.CreateReleaseRequest(
        parent=PARENT,
        release=releases_pb2.Release(version=version, projects=[f"{PARENT}/projects/web"]),
        commits=[commits_pb2.Commit(id=commit) for commit in commits],
    )
    created = acme.releases.CreateRelease(request, metadata=acme.operator).release
    acme.clock.advance(seconds=1)
    return created


def previous(acme: Served, version: str) -> releases_pb2.GetPreviousReleaseResponse:
    request = releases_pb2.GetPreviousReleaseRequest(name=f"{PARENT}/releases/{version}")
    return acme.releases.GetPreviousRelease(request, metadata=acme.operator)


def test_the_newest_earlier_release_with_commits_is_answered_in_full(acme: Served) -> None:
    with_commits = create(acme, "1", "a", "b")
    create(acme, "2")
    create(acme, "3", "c")
    assert previous(acme, "3").release == with_commits
    assert with_commits.last_commit.id == "a"


def test_nothing_is_answered_where_nothing_came_before(acme: Served) -> None:
    create(acme, "1", "a")
    assert not previous(acme, "1").HasField("release")


def test_a_release_that_is_missing_has_no_previous_one(acme: Served) -> None:
    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        previous(acme, "1")
