"""SetCommits with APPEND over the wire: one list of many jobs, with a real server process, on both engines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import commits_pb2, organizations_pb2, releases_pb2

from tests.rpc.wire import Served
from tests.server_process import ServerProcess, Stubs

PARENT = "organizations/acme"
NAME = f"{PARENT}/releases/app@1.0.0"
JOBS = 20
REPOSITORIES = [f"acme/repository-{number}" for number in range(5)]
EACH = 40
SECONDS = 120.0


@pytest.fixture
def acme(server: Served) -> Served:
    """A server with a release that has a commit."""
    organization = server.make_organization(projects=("web",))
    server.make_release(organization, "app@1.0.0", "web")
    append(server, commits_pb2.Commit(id="a", repository="one", commit_time=Timestamp(seconds=2)))
    return server


def append(acme: Served, *commits: commits_pb2.Commit) -> releases_pb2.Release:
    request = commits_pb2.SetCommitsRequest(
        name=NAME, mode=commits_pb2.COMMIT_MODE_APPEND, commits=commits, finish=True, commit_count=len(commits)
    )
    return acme.releases.SetCommits(iter([request]), metadata=acme.operator, timeout=SECONDS).release


def test_appended_commits_join_those_that_are_there(acme: Served) -> None:
    release = append(
        acme,
        commits_pb2.Commit(id="b", repository="two", commit_time=Timestamp(seconds=3), message="Fixes WEB-1"),
        commits_pb2.Commit(id="c", repository="one", commit_time=Timestamp(seconds=1)),
    )
    assert release.commit_count == 3
    assert (release.last_commit.id, list(release.last_commit.references)) == ("b", ["WEB-1"])
    assert [(head.repository, head.commit_id) for head in release.head_commits] == [("one", "a"), ("two", "b")]
    assert list(release.references) == ["WEB-1"]
    answer = acme.releases.ListCommits(commits_pb2.ListCommitsRequest(parent=NAME), metadata=acme.operator)
    assert [commit.id for commit in answer.commits] == ["b", "a", "c"]
    assert [list(commit.references) for commit in answer.commits] == [["WEB-1"], [], []]


def test_the_mode_of_the_first_message_counts_for_the_whole_stream(acme: Served) -> None:
    def messages() -> Iterator[commits_pb2.SetCommitsRequest]:
        yield commits_pb2.SetCommitsRequest(name=NAME, mode=commits_pb2.COMMIT_MODE_APPEND)
        yield commits_pb2.SetCommitsRequest(commits=[commits_pb2.Commit(id="b", repository="one")])
        yield commits_pb2.SetCommitsRequest(finish=True, commit_count=1)

    assert acme.releases.SetCommits(messages(), metadata=acme.operator).release.commit_count == 2


def test_appending_nothing_changes_nothing(acme: Served) -> None:
    assert append(acme).commit_count == 1


def sent_by(job: int) -> list[commits_pb2.Commit]:
    """A job's commits, of all repositories: its own, and every third one all jobs'. No two have one time."""
    return [
        commits_pb2.Commit(
            id=f"all-{number}" if number % 3 == 0 else f"{job}-{number}",
            repository=REPOSITORIES[number % len(REPOSITORIES)],
            author_email=f"author-{job % 7}@example.com" if number % 3 else "everybody@example.com",
            message=f"Fixes WEB-{number}",
            commit_time=Timestamp(seconds=number * JOBS + (0 if number % 3 == 0 else job)),
            changed_files=[commits_pb2.ChangedFile(path=f"{number}.py", change_type=commits_pb2.CHANGE_TYPE_ADDED)],
        )
        for number in range(EACH)
    ]


def as_sent(commit: commits_pb2.Commit) -> tuple[int, str, str]:
    return commit.commit_time.seconds, commit.repository, commit.id


def test_of_twenty_jobs_that_append_at_once_every_commit_is_there_once_and_in_order(
    server_process: ServerProcess,
) -> None:
    metadata = server_process.metadata
    with server_process.channel() as channel:
        stubs = Stubs(channel)
        organization = organizations_pb2.Organization(slug="acme")
        stubs.organizations.CreateOrganization(
            organizations_pb2.CreateOrganizationRequest(organization=organization), metadata=metadata
        )
        stubs.organizations.CreateProject(
            organizations_pb2.CreateProjectRequest(parent=PARENT, project=organizations_pb2.Project(slug="web")),
            metadata=metadata,
        )
        release = releases_pb2.Release(version="app@1.0.0", projects=[f"{PARENT}/projects/web"])
        stubs.releases.CreateRelease(
            releases_pb2.CreateReleaseRequest(parent=PARENT, release=release), metadata=metadata
        )
        together = threading.Barrier(JOBS)

        def job(number: int) -> None:
            commits = sent_by(number)
            together.wait(SECONDS)
            deadline = time.monotonic() + SECONDS
            # Two calls a job. As a CI job does, it repeats one that was not let in: what came is not added again.
            for some in (commits[::2], commits[1::2]):
                while not appended(stubs, metadata, some, seconds=deadline - time.monotonic()):
                    time.sleep(0.1)

        with ThreadPoolExecutor(JOBS) as pool:
            list(pool.map(job, range(JOBS)))

        wanted = sorted({as_sent(commit) for number in range(JOBS) for commit in sent_by(number)}, reverse=True)
        assert listed(stubs, metadata) == wanted
        request = releases_pb2.GetReleaseRequest(name=NAME)
        made = stubs.releases.GetRelease(request, metadata=metadata).release
    assert made.commit_count == len(wanted)
    assert made.author_count == 8
    assert (made.last_commit.repository, made.last_commit.id) == wanted[0][1:]
    newest = {repository: next(id_ for _, of, id_ in wanted if of == repository) for repository in REPOSITORIES}
    assert {head.repository: head.commit_id for head in made.head_commits} == newest
    assert list(made.references) == sorted(f"WEB-{number}" for number in range(EACH))


def appended(
    stubs: Stubs, metadata: tuple[tuple[str, str], ...], commits: list[commits_pb2.Commit], *, seconds: float
) -> bool:
    """Whether the commits were taken; not, when others were in front for too long."""
    messages = [
        commits_pb2.SetCommitsRequest(name=NAME, mode=commits_pb2.COMMIT_MODE_APPEND, commits=commits[:7]),
        commits_pb2.SetCommitsRequest(commits=commits[7:], finish=True, commit_count=len(commits)),
    ]
    try:
        stubs.releases.SetCommits(iter(messages), timeout=seconds, metadata=metadata)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE):
            return False
        raise
    return True


def listed(stubs: Stubs, metadata: tuple[tuple[str, str], ...]) -> list[tuple[int, str, str]]:
    """The release's commits, of pages of a hundred."""
    found: list[tuple[int, str, str]] = []
    request = commits_pb2.ListCommitsRequest(parent=NAME)
    while True:
        page = stubs.releases.ListCommits(request, metadata=metadata)
        found += map(as_sent, page.commits)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token
