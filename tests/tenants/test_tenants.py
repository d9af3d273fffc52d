"""Two organizations, the same content: whatever one does, the other's transcript does not change by a byte.

Each script runs twice, in two worlds. In one the organization is alone; in the other a neighbour acts between any two
of its steps, that sends, names, assembles and deletes the very same contents. In both the operator collects and checks
at the same moments.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from releaseregistry.v1 import admin_pb2

from server.app import assembled
from store.access import Access
from store.access.operators import ensure_operator_token
from store.blobs import chunking
from store.blobs.models import Chunk, Content
from store.database import Database
from store.errors import ContentUnknown
from store.files.create import create_file
from store.files.rows import FileDraft
from store.uploads.chunks import ChunkIntake, StoredChunks, missing_chunks
from tests.clocks import ManualClock
from tests.conftest import opened
from tests.postgres_server import PostgresServer
from tests.rpc.serving import settings_of
from tests.rpc.wire import OPERATOR_TOKEN, Served
from tests.tenants.doors import Door, Straight, Wire
from tests.tenants.tenants import OPERATOR, Contents, Tenant

SCRIPTS = int(os.environ.get("TENANT_SCRIPTS", "2000"))
"""A drill sets it to 10000."""

FIRST = int(os.environ.get("TENANT_SEED", "0"))

STEPS = 6
SCRIPTS_A_WORLD = 100
"""A fresh database after so many: the operator's walks through everything stay short."""

WITHOUT_SYNC = "&options=-csynchronous_commit%3Doff"
"""Nothing here is about what survives."""

_NUMBERS = itertools.count(1)


class World:
    """A server without other organizations than those of its scripts."""

    def __init__(self, door: Door, clock: ManualClock) -> None:
        self.door, self.clock = door, clock

    def transcript(self, seed: int, *, beside_a_neighbour: bool, pictures: bool = False) -> list[str]:
        """What an organization is answered that does as the seed says."""
        plan, own, other = (random.Random(f"{seed} {what}") for what in ("plan", "own", "other"))
        begin_us, contents = self.clock.now_us(), Contents(seed)
        tenant = Tenant(self.door, f"org-{next(_NUMBERS):08}", contents, begin_us=begin_us, pictures=pictures)
        neighbour = None
        if beside_a_neighbour:
            neighbour = Tenant(self.door, f"org-{next(_NUMBERS):08}", contents, begin_us=begin_us, pictures=pictures)
            if other.random() < 0.3:
                neighbour.have_everything()
        for _ in range(STEPS):
            if neighbour is not None:
                for _ in range(other.randrange(3)):
                    neighbour.step(other)
            self._operate(plan)
            tenant.step(own)
        return tenant.transcript.lines

    def _operate(self, plan: random.Random) -> None:
        what = plan.random()
        if what < 0.08:
            self.clock.advance(seconds=plan.choice((60, 3700, 90_000)))
        if what < 0.05:
            self._ask("CollectGarbage", admin_pb2.CollectGarbageRequest())
        elif 0.08 < what < 0.09:
            self._ask("CheckStorage", admin_pb2.CheckStorageRequest(percent=100, repair=True))

    def _ask(self, method: str, request: admin_pb2.CollectGarbageRequest | admin_pb2.CheckStorageRequest) -> None:
        answer = self.door.call(method, [request], OPERATOR)
        assert answer.code == "OK", answer


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Contents of some kilobytes have several chunks."""
    monkeypatch.setattr(chunking, "MIN_CHUNK_BYTES", 1024)
    monkeypatch.setattr(chunking, "AVERAGE_CHUNK_BYTES", 4096)
    monkeypatch.setattr(chunking, "MAX_CHUNK_BYTES", 16_384)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@contextmanager
def straight(database: Database, clock: ManualClock, folder: Path) -> Iterator[World]:
    settings = settings_of(folder, grace_seconds=3600)
    settings.data.mkdir()
    ensure_operator_token(database, OPERATOR_TOKEN)
    server = assembled(settings, database)
    try:
        yield World(Straight(server), clock)
    finally:
        server.close()


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder that costs no writing to a disk: nothing here is about what survives."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="tenants-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compare(world: World, seed: int, *, pictures: bool = False) -> list[str]:
    alone = world.transcript(seed, beside_a_neighbour=False, pictures=pictures)
    beside = world.transcript(seed, beside_a_neighbour=True, pictures=pictures)
    for step, (said, said_beside) in enumerate(zip(alone, beside, strict=True)):
        assert said_beside == said, f"seed {seed}, answer {step}"
    assert not any(" INTERNAL " in said for said in alone), f"seed {seed}"
    return alone


def assert_all_is_there(lines: list[str]) -> None:
    """The scripts come to what could tell of another organization."""
    said = "\n".join(lines)
    for what in ("CHUNKS_MISSING", "CONTENT_UNKNOWN", "stored_chunk_count", "missing_sha256", "created"):
        assert what in said, what


PARTS = 4


@pytest.mark.timeout(120 + SCRIPTS)
@pytest.mark.parametrize("part", range(PARTS))
def test_what_a_neighbour_does_changes_no_byte_of_any_answer(part: int) -> None:
    lines: list[str] = []
    seeds = range(FIRST + part, FIRST + SCRIPTS * 9 // 10, PARTS)
    for start in range(0, len(seeds), SCRIPTS_A_WORLD):
        clock = ManualClock()
        with in_memory() as folder, opened(f"sqlite://{folder}/registry.db", clock) as database:
            database.migrate()
            with straight(database, clock, folder) as world:
                for seed in seeds[start : start + SCRIPTS_A_WORLD]:
                    lines += compare(world, seed)
    assert_all_is_there(lines)


@pytest.mark.timeout(120 + SCRIPTS)
def test_nor_does_it_on_postgresql(postgres_server: PostgresServer, postgres_template: str) -> None:
    lines: list[str] = []
    seeds = range(FIRST + SCRIPTS * 9 // 10, FIRST + SCRIPTS * 19 // 20)
    for start in range(0, len(seeds), SCRIPTS_A_WORLD):
        clock = ManualClock()
        with (
            postgres_server.recycled_database(postgres_template) as url,
            opened(f"{url}{WITHOUT_SYNC}", clock) as database,
            in_memory() as folder,
            straight(database, clock, folder) as world,
        ):
            for seed in seeds[start : start + SCRIPTS_A_WORLD]:
                lines += compare(world, seed)
    assert_all_is_there(lines)


@pytest.mark.timeout(120 + SCRIPTS)
def test_nor_does_it_over_the_wire(server: Served) -> None:
    world = World(Wire(server.channel), server.clock)
    lines: list[str] = []
    for seed in range(FIRST + SCRIPTS * 19 // 20, FIRST + SCRIPTS * 39 // 40):
        lines += compare(world, seed)
    assert_all_is_there(lines)


@pytest.mark.timeout(120 + SCRIPTS)
def test_nor_does_it_to_pictures(server: Served) -> None:
    world = World(Wire(server.channel), server.clock)
    lines: list[str] = []
    for seed in range(FIRST + SCRIPTS * 39 // 40, FIRST + SCRIPTS * 39 // 40 + max(4, SCRIPTS // 500)):
        lines += compare(world, seed, pictures=True)
    assert any("avatar_uid" in said for said in lines)


# --- Planted leaks ---------------------------------------------------------------------------------------------------


def found_anywhere(patch: pytest.MonkeyPatch) -> None:
    """FindMissingChunks has a chunk that any organization has."""

    def leaking(db: Database, access: Access, organization: str, digests: Sequence[bytes]) -> list[bytes]:
        held = {row.sha256 for row in db.read(lambda reader: reader.fetch(Chunk.select(Chunk.sha256)))}
        return [sha256 for sha256 in missing_chunks(db, access, organization, digests) if sha256 not in held]

    patch.setattr("server.servicers.chunks.missing_chunks", leaking)


def counted_together(patch: pytest.MonkeyPatch) -> None:
    """UploadChunks stores nothing that any organization has, and says so."""
    finish = ChunkIntake.finish

    def leaking(intake: ChunkIntake, *, chunk_count: int) -> StoredChunks:
        stored = finish(intake, chunk_count=chunk_count)
        rows = intake._database.read(lambda reader: reader.fetch(Chunk.select(Chunk.organization_id)))
        others = {row.organization_id for row in rows} - {intake._organization_id}
        return StoredChunks(0, 0) if others else stored

    patch.setattr(ChunkIntake, "finish", leaking)


def told_by_error(patch: pytest.MonkeyPatch) -> None:
    """CreateReleaseFile refuses content that only others have in other words."""

    def leaking(db: Database, access: Access, draft: FileDraft, sha256: bytes, terms: Any) -> Any:
        try:
            return create_file(db, access, draft, sha256, terms)
        except ContentUnknown as error:
            query = Content.select().where(Content.sha256 == sha256)
            if db.read(lambda reader: reader.fetch(query)):
                error.metadata["sha256"] = "of somebody else"
            raise

    patch.setattr("server.servicers.files.create_file", leaking)


@pytest.mark.parametrize("plant", [found_anywhere, counted_together, told_by_error])
def test_a_leak_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    clock = ManualClock()
    with in_memory() as folder, opened(f"sqlite://{folder}/registry.db", clock) as database:
        database.migrate()
        with straight(database, clock, folder) as world:

            def differs(seed: int) -> bool:
                alone = world.transcript(seed, beside_a_neighbour=False)
                return world.transcript(seed, beside_a_neighbour=True) != alone

            assert any(differs(seed) for seed in range(40))
