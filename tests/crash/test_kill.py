"""CI's share of the kill drill; `make drill-kill` runs the full count."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import apsw
import grpc
import pytest

from tests.crash.drill import Drill, drill
from tests.crash.invariants import COUNTERS_AND_ROWS as CLAIMS
from tests.crash.invariants import check_rows, settle, sqlite_rows
from tests.crash.ledger import Tally
from tests.crash.workload import BrokenPromise
from tests.postgres_server import PostgresServer
from tests.server_process import ServerProcess, Stubs

SEED = random.SystemRandom().randrange(2**32)


@pytest.mark.timeout(600)
def test_sqlite_keeps_what_it_acknowledged_and_nothing_half_over_twenty_kills(tmp_path: Path) -> None:
    tally = drill(engine="sqlite", cycles=20, seed=SEED, folder=tmp_path, database=None)
    assert_work_was_cut(tally)


@pytest.mark.timeout(300)
def test_postgresql_keeps_what_it_acknowledged_and_nothing_half_over_five_kills(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    with postgres_server.fresh_database() as url:
        tally = drill(engine="postgresql", cycles=5, seed=SEED, folder=tmp_path, database=url)
    assert_work_was_cut(tally)


def assert_work_was_cut(tally: Tally) -> None:
    """Kills that never met a call in flight would prove nothing."""
    for kind in ("CreateRelease", "SetCommits", "UploadReleaseFile"):
        assert tally.counts[kind, "answered"] > 0, tally
    assert any(kind.startswith("cut call (") for kind, _ in tally.counts), tally


# ------------------------------------------------------ each guard of the drill, tried on data that was damaged

_A_CHUNK_OF_AN_UPLOAD = (
    "INSERT INTO upload_chunk (organization_id, upload_id, start_offset, chunk_sha256, size_bytes)"
    " SELECT organization_id, id, 0, randomblob(32), 1 FROM upload"
)

_LINKED = """UPDATE health_series SET release_id =
    (SELECT r.id FROM "release" r WHERE r.version = health_series.version) WHERE version <> ''"""

DAMAGE = {
    "release's commit_count is not the number": 'UPDATE "release" SET commit_count = commit_count + 1',
    "author_count is not the number": 'UPDATE "release" SET author_count = author_count + 1',
    "kept authors are not": "DELETE FROM release_author",
    "release's file_count is not the number": "DELETE FROM release_file",
    "project_count is not the number": "DELETE FROM release_project",
    "label_count is not the number": 'UPDATE "release" SET label_count = label_count + 1',
    "copy of a release's status differs": "UPDATE release_project SET status = 3 - status",
    "copy of commit_count differs": "UPDATE release_project SET commit_count = commit_count + 1",
    "last commit is not the first": 'UPDATE "release" SET last_commit_id = NULL',
    "positions have a gap": "UPDATE release_commit SET position = (position + 1) * 1000000",
    "changed_file_count is not the number": "DELETE FROM commit_file",
    "names a commit that is not there": 'DELETE FROM "commit"',
    "release is not there": 'DELETE FROM "release"',
    "head is not a commit of its release": "UPDATE release_head SET commit_id = release_id",
    "head_count is not the number": 'UPDATE "release" SET head_count = head_count + 1',
    "lacks a reference of one of its commits": "DELETE FROM release_reference",
    "has a reference that its commit has not": "DELETE FROM commit_reference",
    "changed file's commit is not there": "UPDATE commit_file SET commit_id = randomblob(16)",
    "stored_bytes are not those of its rows": "UPDATE organization_usage SET stored_bytes = stored_bytes + 1",
    "organization's file_count is not the number": "DELETE FROM organization_usage",
    "file has no content": "DELETE FROM content",
    "chunks do not add up": "DELETE FROM content_chunk WHERE start_offset = 0",
    "names a chunk that is not there": "DELETE FROM chunk",
    "names a pack that is not there": "DELETE FROM pack",
    "upload's file is not there": "UPDATE upload SET file_id = randomblob(16)",
    "committed bytes are not those": "UPDATE upload SET state = 'open', committed_bytes = 1 + committed_bytes",
    "not open holds chunks": _A_CHUNK_OF_AN_UPLOAD,
    "upload has a chunk that is not there": f"{_A_CHUNK_OF_AN_UPLOAD}; UPDATE upload SET state = 'open'",
    "beyond what was synced": "UPDATE pack SET size_bytes = size_bytes - 1",
    "without its activity": "DELETE FROM activity",
    **{
        f"day's {count} is not that of its hours": f"UPDATE health_day SET {count} = {count} + 1"
        for count in ("session_count", "crashed_count", "abnormal_count", "errored_count", "error_count")
    },
    "hour before days_until is in no day": "DELETE FROM health_day",
    "day that is not built yet": "UPDATE health_series SET days_until = 0",
    "hour's series is not there": "DELETE FROM health_series",
    "day's series is not there": "DELETE FROM health_series",
    "more sessions than the project": "UPDATE health_series SET environment = environment || 'x' WHERE version = ''",
    "sessions that no version has": "UPDATE health_series SET environment = environment || 'x' WHERE version <> ''",
    "session's series is not there": "UPDATE session SET series_id = randomblob(16)",
    "fewer sessions than are kept": "UPDATE health_hour SET session_count = 0",
    "fewer crashes than are kept": "UPDATE health_hour SET crashed_count = 0",
    "series is another's": "UPDATE health_series SET release_id = randomblob(16) WHERE version <> ''",
    "series is not of its project": "DELETE FROM release_project; " + _LINKED,
    "series is not in its environment": "DELETE FROM release_environment; " + _LINKED,
    "later sessions than its project": "UPDATE health_project SET last_time = 0",
}


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Drill:
    """A drill of a few kills, and its server stopped in peace: what the damage is done to."""
    rehearsal = Drill(ServerProcess(tmp_path_factory.mktemp("worked")), seed=1)
    rehearsal.run(2)
    return rehearsal


@pytest.fixture
def copy(worked: Drill, tmp_path: Path) -> Drill:
    """The same data once more, to be damaged, with the same ledger."""
    copied = Drill(ServerProcess(tmp_path), worked.seed)
    copied.workers = worked.workers
    shutil.copytree(worked.server.data, copied.server.data)
    return copied


def test_every_claim_about_rows_has_its_damage() -> None:
    assert [claim for claim in CLAIMS if not any(words in claim for words in DAMAGE)] == []


@pytest.mark.parametrize("claim", DAMAGE)
def test_the_drill_notices_rows_that_disagree(copy: Drill, claim: str) -> None:
    path = copy.server.data / "registry.db"
    connection = apsw.Connection(str(path))
    connection.execute(DAMAGE[claim])
    connection.close()
    (query,) = [query for full, query in CLAIMS.items() if claim in full]

    with sqlite_rows(path) as rows:
        assert rows(query), "the claim's own query finds it"
        with pytest.raises(BrokenPromise):
            check_rows(rows, engine="sqlite", blobs=copy.blobs)


def test_the_drill_notices_a_pack_that_is_shorter_than_its_rows_say(copy: Drill) -> None:
    with sqlite_rows(copy.server.data / "registry.db") as rows:
        pack_id, end = rows("SELECT pack_id, max(pack_offset + stored_bytes) FROM chunk GROUP BY pack_id")[0]
        name = bytes(pack_id).hex()
        # The file may be longer than that: a kill leaves bytes of which no row tells.
        os.truncate(copy.blobs / "packs" / name[-2:] / name, end - 1)

        with pytest.raises(BrokenPromise, match="shorter"):
            check_rows(rows, engine="sqlite", blobs=copy.blobs)


def look(drill: Drill) -> None:
    entries = [entry for worker in drill.workers for entry in worker.releases.values()]
    with drill.server, drill.server.channel() as channel:
        settle(Stubs(channel), drill.server, entries, drill.tally)


def test_the_undamaged_copy_is_found_whole(copy: Drill) -> None:
    look(copy)


def test_the_drill_notices_an_acknowledged_release_that_is_gone(copy: Drill) -> None:
    entry = next(each for worker in copy.workers for each in worker.releases.values() if each.commits is not None)
    entry.version, version = "w0@9.9", entry.version
    try:
        with pytest.raises(BrokenPromise, match=r"w0@9\.9"):
            look(copy)
    finally:
        entry.version = version


def test_the_drill_notices_a_flipped_bit_as_the_server_does(copy: Drill) -> None:
    for path in (copy.blobs / "packs").rglob("*"):
        if path.is_file() and path.stat().st_size:
            with path.open("r+b") as pack:
                first = pack.read(1)[0]
                pack.seek(0)
                pack.write(bytes([first ^ 1]))

    with pytest.raises(grpc.RpcError) as caught:
        look(copy)

    assert caught.value.code() == grpc.StatusCode.DATA_LOSS
