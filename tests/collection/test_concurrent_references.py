"""What two transactions of PostgreSQL do at once: a reference that is being made and a removal wait for one another,
and the second sees what the first did. On SQLite one writes at a time."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import peewee
import pytest

from store.blobs.claims import claim_content
from store.blobs.keeping import touch_chunks
from store.blobs.models import Chunk, Content, ContentChunk
from store.blobs.unused import remove_chunks, remove_contents
from store.database import Database, Transaction, new_id
from store.files.models import ReleaseFile
from store.uploads.models import UploadChunk
from tests.clocks import ManualClock
from tests.collection.warehouse import GRACE, Warehouse
from tests.conftest import opened
from tests.postgres_server import PostgresServer, pauses


@pytest.fixture
def warehouse(
    postgres_server: PostgresServer, postgres_template: str, clock: ManualClock, tmp_path: Path
) -> Iterator[Warehouse]:
    with postgres_server.recycled_database(postgres_template) as url, opened(url, clock) as database:
        yield Warehouse(database, tmp_path / "blobs")


@contextmanager
def half_done(database: Database, work: Callable[[Transaction], Any]) -> Iterator[Future[Any]]:
    """While the block runs, a transaction that did all of its work is about to commit; its result comes after."""
    worked, go_on = threading.Event(), threading.Event()

    def write(tx: Transaction) -> Any:
        result = work(tx)
        worked.set()
        assert go_on.wait(60)
        return result

    with ThreadPoolExecutor(1) as threads, pauses():
        done: Future[Any] = threads.submit(database.write, write)
        assert worked.wait(60)
        try:
            yield done
        finally:
            go_on.set()


def blocked(
    database: Database, work: Callable[[Transaction], Any], first: Callable[[Transaction], Any]
) -> tuple[Any, Any]:
    """The results of two transactions: the second waits for a row that the first, which commits meanwhile, holds."""
    with ThreadPoolExecutor(1) as threads:
        with half_done(database, first) as done:
            second: Future[Any] = threads.submit(database.write, work, wait_seconds=60)
            wait_until(partial(is_waiting, database))
        return done.result(60), second.result(60)


def is_waiting(database: Database) -> bool:
    """Whether a transaction waits for a lock."""

    query = peewee.Select([peewee.Table("pg_stat_activity")], [peewee.fn.COUNT(peewee.SQL("*"))]).where(
        peewee.SQL("wait_event_type = 'Lock'")
    )
    return bool(database.read(lambda reader: reader.fetch(query.tuples()))[0][0])


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(6000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("nobody ever waited")


def chunk_and_key(warehouse: Warehouse, clock: ManualClock) -> tuple[bytes, bytes]:
    """The key of an old chunk that nothing refers to."""
    warehouse.upload(b"chunk")
    warehouse.change(UploadChunk.delete())
    clock.advance(seconds=GRACE)
    return warehouse.acme, hashlib.sha256(b"chunk").digest()


def refer(tx: Transaction, key: tuple[bytes, bytes]) -> int:
    """A content with the chunk, if it is there."""
    found = touch_chunks(tx, key[0], [key[1]])
    if found:
        row: dict[Any, Any] = {
            ContentChunk.content_id: new_id(),
            ContentChunk.organization_id: key[0],
            ContentChunk.start_offset: 0,
            ContentChunk.chunk_sha256: key[1],
            ContentChunk.size_bytes: 5,
        }
        tx.execute(ContentChunk.insert(row))
    return found


def test_a_removal_sees_the_reference_that_it_waited_for(warehouse: Warehouse, clock: ManualClock) -> None:
    key = chunk_and_key(warehouse, clock)
    cutoff = warehouse.collector.cutoff()
    assert blocked(warehouse.db, partial(remove_chunks, keys=[key], cutoff=cutoff), partial(refer, key=key)) == (1, 0)
    assert len(warehouse.rows(Chunk)) == 1


def test_a_removal_asks_for_references_though_the_chunk_looks_old(warehouse: Warehouse, clock: ManualClock) -> None:
    key = chunk_and_key(warehouse, clock)
    later = clock.now_us() + 1  # as old as it gets, so that only the reference keeps it
    assert blocked(warehouse.db, partial(remove_chunks, keys=[key], cutoff=later), partial(refer, key=key)) == (1, 0)
    assert len(warehouse.rows(Chunk)) == 1


def test_a_reference_finds_the_chunk_gone_that_it_waited_for(warehouse: Warehouse, clock: ManualClock) -> None:
    key = chunk_and_key(warehouse, clock)
    cutoff = warehouse.collector.cutoff()
    assert blocked(warehouse.db, partial(refer, key=key), partial(remove_chunks, keys=[key], cutoff=cutoff)) == (1, 0)
    assert warehouse.rows(Chunk) == warehouse.rows(ContentChunk) == []


def claim(tx: Transaction, organization_id: bytes, sha256: bytes) -> bool:
    """A file of the content, if it is there."""
    content = claim_content(tx, organization_id, sha256)
    if content is None:
        return False
    values: dict[Any, Any] = {
        ReleaseFile.id: new_id(),
        ReleaseFile.organization_id: organization_id,
        ReleaseFile.release_id: organization_id,
        ReleaseFile.file_name: "app.js",
        ReleaseFile.project_id: b"",
        ReleaseFile.dist: "",
        ReleaseFile.headers: {},
        ReleaseFile.content_id: content.id,
        ReleaseFile.kind: 0,
        ReleaseFile.folded_name: "app.js",
        ReleaseFile.create_time: 0,
    }
    tx.execute(ReleaseFile.insert(values))
    return True


@pytest.mark.parametrize("claimed_first", [True, False])
def test_a_content_is_claimed_or_removed_and_never_both(
    warehouse: Warehouse, clock: ManualClock, claimed_first: bool
) -> None:
    content_id = warehouse.content(b"chunk")
    clock.advance(seconds=GRACE)
    later = clock.now_us() + 1
    removing = partial(remove_contents, ids=[content_id], cutoff=later)
    claiming = partial(claim, organization_id=warehouse.acme, sha256=hashlib.sha256(b"chunk").digest())
    if claimed_first:
        assert blocked(warehouse.db, removing, claiming) == (True, (0, 0))
        assert len(warehouse.rows(Content)) == len(warehouse.rows(ReleaseFile)) == 1
    else:
        assert blocked(warehouse.db, claiming, removing) == ((1, 0), False)
        assert warehouse.rows(Content) == warehouse.rows(ReleaseFile) == []
