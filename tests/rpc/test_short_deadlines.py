"""Callers with hardly any time, over a real port: each call is answered or ends, and leaves nothing by halves."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, Final

import grpc
from releaseregistry.v1 import commits_pb2, files_pb2, releases_pb2

from tests.handlers.test_ended_at_each_step import broken
from tests.rpc import fast_door
from tests.rpc.sending import MIB, RELEASE, content_of, download, eventually, file_names, frames, header, upload
from tests.rpc.wire import Served, refusal_of

ACME: Final = "organizations/acme"
SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 1.0)
STEP_SECONDS: Final = 0.02
"""A statement takes up to so long here, or most calls would be faster than any deadline."""
CONTENT: Final = content_of(MIB)


def creation(server: Served, version: str, options: dict[str, Any]) -> None:
    release = releases_pb2.Release(version=version, projects=[f"{ACME}/projects/web", f"{ACME}/projects/app"])
    server.releases.CreateRelease(releases_pb2.CreateReleaseRequest(parent=ACME, release=release), **options)


def listing(server: Served, _: str, options: dict[str, Any]) -> None:
    server.releases.ListReleases(releases_pb2.ListReleasesRequest(parent=ACME), **options)


def commits(server: Served, name: str, options: dict[str, Any]) -> None:
    sent = [commits_pb2.Commit(id=f"{name}-{index}", repository="acme/web") for index in range(3)]
    first = commits_pb2.SetCommitsRequest(name=RELEASE, commits=sent[:2])
    last = commits_pb2.SetCommitsRequest(commits=sent[2:], finish=True, commit_count=3)
    server.releases.SetCommits(iter([first, last]), **options)


def uploading(server: Served, name: str, options: dict[str, Any]) -> None:
    server.releases.UploadReleaseFile(frames(CONTENT, header(name)), **options)


def chunks(server: Served, name: str, options: dict[str, Any]) -> None:
    pieces = [fast_door.plain(piece) for piece in fast_door.cut(content_of(4 * 64 * 1024, seed=hash(name)))]
    server.uploads.UploadChunks(fast_door.messages(pieces, size=2), **options)


def reading(server: Served, _: str, options: dict[str, Any]) -> None:
    (file,) = [file for file in listed(server) if file.file_name == "there"]
    for _answer in server.releases.DownloadReleaseFile(files_pb2.DownloadReleaseFileRequest(name=file.name), **options):
        pass


def listed(server: Served) -> list[files_pb2.ReleaseFile]:
    request = files_pb2.ListReleaseFilesRequest(parent=RELEASE, page_size=1000)
    return list(server.releases.ListReleaseFiles(request, metadata=server.operator, timeout=60).files)


CALLS: Final = (creation, listing, commits, uploading, chunks, reading)


def test_calls_with_hardly_any_time_end_with_it_and_leave_nothing_by_halves(server: Served) -> None:
    server.make_organization(projects=("web", "app"))
    creation(server, "app@1.0.0", {"metadata": server.operator})
    upload(server, CONTENT, "there")
    slow, others = random.Random(1), set[str]()

    def delay(_: object) -> None:
        time.sleep(slow.uniform(0, STEP_SECONDS))

    def told(call: Callable[[Served, str, dict[str, Any]], None], seconds: float) -> tuple[str, str, grpc.StatusCode]:
        name = f"{call.__name__}-{uuid.uuid4()}"
        try:
            call(server, name, {"metadata": server.operator, "timeout": seconds})
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                others.add(refusal_of(error).reason)
            return call.__name__, name, error.code()
        return call.__name__, name, grpc.StatusCode.OK

    server.database.hooks.append(delay)
    try:
        with ThreadPoolExecutor(6) as callers:
            ended = list(callers.map(lambda each: told(*each), product(CALLS, SECONDS)))
    finally:
        server.database.hooks.remove(delay)

    assert {code for _, _, code in ended} >= {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}
    # Who waits for others is told so just before its time is over, while that still reaches it.
    assert others <= {"COMMITS_BUSY", "DATABASE_BUSY"}
    assert eventually(lambda: server.server.lanes[0].busy + server.server.lanes[1].busy == 0)
    good = {
        kind: [name for each, name, code in ended if (each, code) == (kind, grpc.StatusCode.OK)] for kind, *_ in ended
    }
    request = releases_pb2.ListReleasesRequest(parent=ACME, page_size=1000)
    releases = server.releases.ListReleases(request, metadata=server.operator, timeout=60).releases
    assert {*good["creation"]} <= {release.version for release in releases}
    assert all(len(release.projects) == 2 for release in releases), "a release with one of its two projects"
    assert {*good["uploading"]} <= {*file_names(server)}
    for file in listed(server):
        assert download(server, file.name)[1] == CONTENT
    request_of_commits = commits_pb2.ListCommitsRequest(parent=RELEASE, page_size=1000)
    of = server.releases.ListCommits(request_of_commits, metadata=server.operator, timeout=60).commits
    assert len(of) in (0, 3)
    assert len({commit.id.rpartition("-")[0] for commit in of}) <= 1, "commits of two calls"
    assert server.database.read(broken) == {}
    pool: Any = getattr(server.database, "_pool", None)
    if pool is not None:
        assert eventually(lambda: pool._turns.free == 8)
    # Whatever connections there are now, each of them is of use.
    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(lambda _: len(listed(server)), range(64))) == [len(listed(server))] * 64
