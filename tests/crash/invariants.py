"""What must hold after every crash: seen through the wire, in the tables, and in the folder of the bytes."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import grpc
import psycopg
from releaseregistry.v1 import commits_pb2, files_pb2, health_pb2, releases_pb2

from tests.crash.health_invariants import HEALTH_ROWS
from tests.crash.ledger import CommitIds, FileEntry, ReleaseEntry, Tally, commit_of, sha256_of
from tests.crash.workload import ORGANIZATION, PROJECTS, BrokenPromise
from tests.server_process import ServerProcess, Stubs

Rows = Callable[[str], list[tuple[Any, ...]]]
READ_SECONDS = 60.0

COUNTERS_AND_ROWS = {
    **HEALTH_ROWS,
    "a release's commit_count is not the number of its commits": """
        SELECT r.version, r.commit_count FROM "release" r WHERE r.commit_count <>
        (SELECT count(*) FROM release_commit c WHERE c.release_id = r.id)""",
    "a release's author_count is not the number of its commits' authors": """
        SELECT r.version, r.author_count FROM "release" r WHERE r.author_count <>
        (SELECT count(DISTINCT k.author_id) FROM release_commit c JOIN "commit" k ON k.id = c.commit_id
         WHERE c.release_id = r.id)""",
    "a release's kept authors are not those of its commits": """
        SELECT r.version, r.author_count FROM "release" r WHERE r.author_count <>
        (SELECT count(*) FROM release_author a WHERE a.release_id = r.id)""",
    "a release's file_count is not the number of its files": """
        SELECT r.version, r.file_count FROM "release" r WHERE r.file_count <>
        (SELECT count(*) FROM release_file f WHERE f.release_id = r.id)""",
    "a release's label_count is not the number of its labels": """
        SELECT r.version, r.label_count FROM "release" r WHERE r.label_count <>
        (SELECT count(*) FROM release_label l WHERE l.release_id = r.id)""",
    "a list's copy of a release's status differs": """
        SELECT r.version, p.status FROM release_project p JOIN "release" r ON r.id = p.release_id
        WHERE p.status <> r.status""",
    "a release's project_count is not the number of its projects": """
        SELECT r.version, r.project_count FROM "release" r WHERE r.project_count <>
        (SELECT count(*) FROM release_project p WHERE p.release_id = r.id)""",
    "a list's copy of commit_count differs": """
        SELECT r.version, p.commit_count FROM release_project p JOIN "release" r ON r.id = p.release_id
        WHERE p.commit_count <> r.commit_count""",
    "a release's last commit is not the first of its list": """
        SELECT r.version FROM "release" r LEFT JOIN release_commit c ON c.release_id = r.id
        AND c.position = (SELECT min(f.position) FROM release_commit f WHERE f.release_id = r.id)
        WHERE (r.last_commit_id IS NULL) <> (c.commit_id IS NULL) OR r.last_commit_id <> c.commit_id""",
    "a release's positions have a gap": """
        SELECT c.release_id, count(*) FROM release_commit c GROUP BY c.release_id
        HAVING max(c.position) - min(c.position) <> count(*) - 1""",
    "a commit's changed_file_count is not the number of its files": """
        SELECT k."key", k.changed_file_count FROM "commit" k WHERE k.changed_file_count <>
        (SELECT count(*) FROM commit_file f WHERE f.commit_id = k.id)""",
    "a release names a commit that is not there": """
        SELECT c.release_id FROM release_commit c LEFT JOIN "commit" k ON k.id = c.commit_id WHERE k.id IS NULL""",
    "a commit's release is not there": """
        SELECT c.release_id FROM release_commit c LEFT JOIN "release" r ON r.id = c.release_id WHERE r.id IS NULL""",
    "a head is not a commit of its release, and no ref named it": """
        SELECT h.release_id FROM release_head h LEFT JOIN release_commit c
        ON c.release_id = h.release_id AND c.commit_id = h.commit_id WHERE c.commit_id IS NULL AND NOT h.from_ref""",
    "a release's head_count is not the number of its heads": """
        SELECT r.version, r.head_count FROM "release" r WHERE r.head_count <>
        (SELECT count(*) FROM release_head h WHERE h.release_id = r.id)""",
    "a release lacks a reference of one of its commits": """
        SELECT c.release_id, f.reference FROM release_commit c JOIN commit_reference f ON f.commit_id = c.commit_id
        LEFT JOIN release_reference k ON k.release_id = c.release_id AND k.commit_id = c.commit_id
        AND k.reference = f.reference WHERE k.reference IS NULL""",
    "a release has a reference that its commit has not": """
        SELECT c.release_id, k.reference FROM release_commit c JOIN release_reference k
        ON k.release_id = c.release_id AND k.commit_id = c.commit_id LEFT JOIN commit_reference f
        ON f.commit_id = c.commit_id AND f.reference = k.reference WHERE f.reference IS NULL""",
    "a changed file's commit is not there": """
        SELECT f.path FROM commit_file f LEFT JOIN "commit" k ON k.id = f.commit_id WHERE k.id IS NULL""",
    "an organization's stored_bytes are not those of its rows": """
        SELECT t.organization_id, sum(t.counted), sum(t.there) FROM (
            SELECT organization_id, stored_bytes AS counted, 0 AS there FROM organization_usage
            UNION ALL SELECT organization_id, 0, stored_bytes FROM chunk WHERE state = 'live'
            UNION ALL SELECT organization_id, 0, length(inline_data) FROM content WHERE inline_data IS NOT NULL
        ) t GROUP BY t.organization_id HAVING sum(t.counted) <> sum(t.there)""",
    "an organization's file_count is not the number of its files": """
        SELECT t.organization_id, sum(t.counted), sum(t.there) FROM (
            SELECT organization_id, file_count AS counted, 0 AS there FROM organization_usage
            UNION ALL SELECT organization_id, 0, 1 FROM release_file
        ) t GROUP BY t.organization_id HAVING sum(t.counted) <> sum(t.there)""",
    "a file has no content": """
        SELECT f.file_name FROM release_file f LEFT JOIN content c ON c.id = f.content_id WHERE c.id IS NULL""",
    "a content's chunks do not add up to its size": """
        SELECT c.id, c.size_bytes FROM content c WHERE c.inline_data IS NULL AND c.size_bytes <>
        (SELECT coalesce(sum(k.size_bytes), 0) FROM content_chunk k WHERE k.content_id = c.id)""",
    "a content names a chunk that is not there": """
        SELECT k.content_id FROM content_chunk k JOIN content c ON c.id = k.content_id LEFT JOIN chunk h
        ON h.organization_id = c.organization_id AND h.sha256 = k.chunk_sha256 WHERE h.pack_id IS NULL""",
    "a chunk names a pack that is not there": """
        SELECT h.pack_id FROM chunk h LEFT JOIN pack p ON p.id = h.pack_id WHERE p.id IS NULL""",
    "a finished upload's file is not there": """
        SELECT u.id FROM upload u LEFT JOIN release_file f ON f.id = u.file_id
        WHERE u.file_id IS NOT NULL AND f.id IS NULL""",
    "an open upload's committed bytes are not those of its chunks": """
        SELECT u.id, u.committed_bytes FROM upload u WHERE u.state = 'open' AND u.committed_bytes <>
        (SELECT coalesce(sum(k.size_bytes), 0) FROM upload_chunk k
         WHERE k.organization_id = u.organization_id AND k.upload_id = u.id)""",
    "an upload that is not open holds chunks": """
        SELECT k.upload_id FROM upload_chunk k LEFT JOIN upload u
        ON u.organization_id = k.organization_id AND u.id = k.upload_id WHERE coalesce(u.state, '') <> 'open'""",
    "an upload has a chunk that is not there": """
        SELECT k.upload_id FROM upload_chunk k LEFT JOIN chunk h
        ON h.organization_id = k.organization_id AND h.sha256 = k.chunk_sha256 WHERE h.pack_id IS NULL""",
    "a chunk lies beyond what was synced of its pack": """
        SELECT h.pack_id FROM chunk h JOIN pack p ON p.id = h.pack_id
        WHERE h.pack_offset + h.stored_bytes > p.size_bytes""",
    "a created release without its activity": """
        SELECT r.version FROM "release" r WHERE r.project_count <>
        (SELECT count(*) FROM activity a WHERE a.organization_id = r.organization_id
         AND a.kind = 'release_created' AND a.subject = r.version)""",
}


def settle(stubs: Stubs, server: ServerProcess, entries: Iterable[ReleaseEntry], tally: Tally) -> None:
    """Look at each release: what it is must be one of what it may be, and from now on is. Raises `BrokenPromise`."""
    for entry in entries:
        seen = _settle_one(
            entry.possible, read_commits(stubs, server, entry.version), f"{entry.version}: commits", tally, "commits"
        )
        entry.possible = {seen}
        entry.sessions = {
            _settle_one(entry.sessions, read_sessions(stubs, server, entry.version), entry.version, tally, "sessions")
        }
        files = read_files(stubs, server, entry.version) if seen is not None else {}
        if strangers := files.keys() - entry.files.keys():
            raise BrokenPromise(f"{entry.version}: files that nobody sent: {sorted(strangers)}")
        for name, file in entry.files.items():
            found = files.get(name)
            size = None if found is None else found.size_bytes
            file.possible = {_settle_one(file.possible, size, f"{entry.version}: {name}", tally, "file")}
            if found is not None:
                _compare_bytes(stubs, server, found, file)
        entry.touched = False


def _settle_one(possible: set[Any], seen: Any, what: str, tally: Tally, kind: str) -> Any:
    if seen not in possible:
        raise BrokenPromise(f"{what}: is {_short(seen)}, may be {[_short(each) for each in possible]}")
    if len(possible) > 1:
        # Of what may be, the new is the larger: None before anything, a later generation before an earlier one.
        newest = max(possible, key=lambda each: (each is not None, each))
        tally.add(f"cut call ({kind})", "whole" if seen == newest else "absent")
    return seen


def read_commits(stubs: Stubs, server: ServerProcess, version: str) -> CommitIds | None:
    """The commits of a release, each compared in full; None when there is no such release."""
    name = f"{ORGANIZATION}/releases/{version}"
    try:
        release = stubs.releases.GetRelease(
            releases_pb2.GetReleaseRequest(name=name), timeout=READ_SECONDS, metadata=server.metadata
        ).release
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return None
        raise
    commits: list[commits_pb2.Commit] = []
    token = ""
    while True:
        page = stubs.releases.ListCommits(
            commits_pb2.ListCommitsRequest(
                parent=name, page_size=1000, page_token=token, view=commits_pb2.COMMIT_VIEW_FULL
            ),
            timeout=READ_SECONDS,
            metadata=server.metadata,
        )
        commits += page.commits
        token = page.next_page_token
        if not token:
            break
    for commit in commits:
        if _plain(commit) != _plain(commit_of(commit.id)):
            raise BrokenPromise(
                f"{version}: commit {commit.id} is {_plain(commit)}, not {_plain(commit_of(commit.id))}"
            )
    ids = tuple(commit.id for commit in commits)
    heads = {commit.repository: commit.id for commit in reversed(commits)}
    found = (
        release.commit_count,
        release.author_count,
        release.last_commit.id,
        {head.repository: head.commit_id for head in release.head_commits},
        sorted(release.projects),
    )
    wanted = (
        len(ids),
        len({commit.author_email for commit in commits}),
        ids[0] if ids else "",
        heads,
        sorted(PROJECTS),
    )
    if found != wanted:
        raise BrokenPromise(f"{version}: the release says {found}, its commits {wanted}")
    return ids


def read_files(stubs: Stubs, server: ServerProcess, version: str) -> dict[str, files_pb2.ReleaseFile]:
    """The files of a release by name."""
    files: dict[str, files_pb2.ReleaseFile] = {}
    token = ""
    while True:
        page = stubs.releases.ListReleaseFiles(
            files_pb2.ListReleaseFilesRequest(
                parent=f"{ORGANIZATION}/releases/{version}", page_size=1000, page_token=token
            ),
            timeout=READ_SECONDS,
            metadata=server.metadata,
        )
        for file in page.files:
            if file.file_name in files:
                raise BrokenPromise(f"{version}: {file.file_name} is there twice")
            files[file.file_name] = file
        token = page.next_page_token
        if not token:
            return files


def read_sessions(stubs: Stubs, server: ServerProcess, version: str) -> int:
    """How many sessions there are of the version in the last month."""
    request = health_pb2.GetReleaseHealthRequest(
        name=f"{ORGANIZATION}/releases/{version}", period=health_pb2.HEALTH_PERIOD_LAST_30D
    )
    try:
        answer = stubs.health.GetReleaseHealth(request, timeout=READ_SECONDS, metadata=server.metadata)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return 0
        raise
    return sum(project.figures.session_count for project in answer.projects)


def list_versions(stubs: Stubs, server: ServerProcess) -> set[str]:
    """The versions of all releases, as lists show them."""
    versions: list[str] = []
    token = ""
    while True:
        page = stubs.releases.ListReleases(
            releases_pb2.ListReleasesRequest(parent=ORGANIZATION, page_size=1000, page_token=token),
            timeout=READ_SECONDS,
            metadata=server.metadata,
        )
        versions += [release.version for release in page.releases]
        token = page.next_page_token
        if not token:
            break
    if len(set(versions)) != len(versions):
        raise BrokenPromise("a release is listed twice")
    return set(versions)


def _compare_bytes(stubs: Stubs, server: ServerProcess, file: files_pb2.ReleaseFile, entry: FileEntry) -> None:
    digest = hashlib.sha256()
    for message in stubs.releases.DownloadReleaseFile(
        files_pb2.DownloadReleaseFileRequest(name=file.name), timeout=READ_SECONDS, metadata=server.metadata
    ):
        digest.update(message.data)
    if not digest.hexdigest() == file.sha256 == sha256_of(entry.name, entry.size):
        raise BrokenPromise(f"{file.name}: its bytes are not those that were sent")


def _plain(commit: commits_pb2.Commit) -> tuple[object, ...]:
    return (
        commit.repository,
        commit.author_name,
        commit.author_email,
        commit.message,
        commit.commit_time.ToMicroseconds(),
        sorted((file.path, file.change_type) for file in commit.changed_files),
        list(commit.references),
    )


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} commits from {value[0]}" if value else "no commits"
    return repr(value)


# ------------------------------------------------------------------------------------------------ tables and the folder


@contextmanager
def sqlite_rows(path: Path) -> Iterator[Rows]:
    """The tables as a start would find them, read from a copy: the files themselves are left as the crash left them."""
    with tempfile.TemporaryDirectory(prefix="registry-drill-") as folder:
        copy = Path(folder) / path.name
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        connection = apsw.Connection(str(copy))
        try:
            yield lambda query: list(connection.execute(query))
        finally:
            connection.close()


@contextmanager
def postgres_rows(url: str) -> Iterator[Rows]:
    """The tables of a PostgreSQL database, in one snapshot."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield lambda query: connection.execute(query.encode()).fetchall()


def check_rows(rows: Rows, *, engine: str, blobs: Path | None, without: Container[str] = ()) -> None:
    """Counters agree with lists, rows that refer find what they name, packs lie where rows say, and are long enough.

    `blobs` is None where the packs are in a bucket; claims of `without` are not looked at.
    """
    if engine == "sqlite" and (answer := rows("PRAGMA integrity_check")) != [("ok",)]:
        raise BrokenPromise(f"integrity_check: {answer[:5]}")
    for claim, query in COUNTERS_AND_ROWS.items():
        if claim not in without and (broken := rows(query)):
            raise BrokenPromise(f"{claim}: {len(broken)}, such as {broken[0]}")
    if blobs is None:
        return
    for pack_id, end in rows("SELECT pack_id, max(pack_offset + stored_bytes) FROM chunk GROUP BY pack_id"):
        name = bytes(pack_id).hex()
        pack = blobs / "packs" / name[-2:] / name
        if not pack.exists() or pack.stat().st_size < end:
            raise BrokenPromise(f"pack {name} is missing or shorter than {end} bytes")


def unfinished_packs(blobs: Path) -> list[str]:
    """What lies in the folder of packs being written."""
    return sorted(path.name for path in (blobs / "tmp").iterdir())
