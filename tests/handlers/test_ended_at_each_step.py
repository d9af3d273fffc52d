"""A call that ends between two steps, whichever they are, and in whichever way: all of it is there, or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message
from releaseregistry.v1 import commits_pb2, files_pb2, releases_pb2, sessions_pb2, uploads_pb2

from store.database import Reader
from tests.crash.invariants import COUNTERS_AND_ROWS
from tests.handlers.driving import WAYS, Doors, DrivenCall
from tests.rpc.fast_door import cut, finish, messages, pages, plain, ref
from tests.rpc.sending import MIB, RELEASE, content_of, data, eventually, frames, header

ACME: Final = "organizations/acme"
ENDED: Final = {
    "cancel": (grpc.StatusCode.CANCELLED, ""),
    "caller's deadline": (grpc.StatusCode.CANCELLED, ""),
    "our deadline": (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
}
POOLED: Final = ("blobs", "read-ahead", "s3", "deadlines", "sqlite-writer", "asyncio")
"""Threads that stay for the next call."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    way: str = request.param
    return way


@pytest.fixture(autouse=True)
def _everything_is_given_back(doors: Doors) -> Any:
    """Rows agree with one another; no thread, no slot and no connection is held."""
    before = working_threads()
    blobs = doors.server.store.blobs
    slots = blobs._slots._value
    yield
    assert eventually(lambda: working_threads() <= before)
    assert blobs._slots._value == slots
    pool: Any = getattr(doors.database, "_pool", None)
    if pool is not None:
        assert pool._turns._free == 8
    findings = doors.database.read(broken)
    assert findings == {}


def working_threads() -> set[str]:
    return {each.name for each in threading.enumerate() if not each.name.startswith(POOLED)}


def broken(reader: Reader) -> dict[str, Any]:
    """Claims of the rows that do not hold."""
    percent = "%%" if reader.engine == "postgresql" else "%"  # psycopg takes one for a parameter
    found = {claim: reader._read(query.replace("%", percent), ()) for claim, query in COUNTERS_AND_ROWS.items()}
    return {claim: rows for claim, rows in found.items() if rows}


def ended_at_each_step(
    doors: Doors, way: str, path: str, make: Callable[[int], Sequence[Message]]
) -> list[tuple[int, DrivenCall]]:
    """The same call of another object each time, ended at its first step, its second, and so on to the last."""
    steps = doors.steps(path, make(1000))
    assert len(steps) > 1
    calls = [(number, doors.ended_at(number, way, path, make(number))) for number in range(len(steps))]
    for number, call in calls:
        told = (call.code, call.reason)
        assert told in ((grpc.StatusCode.OK, ""), ENDED[way], (None, "")), f"step {number}, {steps[number]}: {told}"
    if way != "caller's deadline":  # that one is noticed only by who waits, or begins something
        assert any(call.code is not grpc.StatusCode.OK for _, call in calls), "no step was early enough"
    return calls


# ------------------------------------------------------------------------------------------------------- unary calls


def releases(doors: Doors) -> set[str]:
    listed = doors.play("ReleaseService/ListReleases", [releases_pb2.ListReleasesRequest(parent=ACME, page_size=1000)])
    return {release.version for release in listed.answer.releases}


def creation(number: int) -> list[Message]:
    release = releases_pb2.Release(version=f"app@2.0.{number}", projects=[f"{ACME}/projects/web"])
    return [releases_pb2.CreateReleaseRequest(parent=ACME, release=release)]


def test_a_unary_write_is_there_or_not(doors: Doors, way: str) -> None:
    calls = ended_at_each_step(doors, way, "ReleaseService/CreateRelease", creation)
    there = releases(doors)
    for number, call in calls:
        if call.code is grpc.StatusCode.OK:
            assert f"app@2.0.{number}" in there
        elif way == "our deadline":
            assert f"app@2.0.{number}" not in there, "it was told that nothing happened"
        again = doors.play("ReleaseService/CreateRelease", creation(number)).answer
        wanted = releases_pb2.CREATE_RELEASE_OUTCOME_UNCHANGED if f"app@2.0.{number}" in there else None
        assert again.outcome == (wanted or releases_pb2.CREATE_RELEASE_OUTCOME_CREATED)


def test_a_unary_read_ends(doors: Doors, way: str) -> None:
    request = releases_pb2.ListReleasesRequest(parent=ACME)
    ended_at_each_step(doors, way, "ReleaseService/ListReleases", lambda _: [request])
    assert releases(doors) == {"app@1.0.0"}


# ------------------------------------------------------------------------------------------------- streams of a client


def commits(number: int) -> list[Message]:
    sent = [
        commits_pb2.Commit(id=f"{number}-{index}", repository="acme/web", author_email="a@example.com")
        for index in range(3)
    ]
    first = commits_pb2.SetCommitsRequest(name=RELEASE, commits=sent[:2])
    return [first, commits_pb2.SetCommitsRequest(commits=sent[2:], finish=True, commit_count=3)]


def listed_commits(doors: Doors) -> set[str]:
    request = commits_pb2.ListCommitsRequest(parent=RELEASE)
    return {commit.id for commit in doors.play("ReleaseService/ListCommits", [request]).answer.commits}


def test_commits_are_those_of_one_call(doors: Doors, way: str) -> None:
    sets = {number: {f"{number}-{index}" for index in range(3)} for number in (*range(200), 1000)}
    steps = doors.steps("ReleaseService/SetCommits", commits(1000))
    now = listed_commits(doors)
    for number in range(len(steps)):
        call = doors.ended_at(number, way, "ReleaseService/SetCommits", commits(number))
        then = listed_commits(doors)
        if call.code is grpc.StatusCode.OK:
            assert then == sets[number]
        else:
            assert then in ((now,) if way == "our deadline" else (now, sets[number]))
        now = then


def upload(number: int, content: bytes, upload_ids: dict[int, str]) -> list[Message]:
    first = header(f"{number}.js")
    if number in upload_ids:
        first.header.upload_id = upload_ids[number]
    upload_ids[number] = first.header.upload_id
    return list(frames(content, first))


def test_an_upload_is_finished_by_sending_it_again(doors: Doors, way: str) -> None:
    content, ids = content_of(2 * MIB), dict[int, str]()
    path = "ReleaseService/UploadReleaseFile"
    calls = ended_at_each_step(doors, way, path, lambda number: upload(number, content, ids))
    for number, _ in calls:
        again = doors.play(path, upload(number, content, ids)).answer
        assert (again.file.size_bytes, again.file.file_name) == (len(content), f"{number}.js")
    names = file_names(doors)
    assert sorted(names) == sorted(f"{number}.js" for number in (*dict(calls), 1000)), "a file twice, or none"


def test_an_upload_whose_time_is_over_goes_on_where_it_was(doors: Doors) -> None:
    content, ids = content_of(2 * MIB), dict[int, str]()
    path = "ReleaseService/UploadReleaseFile"
    steps = doors.steps(path, upload(1000, content, ids))
    first = header("1.js")
    ids[1] = first.header.upload_id
    sent = list(frames(content, first, size=MIB))
    call = doors.ended_at(steps.index("upload.begun"), "our deadline", path, sent)
    assert (call.code, call.reason) == ENDED["our deadline"]
    name = f"{ACME}/uploads/{ids[1]}"
    found = doors.play("UploadService/GetUpload", [uploads_pb2.GetUploadRequest(name=name)]).answer.upload
    assert found.committed_bytes > 0
    rest = [header("1.js", upload_id=ids[1])]
    rest += [data(content[at : at + MIB], at) for at in range(found.committed_bytes, len(content), MIB)]
    rest += list(frames(content, header()))[-1:]
    assert doors.play(path, rest).answer.file.size_bytes == len(content)


def file_names(doors: Doors) -> list[str]:
    request = files_pb2.ListReleaseFilesRequest(parent=RELEASE, page_size=1000)
    return [file.file_name for file in doors.play("ReleaseService/ListReleaseFiles", [request]).answer.files]


def pieces_of(number: int) -> list[bytes]:
    return cut(content_of(5 * 64 * 1024, seed=number))


def test_chunks_are_stored_by_sending_them_again(doors: Doors, way: str) -> None:
    path = "UploadService/UploadChunks"

    def sent(number: int) -> list[Message]:
        return list(messages([plain(piece) for piece in pieces_of(number)], size=2))

    calls = ended_at_each_step(doors, way, path, sent)
    for number, call in calls:
        wanted = [ref(piece).sha256 for piece in pieces_of(number)]
        request = uploads_pb2.FindMissingChunksRequest(parent=ACME, sha256=wanted)
        missing = doors.play("UploadService/FindMissingChunks", [request]).answer.missing_sha256
        assert len(missing) in (0, 5), "a group is there or not"
        if call.code is grpc.StatusCode.OK:
            assert not missing
        again = doors.play(path, sent(number)).answer
        assert again.stored_chunk_count == len(missing)


def test_an_assembly_is_finished_by_sending_it_again(doors: Doors, way: str) -> None:
    path = "UploadService/AssembleUpload"
    doors.play("UploadService/UploadChunks", messages([plain(piece) for piece in pieces_of(0)]))
    names: dict[int, str] = {}

    def sent(number: int) -> list[Message]:
        if number not in names:
            request = uploads_pb2.StartUploadRequest(header=header(f"{number}.js").header)
            names[number] = doors.play("UploadService/StartUpload", [request]).answer.upload.name
        return list(pages(names[number], pieces_of(0), size=2))

    calls = ended_at_each_step(doors, way, path, sent)
    for number, _ in calls:
        again = doors.play(path, sent(number)).answer
        assert again.file.size_bytes == finish(b"".join(pieces_of(0))).size_bytes
    assert sorted(file_names(doors)) == sorted(f"{number}.js" for number in (*dict(calls), 1000))


def test_sessions_are_counted_once_however_often_they_are_sent(doors: Doors, way: str) -> None:
    path = "ReleaseHealthService/StreamSessions"

    def sent(number: int) -> list[Message]:
        return [
            sessions_pb2.StreamSessionsRequest(parent=ACME, updates=[session(number, 0)]),
            sessions_pb2.StreamSessionsRequest(updates=[session(number, 1)], finish=True),
        ]

    def session(number: int, index: int) -> sessions_pb2.SessionUpdate:
        update = sessions_pb2.SessionUpdate(
            session_id=f"{number:08d}-0000-4000-8000-{index:012d}",
            status=sessions_pb2.SESSION_STATUS_EXITED,
            version="app@1.0.0",
            project=f"{ACME}/projects/web",
            sequence=1,
        )
        update.start_time.FromMicroseconds(doors.database.now_us() - 60_000_000)
        return update

    calls = ended_at_each_step(doors, way, path, sent)
    for number, _ in calls:
        doors.play(path, sent(number))
    rows = doors.database.read(lambda reader: reader._read("SELECT sum(session_count) FROM health_hour", ()))
    # Each is counted for its version and for its project.
    assert rows[0][0] == 2 * 2 * (len(calls) + 1)


# -------------------------------------------------------------------------------------------------- a server's stream


def test_a_download_ends_with_its_time(doors: Doors, way: str) -> None:
    content = content_of(3 * MIB)
    doors.play("ReleaseService/UploadReleaseFile", upload(0, content, {}))
    listed = files_pb2.ListReleaseFilesRequest(parent=RELEASE)
    name = doors.play("ReleaseService/ListReleaseFiles", [listed]).answer.files[0].name
    request = files_pb2.DownloadReleaseFileRequest(name=name)
    path = "ReleaseService/DownloadReleaseFile"
    for number in range(len(doors.steps(path, [request]))):
        call = doors.ended_at(number, way, path, [request])
        got = b"".join(answer.data for answer in call.answers)
        assert content.startswith(got)
        assert call.code is not grpc.StatusCode.OK or got == content
        if way == "our deadline":
            assert (call.code, call.reason) == ENDED[way]
    whole = doors.play(path, [request])
    assert b"".join(answer.data for answer in whole.answers) == content
