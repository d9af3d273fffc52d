"""The collector: removes what nothing refers to (behaviour.md, Collection).

A pass removes contents without a file, then chunks without a content or an open upload, then packs without a chunk. It
writes anew what is still used of packs that are more than half empty, and merges small packs that are many. Nothing
that was used within the grace time is touched. Rows go first, in transactions that ask again; a pack's row stays, as
`deleting`, until its file is gone: a collector that is killed anywhere leaves nothing that the next does not find.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import peewee

from store.blobs.grace import Grace
from store.blobs.merging import Batch, Merging
from store.blobs.models import DELETING, LIVE, Chunk, Pack
from store.blobs.packs import PackStore
from store.blobs.rewriting import rewrite_packs
from store.blobs.unknown import remove_unknown, unknown_packs
from store.blobs.unused import (
    PackUse,
    UnusedContent,
    packs_in_use,
    remove_chunks,
    remove_contents,
    total_counts,
    unused_chunks,
    unused_contents,
)
from store.crashpoints import crashpoint
from store.database import Database, Query, Statement, Transaction, hole
from store.errors import BlobsDown, CollectorBusy, ReadOnly, StorageFull, Unavailable
from store.leases import Job, Lease, holding_lease
from store.metrics import (
    COLLECTOR_FREED_BYTES,
    COLLECTOR_OLDEST_SECONDS,
    COLLECTOR_PASSES,
    COLLECTOR_REMOVED,
    COLLECTOR_UNKNOWN_PACKS,
)
from store.quotas.counting import forget_counters, gone_organizations

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_GRACE_SECONDS: Final = 24 * 3600

BRAKE_SHARE: Final = 0.2
BRAKE_COUNT: Final = 10_000
"""Contents only: one large file alone has more chunks than this."""
BRAKE_FLOOR: Final = 1_000
"""So few are removed unasked, whatever their share."""

MOST_FAILURES: Final = 10
"""After so many packs that could not be removed, or written anew, the rest waits for the next pass."""

CONTENTS_AT_ONCE: Final = 500
CHUNKS_AT_ONCE: Final = 1_000
ROWS_AT_ONCE: Final = 5_000
_LEAST_CHUNK_BYTES: Final = 64 * 2**10


@dataclass(slots=True)
class Collected:
    """What a pass removed, or would have. freed_bytes are those of packs and of rows."""

    contents: int = 0
    chunks: int = 0
    packs: int = 0
    rewritten_packs: int = 0
    freed_bytes: int = 0
    unknown_packs: int = 0
    braked: bool = False

    @property
    def removed(self) -> int:
        """How many things there were to remove, unlike ones counted together."""
        return self.contents + self.chunks + self.packs + self.rewritten_packs


@dataclass(slots=True)
class _Plan:
    """What a pass would remove, found without changing anything."""

    oldest: int
    contents: int = 0
    inline_bytes: int = 0
    chunks: int = 0
    by_pack: Counter[bytes] = field(default_factory=Counter)
    bytes_by_pack: Counter[bytes] = field(default_factory=Counter)


class Collector:
    """Collects the blob store of a database. Safe for several threads, processes and servers: one works at a time.

    `grace_seconds` is how long what nobody refers to is kept. Raises ValueError when that is no time at all.
    """

    def __init__(self, database: Database, packs: PackStore, *, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> None:
        self._grace = Grace(database, grace_seconds)
        self.database = database
        self.packs = packs
        with suppress(Unavailable):  # a first look at the clock, which later ones are held against
            self._grace.cutoff()

    def collect(self, *, confirmed: bool = False, stopped: Callable[[], bool] = lambda: False) -> Collected:
        """One pass; what it removed. `stopped` is asked between two steps, and ends the pass early.

        Without `confirmed` a pass that would remove more than 10,000 contents, or more than a fifth of all contents or
        of all chunks, removes nothing and says so: a clock that was set wrong looks like that. Packs that no row knows
        are removed by a confirmed pass only: a database that was restored from a backup is older than some of them.

        Raises CollectorBusy, ReadOnly, BlobsDown, DatabaseBusy, DatabaseDown.
        """
        result = "failed"
        found = Collected()
        try:
            self._pass(found, confirmed=confirmed, stopped=stopped)
            result = "braked" if found.braked else "cut" if stopped() else "done"
        except CollectorBusy:
            result = "busy"
            raise
        finally:
            COLLECTOR_PASSES.labels(result).inc()
            _count(found)
        return found

    def _pass(self, found: Collected, *, confirmed: bool, stopped: Callable[[], bool]) -> None:
        if not self.packs.writable or self.database.pending_migrations():
            raise ReadOnly
        cutoff = self.cutoff()
        with holding_lease(self.database, Job.COLLECTION) as lease:
            crashpoint("collect.lease_taken")

            def ended() -> bool:
                lease.keep()
                return stopped()

            if not confirmed and self._brake(cutoff, ended):
                found.braked = True
                return
            self._collect_contents(lease, cutoff, found, ended)
            self._collect_chunks(lease, cutoff, found, ended)
            self._collect_packs(lease, cutoff, found, ended)
            self._collect_unknown(lease, cutoff, found, ended, remove=confirmed)
            self._forget_counters(lease, ended)
        if found.removed:
            fields = {
                "contents": found.contents,
                "chunks": found.chunks,
                "packs": found.packs,
                "rewritten_packs": found.rewritten_packs,
                "freed_bytes": found.freed_bytes,
                "unknown_packs": found.unknown_packs,
            }
            log.info("collected", extra={"fields": fields})

    def preview(self, *, stopped: Callable[[], bool] = lambda: False) -> Collected:
        """What a confirmed pass would remove now; nothing is changed. Raises BlobsDown, DatabaseBusy, DatabaseDown."""
        cutoff = self.cutoff()
        plan = self._plan(cutoff, stopped)
        found = Collected(contents=plan.contents, chunks=plan.chunks, freed_bytes=plan.inline_bytes)
        merging = Merging(self.packs.full_bytes)
        for pack in packs_in_use(self.database):
            if stopped():
                break
            chunks, live = pack.chunk_count - plan.by_pack[pack.id], pack.live_bytes - plan.bytes_by_pack[pack.id]
            if pack.touched_at > cutoff:
                continue
            if pack.state == DELETING or chunks <= 0:
                found.packs += 1
                found.freed_bytes += pack.size_bytes
            else:
                merged = merging.add(pack._replace(chunk_count=chunks, live_bytes=live))
                found.rewritten_packs += sum(len(batch) for batch in merged)
        found.rewritten_packs += sum(len(batch) for batch in merging.rest())
        for stored in unknown_packs(self.database, self.packs, cutoff):
            found.unknown_packs += 1
            found.packs += 1
            found.freed_bytes += stored.size_bytes
        return found

    def cutoff(self) -> int:
        """What was last used then or before has had its grace time, in microseconds since 1970. A clock that was set
        forward is not believed at once. Raises DatabaseBusy, DatabaseDown."""
        return self._grace.cutoff()

    def _plan(self, cutoff: int, stopped: Callable[[], bool]) -> _Plan:
        plan = _Plan(oldest=cutoff)
        for contents in unused_contents(self.database, cutoff):
            if stopped():
                return plan
            plan.contents += len(contents)
            plan.inline_bytes += sum(content.inline_bytes for content in contents)
            plan.oldest = min([plan.oldest, *(content.touched_at for content in contents)])
        for chunks in unused_chunks(self.database, cutoff):
            if stopped():
                return plan
            plan.chunks += len(chunks)
            for chunk in chunks:
                plan.by_pack[chunk.pack_id] += 1
                plan.bytes_by_pack[chunk.pack_id] += chunk.live_bytes
        return plan

    def _brake(self, cutoff: int, stopped: Callable[[], bool]) -> bool:
        plan = self._plan(cutoff, stopped)
        unused = plan.contents or plan.chunks
        COLLECTOR_OLDEST_SECONDS.set((cutoff + self._grace.us - plan.oldest) / 1_000_000 if unused else 0)
        if plan.oldest < cutoff - self._grace.us:
            waited = (cutoff + self._grace.us - plan.oldest) // 1_000_000
            log.warning("something unused was left for long", extra={"fields": {"oldest_orphan_seconds": waited}})
        contents, chunks = total_counts(self.database)
        for what, count, most in (
            ("contents", plan.contents, min(BRAKE_COUNT, contents * BRAKE_SHARE)),
            ("chunks", plan.chunks, chunks * BRAKE_SHARE),
        ):
            if count > max(BRAKE_FLOOR, most):
                log.error(
                    "the collector would remove so much that it asks first: CollectGarbage confirms it",
                    extra={"fields": {"what": what, "count": count, "most": round(most)}},
                )
                return True
        return False

    def _collect_contents(self, lease: Lease, cutoff: int, found: Collected, stopped: Callable[[], bool]) -> None:
        for page in unused_contents(self.database, cutoff):
            for batch in _by_rows(page):
                if stopped():
                    return
                ids = [content.id for content in batch]
                crashpoint("collect.contents_found")
                removed: tuple[int, int] = self.database.write(
                    partial(_guarded, lease=lease, work=partial(remove_contents, ids=ids, cutoff=cutoff)),
                    long=_row_count(batch[0]) > ROWS_AT_ONCE,
                )
                crashpoint("collect.contents_removed")
                found.contents += removed[0]
                found.freed_bytes += removed[1]

    def _collect_chunks(self, lease: Lease, cutoff: int, found: Collected, stopped: Callable[[], bool]) -> None:
        for page in unused_chunks(self.database, cutoff):
            for start in range(0, len(page), CHUNKS_AT_ONCE):
                if stopped():
                    return
                keys = [(chunk.organization_id, chunk.sha256) for chunk in page[start : start + CHUNKS_AT_ONCE]]
                crashpoint("collect.chunks_found")
                removed: int = self.database.write(
                    partial(_guarded, lease=lease, work=partial(remove_chunks, keys=keys, cutoff=cutoff))
                )
                crashpoint("collect.chunks_removed")
                found.chunks += removed

    def _collect_packs(self, lease: Lease, cutoff: int, found: Collected, stopped: Callable[[], bool]) -> None:
        failures = 0
        merging = Merging(self.packs.full_bytes)
        for pack in packs_in_use(self.database):
            if stopped() or failures >= MOST_FAILURES:
                return
            if pack.touched_at > cutoff:
                continue
            if pack.state == DELETING:
                failures += not self._remove_pack(lease, pack, found)
            elif not pack.chunk_count:
                marked: int = self.database.write(
                    partial(_guarded, lease=lease, work=partial(_mark_pack, pack_id=pack.id, cutoff=cutoff))
                )
                crashpoint("collect.pack_marked")
                if marked:
                    failures += not self._remove_pack(lease, pack, found)
            else:
                for batch in merging.add(pack):
                    failures += not self._rewrite(lease, batch, found)
        for batch in merging.rest():
            if stopped() or failures >= MOST_FAILURES:
                return
            failures += not self._rewrite(lease, batch, found)

    def _rewrite(self, lease: Lease, batch: Batch, found: Collected) -> bool:
        """Writes the packs anew; where that cannot be now they stay for the next pass."""
        try:
            found.rewritten_packs += rewrite_packs(self.database, self.packs, lease, batch)
        except (BlobsDown, StorageFull):
            # A full disk is no reason to leave what would make room.
            fields = {"count": len(batch), "pack_id": batch[0].id.hex()}
            log.warning("packs cannot be written anew yet", extra={"fields": fields})
            return False
        return True

    def _remove_pack(self, lease: Lease, pack: PackUse, found: Collected) -> bool:
        """Removes the file and then the row; where the file cannot be removed the row stays for the next pass."""
        try:
            self.packs.remove(pack.id)
        except BlobsDown:
            log.warning("a pack cannot be removed yet", extra={"fields": {"pack_id": pack.id.hex()}})
            return False
        crashpoint("collect.pack_removed")
        self.database.write(partial(_guarded, lease=lease, work=partial(_forget_pack, pack_id=pack.id)))
        crashpoint("collect.pack_forgotten")
        found.packs += 1
        found.freed_bytes += pack.size_bytes
        return True

    def _collect_unknown(
        self, lease: Lease, cutoff: int, found: Collected, stopped: Callable[[], bool], *, remove: bool
    ) -> None:
        for stored in unknown_packs(self.database, self.packs, cutoff):
            if stopped():
                return
            found.unknown_packs += 1
            if remove:
                crashpoint("collect.unknown_pack_found")
                if not remove_unknown(self.database, self.packs, lease, stored):
                    continue
                crashpoint("collect.unknown_pack_removed")
                found.packs += 1
                found.freed_bytes += stored.size_bytes
        COLLECTOR_UNKNOWN_PACKS.set(0 if remove else found.unknown_packs)
        if found.unknown_packs and not remove:
            log.warning(
                "packs lie in the blob store that no row knows; CollectGarbage removes them",
                extra={"fields": {"count": found.unknown_packs}},
            )

    def _forget_counters(self, lease: Lease, stopped: Callable[[], bool]) -> None:
        """What counted for organizations that are gone, and have nothing left."""
        for organization_id in gone_organizations(self.database):
            if stopped():
                return
            work = partial(forget_counters, organization_id=organization_id)
            self.database.write(partial(_guarded, lease=lease, work=work))


_LOCK_PACK: Final = Query(Pack.select(Pack.id).where(Pack.id == hole(Pack.id)))
_MARK_PACK: Final = Statement(
    Pack.update({Pack.state: DELETING}).where(
        Pack.id == hole(Pack.id),
        Pack.state == LIVE,
        Pack.touched_at <= hole(Pack.touched_at, "cutoff"),
        ~peewee.fn.EXISTS(Chunk.select(peewee.SQL("1")).where(Chunk.pack_id == Pack.id)),
    )
)
_FORGET_PACK: Final = Statement(Pack.delete().where(Pack.id == hole(Pack.id), Pack.state == DELETING))


def _count(found: Collected) -> None:
    """What a pass did, for the metrics; also of one that was cut."""
    for what, count in (
        ("contents", found.contents),
        ("chunks", found.chunks),
        ("packs", found.packs),
        ("rewritten_packs", found.rewritten_packs),
    ):
        COLLECTOR_REMOVED.labels(what).inc(count)
    COLLECTOR_FREED_BYTES.inc(found.freed_bytes)


def _guarded(tx: Transaction, *, lease: Lease, work: Callable[[Transaction], T]) -> T:
    lease.guard(tx)
    return work(tx)


def _mark_pack(tx: Transaction, *, pack_id: bytes, cutoff: int) -> int:
    """1 when the file of the pack may be removed now: nothing refers to it, and nothing will."""
    tx.lock(_LOCK_PACK, id=pack_id)
    return tx.run(_MARK_PACK, id=pack_id, cutoff=cutoff)


def _forget_pack(tx: Transaction, *, pack_id: bytes) -> int:
    return tx.run(_FORGET_PACK, id=pack_id)


def _row_count(content: UnusedContent) -> int:
    """About how many rows go with the content."""
    return 1 + content.size_bytes // _LEAST_CHUNK_BYTES


def _by_rows(contents: list[UnusedContent]) -> Iterator[list[UnusedContent]]:
    """The contents, as many together as one write may remove; a larger one is alone."""
    batch: list[UnusedContent] = []
    rows = 0
    for content in contents:
        if batch and (rows + _row_count(content) > ROWS_AT_ONCE or len(batch) == CONTENTS_AT_ONCE):
            yield batch
            batch, rows = [], 0
        batch.append(content)
        rows += _row_count(content)
    if batch:
        yield batch
