"""Many callers, one release: over the wire, with a real server process, on both engines."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import commits_pb2, organizations_pb2, releases_pb2

from tests.rpc.wire import refusal_of
from tests.server_process import ServerProcess, Stubs

T = TypeVar("T")
PARENT = "organizations/acme"
PROJECTS = [f"{PARENT}/projects/{slug}" for slug in ("web", "api")]
NAME = f"{PARENT}/releases/app@1.0.0"
SECONDS = 60.0
# On a machine where twenty calls take longer than one may wait; and fifty are more than one organization may have.
BUSY = {"COMMITS_BUSY", "DATABASE_BUSY", "ORGANIZATION_BUSY"}


def commit(caller: int, number: int) -> commits_pb2.Commit:
    # Half of the commits are everybody's, in an order that is each caller's own: where callers meet on rows.
    owner = "all" if number % 2 else str(caller)
    return commits_pb2.Commit(
        id=f"{owner}-{number:04d}",
        repository=f"acme/repository-{number % 3}",
        author_email=f"author-{(number * 7) % 11}@example.com",
        message=f"Change {owner} {number}",
        commit_time=Timestamp(seconds=1_700_000_000 + number),
        changed_files=[commits_pb2.ChangedFile(path=f"src/{number}.py", change_type=commits_pb2.CHANGE_TYPE_MODIFIED)],
    )


def at_once(count: int, call: Callable[[int], T]) -> list[T]:
    """What `count` callers get that start together; who is told that others are at it repeats, as clients do.

    Raises what any of them raised.
    """
    together = threading.Barrier(count)

    def one(number: int) -> T:
        together.wait(SECONDS)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return call(number)
            except grpc.RpcError as error:
                if refusal_of(error).reason not in BUSY or time.monotonic() > deadline:
                    raise

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.fixture
def stubs(server_process: ServerProcess) -> Iterator[list[Stubs]]:
    """Four connections to a server that has an organization with two projects."""
    channels = [server_process.channel() for _ in range(4)]
    opened = [channel.__enter__() for channel in channels]
    try:
        metadata = server_process.metadata
        made = [Stubs(channel) for channel in opened]
        made[0].organizations.CreateOrganization(
            organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="acme")),
            metadata=metadata,
        )
        for project in PROJECTS:
            slug = project.rpartition("/")[2]
            made[0].organizations.CreateProject(
                organizations_pb2.CreateProjectRequest(parent=PARENT, project=organizations_pb2.Project(slug=slug)),
                metadata=metadata,
            )
        yield made
    finally:
        for channel in channels:
            channel.__exit__(None, None, None)


def list_commits(stub: Stubs, metadata: tuple[tuple[str, str], ...]) -> list[str]:
    answer = stub.releases.ListCommits(commits_pb2.ListCommitsRequest(parent=NAME, page_size=1000), metadata=metadata)
    assert not answer.next_page_token
    return [each.id for each in answer.commits]


@pytest.mark.parametrize("with_commits", [False, True], ids=["bare", "with commits"])
def test_of_fifty_parallel_creations_of_one_version_exactly_one_creates(
    server_process: ServerProcess, stubs: list[Stubs], with_commits: bool
) -> None:
    def create(caller: int) -> releases_pb2.CreateReleaseResponse:
        return stubs[caller % 4].releases.CreateRelease(
            releases_pb2.CreateReleaseRequest(
                parent=PARENT,
                release=releases_pb2.Release(version="app@1.0.0", projects=PROJECTS),
                commits=[commit(caller, number) for number in range(20)] if with_commits else [],
            ),
            timeout=SECONDS,
            metadata=server_process.metadata,
        )

    answers = at_once(50, create)

    outcomes = Counter(answer.outcome for answer in answers)
    assert outcomes == {
        releases_pb2.CREATE_RELEASE_OUTCOME_CREATED: 1,
        releases_pb2.CREATE_RELEASE_OUTCOME_UNCHANGED: 49,
    }
    assert len({answer.release.uid for answer in answers}) == 1
    listed = stubs[0].releases.ListReleases(
        releases_pb2.ListReleasesRequest(parent=PARENT), metadata=server_process.metadata
    )
    assert [release.name for release in listed.releases] == [NAME]
    if with_commits:
        ids = list_commits(stubs[0], server_process.metadata)
        assert ids in [wanted_ids(caller, 20) for caller in range(50)]


def test_parallel_creations_with_different_projects_lose_none_of_them(
    server_process: ServerProcess, stubs: list[Stubs]
) -> None:
    def create(caller: int) -> releases_pb2.CreateReleaseResponse:
        return stubs[caller % 4].releases.CreateRelease(
            releases_pb2.CreateReleaseRequest(
                parent=PARENT, release=releases_pb2.Release(version="app@1.0.0", projects=[PROJECTS[caller % 2]])
            ),
            timeout=SECONDS,
            metadata=server_process.metadata,
        )

    outcomes = Counter(answer.outcome for answer in at_once(20, create))

    assert outcomes == {
        releases_pb2.CREATE_RELEASE_OUTCOME_CREATED: 1,
        releases_pb2.CREATE_RELEASE_OUTCOME_EXTENDED: 1,
        releases_pb2.CREATE_RELEASE_OUTCOME_UNCHANGED: 18,
    }
    answer = stubs[0].releases.GetRelease(releases_pb2.GetReleaseRequest(name=NAME), metadata=server_process.metadata)
    assert sorted(answer.release.projects) == sorted(PROJECTS)


def test_twenty_parallel_set_commits_leave_one_whole_list(server_process: ServerProcess, stubs: list[Stubs]) -> None:
    metadata = server_process.metadata
    stubs[0].releases.CreateRelease(
        releases_pb2.CreateReleaseRequest(
            parent=PARENT, release=releases_pb2.Release(version="app@1.0.0", projects=PROJECTS)
        ),
        metadata=metadata,
    )

    def set_commits(caller: int) -> releases_pb2.SetCommitsResponse:
        # Lists of different lengths: a count that is another caller's would show.
        sent = [commit(caller, number) for number in range(100 + caller)]
        messages = [
            commits_pb2.SetCommitsRequest(name=NAME, commits=sent[:50]),
            commits_pb2.SetCommitsRequest(commits=sent[50:], finish=True, commit_count=len(sent)),
        ]
        return stubs[caller % 4].releases.SetCommits(iter(messages), timeout=SECONDS, metadata=metadata)

    answers = at_once(20, set_commits)

    # Each call answers the release as it left it, its own commits in it.
    assert [answer.release.commit_count for answer in answers] == [100 + caller for caller in range(20)]
    ids = list_commits(stubs[0], metadata)
    winner = len(ids) - 100
    assert ids == wanted_ids(winner, len(ids))
    release = stubs[0].releases.GetRelease(releases_pb2.GetReleaseRequest(name=NAME), metadata=metadata).release
    assert release.commit_count == len(ids)
    assert release.last_commit.id == ids[0]
    assert release.author_count == 11
    assert {head.repository for head in release.head_commits} == {f"acme/repository-{number}" for number in range(3)}
    assert {head.commit_id for head in release.head_commits} <= set(ids)


def test_twenty_releases_that_share_commits_get_them_all_whatever_the_order_they_are_sent_in(
    server_process: ServerProcess, stubs: list[Stubs]
) -> None:
    def create(caller: int) -> releases_pb2.CreateReleaseResponse:
        # All name the same repositories, authors, commits and files, each in an order of its own.
        sent = [commit(0, number) for number in range(60)]
        random.Random(caller).shuffle(sent)
        return stubs[caller % 4].releases.CreateRelease(
            releases_pb2.CreateReleaseRequest(
                parent=PARENT,
                release=releases_pb2.Release(version=f"app@1.0.{caller}", projects=PROJECTS),
                commits=sent,
            ),
            timeout=SECONDS,
            metadata=server_process.metadata,
        )

    answers = at_once(20, create)

    assert {answer.outcome for answer in answers} == {releases_pb2.CREATE_RELEASE_OUTCOME_CREATED}
    assert {answer.release.commit_count for answer in answers} == {60}
    for answer in answers:
        listed = stubs[0].releases.ListCommits(
            commits_pb2.ListCommitsRequest(parent=answer.release.name), metadata=server_process.metadata
        )
        assert [each.id for each in listed.commits] == wanted_ids(0, 60)


def test_a_caller_whose_deadline_is_short_is_told_that_the_release_is_busy_or_answered(
    server_process: ServerProcess, stubs: list[Stubs]
) -> None:
    metadata = server_process.metadata
    stubs[0].releases.CreateRelease(
        releases_pb2.CreateReleaseRequest(
            parent=PARENT, release=releases_pb2.Release(version="app@1.0.0", projects=PROJECTS)
        ),
        metadata=metadata,
    )

    def set_commits(caller: int) -> grpc.StatusCode:
        sent = [commit(caller, number) for number in range(400)]
        message = commits_pb2.SetCommitsRequest(name=NAME, commits=sent, finish=True, commit_count=len(sent))
        try:
            stubs[caller % 4].releases.SetCommits(iter([message]), timeout=0.3, metadata=metadata)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    codes = set(at_once(20, set_commits))

    assert codes <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAVAILABLE,
    }
    ids = list_commits(stubs[0], metadata)
    assert ids == [] or ids in [wanted_ids(caller, 400) for caller in range(20)]


def wanted_ids(caller: int, count: int) -> list[str]:
    return [commit(caller, number).id for number in reversed(range(count))]
