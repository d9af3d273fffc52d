"""The drill's callers: threads that create releases, set commits and upload files until the server is shot."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator

import grpc
from google.rpc import error_details_pb2, status_pb2
from releaseregistry.v1 import commits_pb2, files_pb2, releases_pb2, sessions_pb2

from tests.crash.ledger import (
    CommitIds,
    FileEntry,
    ReleaseEntry,
    Tally,
    commit_ids,
    commit_of,
    commit_order,
    content_of,
    sha256_of,
)
from tests.server_process import ServerProcess, Stubs

ORGANIZATION = "organizations/drill"
PROJECTS = [f"{ORGANIZATION}/projects/{slug}" for slug in ("web", "api")]
FRAME = 64 * 1024
CALL_SECONDS = 60.0
BUSY = {"DATABASE_BUSY", "COMMITS_BUSY"}  # nothing was changed, on a machine that is slow


class BrokenPromise(AssertionError):
    """The server did what it must never do."""


class Worker:
    """One caller with releases of its own, so that it knows what each of them must be.

    Keeps going over the cycles: `run` works until the server is gone, `repeat` sends calls that were cut once more.
    """

    def __init__(self, number: int, *, seed: int, tally: Tally) -> None:
        self.releases: dict[str, ReleaseEntry] = {}
        self.problems: list[str] = []
        self._number = number
        self._random = random.Random(f"{seed}:{number}")
        self._tally = tally
        self._made = 0
        self._metadata: tuple[tuple[str, str], ...] = ()

    def run(self, server: ServerProcess, shot: threading.Event) -> None:
        """Call after call, until the first that fails; that must be because the server was shot."""
        self._metadata = server.metadata
        with server.channel() as channel:
            stubs = Stubs(channel)
            try:
                while not shot.is_set():
                    try:
                        self._one_call(stubs)
                    except grpc.RpcError as error:
                        if reason_of(error) not in BUSY:
                            raise
            except grpc.RpcError as error:
                self._judge(error, shot)
            except Exception as error:  # noqa: BLE001 - a caller's thread has nobody to raise to; the drill fails with it
                self.problems.append(f"worker {self._number}: {error!r}")

    def repeat(self, stubs: Stubs, entries: list[tuple[ReleaseEntry, FileEntry | None]]) -> None:
        """Send calls that were cut again, under the same ids: each has its effect once, whatever the first one did."""
        for release, file in entries:
            if file is not None:
                if release.commits is not None:
                    self._upload(stubs, release, file)
            elif release.commits is None or release.commits == commit_order(release.created_with):
                self._create(stubs, release)

    # -------------------------------------------------------------------------------------------------------- the calls

    def _one_call(self, stubs: Stubs) -> None:
        present = [each for each in self.releases.values() if each.is_certain and each.commits is not None]
        choice = self._random.random()
        if not present or choice < 0.35:
            self._create(stubs, self._new_release())
        elif choice < 0.5:
            self._tell(stubs, self._random.choice(present))
        elif choice < 0.7:
            self._set_commits(stubs, self._random.choice(present))
        else:
            release = self._random.choice(present)
            self._upload(stubs, release, self._new_file(release))

    def _new_release(self) -> ReleaseEntry:
        self._made += 1
        version = f"w{self._number}@1.{self._made}"
        ids = commit_ids(version, 0, self._random.randint(0, 60))
        release = ReleaseEntry(version, str(uuid.UUID(int=self._random.getrandbits(128), version=4)), ids, {None})
        self.releases[version] = release
        return release

    def _new_file(self, release: ReleaseEntry) -> FileEntry:
        name = f"dist/{len(release.files)}.bin"
        small = self._random.random() < 0.2  # kept in the row; the others in a pack
        size = self._random.randint(0, 16 * 1024) if small else self._random.randint(16 * 1024, 3 * 1024 * 1024)
        file = FileEntry(str(uuid.UUID(int=self._random.getrandbits(128), version=4)), name, size, {None})
        release.files[name] = file
        return file

    def _create(self, stubs: Stubs, release: ReleaseEntry) -> None:
        release.touched = True
        release.possible.add(commit_order(release.created_with))
        stubs.releases.CreateRelease(
            releases_pb2.CreateReleaseRequest(
                parent=ORGANIZATION,
                release=releases_pb2.Release(version=release.version, projects=PROJECTS),
                commits=[commit_of(each) for each in release.created_with],
                request_id=release.request_id,
            ),
            timeout=CALL_SECONDS,
            metadata=self._metadata,
        )
        release.possible = {commit_order(release.created_with)}
        self._tally.add("CreateRelease", "answered")

    def _set_commits(self, stubs: Stubs, release: ReleaseEntry) -> None:
        old = release.commits
        assert old is not None
        release.touched = True
        kept = old[: len(old) // 2]
        generation = 1 + max((int(each[-9:-6]) for each in old), default=0)
        ids = (*commit_ids(release.version, generation, self._random.randint(100, 400)), *kept)[:500]
        release.possible.add(commit_order(ids))
        stubs.releases.SetCommits(
            self._commit_messages(release.version, ids), timeout=CALL_SECONDS, metadata=self._metadata
        )
        release.possible = {commit_order(ids)}
        self._tally.add("SetCommits", "answered")

    def _tell(self, stubs: Stubs, release: ReleaseEntry) -> None:
        """All sessions of the release, perhaps again: those of some days ago, then some that began before."""
        release.touched = True
        for numbers, days in ((range(20), 3), (range(20, 30), 10)):
            before = max(release.sessions)
            release.sessions.add(max(before, numbers.stop))
            answer = stubs.health.RecordSessions(
                sessions_pb2.RecordSessionsRequest(
                    parent=ORGANIZATION, updates=[_session_of(release.version, number, days) for number in numbers]
                ),
                timeout=CALL_SECONDS,
                metadata=self._metadata,
            )
            release.sessions = {max(before, numbers.stop)}
            news = answer.recorded.recorded_count
            if news != max(0, numbers.stop - before) or news + answer.recorded.known_count != len(numbers):
                raise BrokenPromise(f"{release.version}: of {before} sessions and {numbers} {news} are new")
        self._tally.add("RecordSessions", "answered")

    def _commit_messages(self, version: str, ids: CommitIds) -> Iterator[commits_pb2.SetCommitsRequest]:
        name = f"{ORGANIZATION}/releases/{version}"
        for start in range(0, len(ids), 100):
            yield commits_pb2.SetCommitsRequest(
                name=name, commits=[commit_of(each) for each in ids[start : start + 100]]
            )
        yield commits_pb2.SetCommitsRequest(name=name, finish=True, commit_count=len(ids))

    def _upload(self, stubs: Stubs, release: ReleaseEntry, file: FileEntry) -> None:
        release.touched = True
        file.possible.add(file.size)
        answer = stubs.releases.UploadReleaseFile(
            self._frames(release, file), timeout=CALL_SECONDS, metadata=self._metadata
        )
        file.possible = {file.size}
        self._tally.add("UploadReleaseFile", "answered")
        if (answer.file.size_bytes, answer.file.sha256) != (file.size, sha256_of(file.name, file.size)):
            raise BrokenPromise(f"{release.version} {file.name}: the answer names other content")

    def _frames(self, release: ReleaseEntry, file: FileEntry) -> Iterator[files_pb2.UploadReleaseFileRequest]:
        content = content_of(file.name, file.size)
        yield files_pb2.UploadReleaseFileRequest(
            header=files_pb2.UploadHeader(
                upload_id=file.upload_id, parent=f"{ORGANIZATION}/releases/{release.version}", file_name=file.name
            )
        )
        for offset in range(0, file.size, FRAME):
            yield files_pb2.UploadReleaseFileRequest(
                data=files_pb2.UploadData(offset=offset, data=content[offset : offset + FRAME])
            )
        yield files_pb2.UploadReleaseFileRequest(
            finish=files_pb2.UploadFinish(size_bytes=file.size, sha256=sha256_of(file.name, file.size))
        )

    # -------------------------------------------------------------------------------------------------------- judgement

    def _judge(self, error: grpc.RpcError, shot: threading.Event) -> None:
        """A cut connection is what the drill is about; everything else that a call can end with is a finding."""
        code, reason = error.code(), reason_of(error)
        # The connection may break a moment before the thread that shot has said so.
        if code == grpc.StatusCode.UNAVAILABLE and reason is None and shot.wait(60):
            return
        self.problems.append(f"worker {self._number}: {code} {reason} {error.details()}")


def _session_of(version: str, number: int, days: int) -> sessions_pb2.SessionUpdate:
    """The session with this number, as it ended: the same whenever it is told, but for where in its day it began."""
    update = sessions_pb2.SessionUpdate(
        session_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{version} {number}")),
        distinct_user_id=f"user {number % 7}",
        sequence=1,
        status=sessions_pb2.SessionStatus.keys()[1 + number % 4],
        error_count=number % 3,
        version=version,
        environment=("production", "staging", "")[number % 3],
        project=PROJECTS[number % 2],
    )
    update.start_time.FromSeconds(int(time.time()) - days * 86_400 - number * 3 * 3600)
    update.duration.FromSeconds(number)
    return update


def reason_of(error: grpc.RpcError) -> str | None:
    """The reason that the server gave; None when the failure is the connection's."""
    for entry in error.trailing_metadata() or ():
        if entry.key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(bytes(entry.value)).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return None
