"""Real operations of the blob store, stopped before each step at the database or at the packs, and interleaved by a
seed: the same seed is the same run.

Each actor is a thread, and one runs at a time. The database is SQLite, whose transactions are steps of their own: what
PostgreSQL may do within one is the matter of `test_concurrent_references.py`.
"""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, cast
from unittest.mock import patch

import xxhash

from store.blobs import keeping
from store.blobs.check import check_storage
from store.blobs.claims import claim_content, touch_content
from store.blobs.collector import Collector
from store.blobs.contents import ContentRow
from store.blobs.keeping import Group, ListedManifest, StoredChunk, keep_content
from store.blobs.models import Chunk, Content, ContentChunk, Pack
from store.blobs.reader import ContentReader
from store.blobs.source import ChunkSource, ContentMissing
from store.database import Database, Query, Statement, Transaction, hole, new_id, open_database
from store.errors import BlobsDown, ChunkLost, CollectorBusy
from store.files.models import ReleaseFile
from store.quotas.models import OrganizationUsage
from store.uploads import chunks as upload_chunks
from store.uploads.models import UploadChunk
from tests.clocks import START_US, ManualClock
from tests.collection.stepping import AtOnce, MemoryPacks, SteppingDatabase
from tests.collection.turns import Company, Preempted, Schedule, Violation, at_random, by_priority, step

GRACE = 3600
CHUNKS = [random.Random(seed).randbytes(40 + 17 * seed) for seed in range(5)]
ATTEMPTS = 5

_TABLES = (Content, ContentChunk, Chunk, Pack, ReleaseFile, UploadChunk, OrganizationUsage)
_WIPE = [Statement(table.delete()) for table in _TABLES]
_END_UPLOAD = Statement(UploadChunk.delete().where(UploadChunk.upload_id == hole(UploadChunk.upload_id)))
_DELETE_FILE = Statement(ReleaseFile.delete().where(ReleaseFile.id == hole(ReleaseFile.id)))
_INSERT_UPLOAD_CHUNK = Statement(UploadChunk.insert({field: hole(field) for field in UploadChunk._meta.sorted_fields}))
_INSERT_FILE = Statement(
    ReleaseFile.insert(
        {
            ReleaseFile.id: hole(ReleaseFile.id),
            ReleaseFile.organization_id: b"A" * 16,
            ReleaseFile.release_id: b"A" * 16,
            ReleaseFile.file_name: hole(ReleaseFile.file_name),
            ReleaseFile.project_id: b"",
            ReleaseFile.dist: "",
            ReleaseFile.headers: {},
            ReleaseFile.content_id: hole(ReleaseFile.content_id),
            ReleaseFile.kind: 0,
            ReleaseFile.folded_name: "",
            ReleaseFile.create_time: 0,
        }
    )
)
_ALL = {
    Content: Query(Content.select(Content.id)),
    Chunk: Query(Chunk.select(Chunk.organization_id, Chunk.sha256)),
    ContentChunk: Query(ContentChunk.select(ContentChunk.organization_id, ContentChunk.chunk_sha256)),
    Pack: Query(Pack.select(Pack.id)),
}
_USED = Query(Chunk.select(Chunk.pack_id))


@contextmanager
def memory_world() -> Iterator[World]:
    """A world on a file system in memory, where there is one: what a sync costs is no matter here."""
    clock = ManualClock()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        with patch("store.database.sqlite.SqliteWriter", AtOnce):
            database = open_database(f"sqlite://{folder}/registry.db", clock=clock)
        try:
            database.migrate()
            # Two small packs are merged already: what waits for 32 would never happen here.
            with Company() as company, patch("store.blobs.merging.LEAST_PACKS", 2):
                yield World(database, clock, company)
        finally:
            database.close()


# --- The world -------------------------------------------------------------------------------------------------------


class World:
    """Two organizations that have the same chunks, some old files and orphans, and those who work on them."""

    def __init__(self, database: Database, clock: ManualClock, company: Company) -> None:
        self.plain = database
        self.company = company
        self.clock = clock
        self.db: Any = SteppingDatabase(database)
        self.packs = MemoryPacks(clock)
        self.organizations = (b"A" * 16, b"B" * 16)
        self.files: dict[bytes, tuple[ContentRow, bytes]] = {}
        self.deleted: set[bytes] = set()
        self.collector = Collector(cast("Database", self.db), self.packs, grace_seconds=GRACE)

    def run(self, seed: int) -> None:
        """One run. Raises Violation, with the seed and what happened."""
        rng = random.Random(seed)
        self.begin(rng)
        schedule = Schedule(at_random(rng) if seed % 2 else by_priority(rng))
        works: dict[str, Callable[[], None]] = {"clock": partial(self.tick, rng.randrange(3), rng)}
        kinds = (self.upload, self.assemble, self.create, self.delete, self.download)
        for index in range(rng.randint(2, 3)):
            kind = rng.choice(kinds)
            works[f"{kind.__name__} {index}"] = partial(kind, random.Random(rng.random()))
        for index in range(rng.randint(1, 2)):
            works[f"collector {index}"] = self.collect
        self._carry_out(schedule, works, f"seed {seed}")

    def run_two(self, kind: str, seed: int, first: int, *steps: int) -> int:
        """One actor of that kind and one collector (0 and 1, the first to have the turn), that change turns at these
        steps; how many steps there were at which they could. Raises Violation."""
        self.begin(random.Random(seed))
        choose = Preempted(first, *steps)
        work = partial(getattr(self, kind), random.Random(seed))
        what = f"{kind}, seed {seed}, first {first}, steps {steps}"
        self._carry_out(Schedule(choose), {kind: work, "collector": self.collect}, what)
        return choose.count

    def _carry_out(self, schedule: Schedule, works: dict[str, Callable[[], None]], what: str) -> None:
        try:
            schedule.run(self.company, works)
            self.check()
        except Violation as violation:
            raise Violation(f"{violation} ({what}: {', '.join(schedule.trace)})") from violation

    def begin(self, rng: random.Random) -> None:
        """Makes everything anew: some files, some orphans, all as old as the grace time or a second younger."""

        def wipe(tx: Transaction) -> None:
            for statement in _WIPE:
                tx.run(statement)

        self.plain.write(wipe)
        self.clock.advance(seconds=(START_US - self.clock.now_us()) / 1_000_000)
        self.packs.files.clear()
        self.files.clear()
        self.deleted.clear()
        for organization in self.organizations:
            for _ in range(rng.randint(1, 2)):
                self.upload(rng, organization=organization)
        for file_id in list(self.files):
            if rng.random() < 0.6:
                self._remove(file_id)
        self.clock.advance(seconds=rng.choice((GRACE, GRACE, GRACE - 1)))

    # What actors do: the transactions of the store's doors, cut down to what concerns bytes.

    def upload(self, rng: random.Random, *, organization: bytes | None = None) -> None:
        """A stream that commits its chunks, and then finishes."""
        organization = organization or rng.choice(self.organizations)
        chunks = rng.sample(CHUNKS, rng.randint(1, 3))
        upload_id = new_id()
        for _ in range(ATTEMPTS):
            group = self._written(organization, chunks)
            try:
                self.db.write(partial(self._commit, organization=organization, upload_id=upload_id, group=group))
            except BlobsDown:
                self._withdraw(group)
                continue
            self._finish(organization, chunks, group, upload_id)
            return
        raise Violation("an upload never gets through")

    def assemble(self, rng: random.Random) -> None:
        """A client that asks what is missing, sends it, and has its file made of chunks."""
        organization = rng.choice(self.organizations)
        chunks = rng.sample(CHUNKS, rng.randint(1, 3))
        digests = [hashlib.sha256(chunk).digest() for chunk in chunks]
        for _ in range(ATTEMPTS):
            asked = self.clock.steady_us()
            known = list(keeping.live_chunks(self.db, organization, sorted(digests)))
            held = self.db.write(
                partial(upload_chunks.held_chunks, organization_id=organization, digests=sorted(known))
            )
            lacking = [chunk for chunk, sha256 in zip(chunks, digests, strict=True) if sha256 not in held]
            group = self._written(organization, lacking)
            try:
                self.db.write(partial(keeping.keep_chunks, organization_id=organization, group=group))
            except BlobsDown:
                self._withdraw(group)
                continue
            if self._finish(organization, chunks, _listed(chunks), None):
                return
            if self.clock.steady_us() - asked < GRACE * 1_000_000:
                raise Violation("a chunk that was said to be there is gone within the grace time")
        raise Violation("an assembly never gets through")

    def create(self, rng: random.Random) -> None:
        """A file of content that the organization has already."""
        organization = rng.choice(self.organizations)
        whole = b"".join(rng.sample(CHUNKS, 1))
        if self.files:
            content, whole = rng.choice(list(self.files.values()))
            organization = content.organization_id

        def make(tx: Transaction) -> ContentRow | None:
            found = claim_content(tx, organization, hashlib.sha256(whole).digest())
            if found is not None:
                _insert_file(tx, found, file_id)
            return found

        file_id = new_id()
        content_row: ContentRow | None = self.db.write(make)
        if content_row is not None:
            self.files[file_id] = (content_row, whole)

    def delete(self, rng: random.Random) -> None:
        """A file goes; its bytes are the collector's."""
        if self.files:
            self._remove(rng.choice(list(self.files)))

    def download(self, rng: random.Random) -> None:
        """A file is read to its end, or what was deleted meanwhile is gone."""
        if not self.files:
            return
        file_id = rng.choice(list(self.files))
        content, whole = self.files[file_id]
        try:
            data = self._read(content)
        except (ContentMissing, ChunkLost) as error:
            if file_id not in self.deleted:
                raise Violation(f"a file could not be read: {error!r}") from error
        else:
            if data != whole:
                raise Violation("a file was read wrongly")

    def collect(self) -> None:
        """A pass in the background."""
        with suppress(CollectorBusy):
            self.collector.collect()

    def tick(self, count: int, rng: random.Random) -> None:
        """Time goes by: less than the grace, longer than a lease lasts, or more than the grace."""
        for _ in range(count):
            step()
            self.clock.advance(seconds=rng.choice((1, 130, 0.6 * GRACE, GRACE + 1)))

    def _written(self, organization: bytes, chunks: Sequence[bytes]) -> Group:
        listed = _listed(chunks).chunks
        known = keeping.live_chunks(self.db, organization, sorted(chunk.sha256 for chunk in listed)) if listed else {}
        with self.packs.sink() as sink:
            stored = [
                chunk
                if chunk.sha256 in known
                else chunk._replace(
                    place=sink.write(data), checksum=xxhash.xxh3_64_digest(data), stored_bytes=len(data)
                )
                for chunk, data in zip(listed, chunks, strict=True)
            ]
            return Group(tuple(sink.sync()), stored)

    def _withdraw(self, group: Group) -> None:
        for pack in group.packs:
            self.packs.remove(pack.id)

    def _commit(self, tx: Transaction, *, organization: bytes, upload_id: bytes, group: Group) -> None:
        keeping.keep_chunks(tx, organization, group)
        _refer(tx, organization, upload_id, group)

    def _finish(self, organization: bytes, chunks: Sequence[bytes], group: Group, upload_id: bytes | None) -> bool:
        whole = b"".join(chunks)
        file_id = new_id()

        def finish(tx: Transaction) -> ContentRow | None:
            digests = {chunk.sha256 for chunk in group.chunks}
            if upload_id is None and keeping.touch_chunks(tx, organization, sorted(digests)) != len(digests):
                return None
            content = keep_content(
                tx,
                organization,
                sha256=hashlib.sha256(whole).digest(),
                size_bytes=len(whole),
                manifest=ListedManifest(group.chunks),
            )
            _insert_file(tx, content, file_id)
            if upload_id is not None:
                tx.run(_END_UPLOAD, upload_id=upload_id)
            return content

        content: ContentRow | None = self.db.write(finish)
        if content is not None:
            self.files[file_id] = (content, whole)
        return content is not None

    def _remove(self, file_id: bytes) -> None:
        content, _ = self.files[file_id]
        self.deleted.add(file_id)

        def remove(tx: Transaction) -> None:
            tx.run(_DELETE_FILE, id=file_id)
            touch_content(tx, content.id)

        self.db.write(remove)
        self.files.pop(file_id, None)

    def _read(self, content: ContentRow) -> bytes:
        with ContentReader(ChunkSource(self.db, self.packs, content)) as reader:
            return reader.read()

    def check(self) -> None:
        """Every file is whole; two passes later nothing is left but what files need, and packs that were written anew
        just now; and those come to an end. Raises Violation."""
        self._check_files()
        rewritten = [self._collected_later() for _ in range(2)][-1]
        self._check_files()
        rows = {table: set(self.plain.rows(query)) for table, query in _ALL.items()}
        if rows[Content] != {(content.id,) for content, _ in self.files.values()} or rows[Chunk] != rows[ContentChunk]:
            raise Violation("orphans are left after two passes")
        passes = 2
        while rewritten:
            rewritten = self._collected_later()
            passes += 1
            if passes > 6:
                raise Violation("packs are written anew without end")
        used, kept = set(self.plain.rows(_USED)), {(pack_id,) for pack_id in self.packs.files}
        if not set(self.plain.rows(_ALL[Pack])) == used == kept:
            raise Violation("packs are left that nothing needs")
        if passes > 2:
            self._check_files()
        checked = check_storage(self.plain, self.packs, cutoff=self.clock.now_us())
        if checked.finding_count:
            raise Violation(f"the check found: {checked.findings}")

    def _collected_later(self) -> int:
        """A pass that finds all that is unused to be old; how many packs it has written anew."""
        self.clock.advance(seconds=GRACE)
        return self.collector.collect().rewritten_packs

    def _check_files(self) -> None:
        for content, whole in self.files.values():
            try:
                data = self._read(content)
            except (ContentMissing, ChunkLost) as error:
                raise Violation(f"the bytes of a file are gone: {error!r}") from error
            if data != whole:
                raise Violation("the bytes of a file are others")


def _listed(chunks: Sequence[bytes]) -> Group:
    start, listed = 0, []
    for chunk in chunks:
        listed.append(StoredChunk(start, hashlib.sha256(chunk).digest(), len(chunk)))
        start += len(chunk)
    return Group((), listed)


def _refer(tx: Transaction, organization: bytes, upload_id: bytes, group: Group) -> None:
    for chunk in group.chunks:
        tx.run(
            _INSERT_UPLOAD_CHUNK,
            organization_id=organization,
            upload_id=upload_id,
            start_offset=chunk.start_offset,
            chunk_sha256=chunk.sha256,
            size_bytes=chunk.size_bytes,
        )


def _insert_file(tx: Transaction, content: ContentRow, file_id: bytes) -> None:
    tx.run(_INSERT_FILE, id=file_id, file_name=file_id.hex(), content_id=content.id)
