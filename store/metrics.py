"""What the store counts, for Prometheus. docs/operations.md, Metrics, says what each figure means.

No label tells of an organization, a token, a name or a digest, and each has few values: what is counted here is shown
to whoever reads the metrics (behaviour.md, Metrics).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from prometheus_client import Counter, Gauge, Histogram, Summary, disable_created_metrics

from store.errors import RegistryError

P = ParamSpec("P")
T = TypeVar("T")

# When a series began is of no interest, and would take one more series each.
disable_created_metrics()  # type: ignore[no-untyped-call]

# ------------------------------------------------------------------------------------------------------------- database

_DATABASE_SECONDS: Final = Histogram(
    "release_registry_database_seconds",
    "Reads and writes of the database, waiting for a turn included",
    ["kind"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10),
)
_DATABASE_FAILURES: Final = Counter(
    "release_registry_database_failures_total", "Reads and writes that the database could not do, by reason", ["reason"]
)
DATABASE_RETRIES: Final = Counter(
    "release_registry_database_retries_total", "Attempts at a transaction beyond the first, by why", ["code"]
)
DATABASE_CONNECTIONS: Final = Counter(
    "release_registry_database_connections_total", "Connections to PostgreSQL that were made"
)
DATABASE_ENDED: Final = Counter(
    "release_registry_database_ended_total", "Reads and writes that were ended because they took too long", ["why"]
)
DATABASE_GROUP: Final = Histogram(
    "release_registry_database_group_writes",
    "Writes of one commit of SQLite",
    buckets=(1, 2, 4, 8, 16),
)
REQUEST_REPLAYS: Final = Counter(
    "release_registry_request_replays_total", "Calls with a request_id that was answered before", ["outcome"]
)

# ---------------------------------------------------------------------------------------------------- uploads and bytes

UPLOADS: Final = Counter("release_registry_uploads_total", "What became of uploads and their streams", ["event"])
UPLOADS_OPEN: Final = Gauge("release_registry_upload_streams_open", "Streams of uploads that have their turn now")
RECEIVED_BYTES: Final = Counter(
    "release_registry_upload_received_bytes_total", "Bytes of contents and chunks that came in, unpacked"
)
KNOWN_BYTES: Final = Counter(
    "release_registry_upload_known_bytes_total", "Those of them that their organization had already"
)
DOWNLOADED_BYTES: Final = Counter(
    "release_registry_downloaded_bytes_total", "Verified bytes of files that were given out"
)
CHUNKS: Final = Counter("release_registry_chunks_total", "Chunks that came in, or were read", ["event"])
CHUNK_DAMAGE: Final = Counter(
    "release_registry_chunk_damage_total", "Chunks found damaged, lost, or read wrongly once", ["where", "found"]
)
_BLOB_SECONDS: Final = Histogram(
    "release_registry_blob_seconds",
    "Operations on the place where packs are kept",
    ["operation"],
    buckets=(0.001, 0.01, 0.1, 0.5, 2.5, 10, 60),
)
_BLOB_FAILURES: Final = Counter(
    "release_registry_blob_failures_total", "Operations on packs that failed, by what callers were told", ["reason"]
)
BLOB_RECONNECTS: Final = Counter(
    "release_registry_blob_reconnects_total", "Times that the bucket's service was asked again with new credentials"
)

# ----------------------------------------------------------------------------------------------------------- background

COLLECTOR_PASSES: Final = Counter("release_registry_collector_passes_total", "Passes of the collector", ["result"])
COLLECTOR_REMOVED: Final = Counter(
    "release_registry_collector_removed_total", "What the collector removed or wrote anew", ["what"]
)
COLLECTOR_FREED_BYTES: Final = Counter("release_registry_collector_freed_bytes_total", "Bytes that the collector freed")
COLLECTOR_OLDEST_SECONDS: Final = Gauge(
    "release_registry_collector_oldest_garbage_seconds", "How long the oldest of what a pass found has been unused"
)
COLLECTOR_UNKNOWN_PACKS: Final = Gauge(
    "release_registry_collector_unknown_packs", "Packs without a row that the last pass found and left"
)
SCRUBBED_CHUNKS: Final = Counter("release_registry_scrub_chunks_total", "Chunks that the scrub read and verified")
SCRUBBED_BYTES: Final = Counter("release_registry_scrub_bytes_total", "Stored bytes that the scrub read and verified")
ADOPTION_RUNS: Final = Counter("release_registry_adoption_runs_total", "Runs of the adoption job", ["result"])
ADOPTION_CHANGES: Final = Counter("release_registry_adoption_changes_total", "What adoption runs changed", ["what"])
ADOPTION_SECONDS: Final = Summary("release_registry_adoption_seconds", "How long adoption runs took")
DISCOVERY: Final = Counter(
    "release_registry_discovery_total", "What looking for the releases of sessions came to", ["what"]
)
SESSION_ITEMS: Final = Counter(
    "release_registry_session_items_total", "Items of sessions, by whether they were recorded", ["outcome"]
)
SESSION_ITEMS_REFUSED: Final = Counter(
    "release_registry_session_items_refused_total", "Items of sessions that were refused, by reason", ["reason"]
)

Watcher = Callable[[str, float], object]
"""Told what was done and when it began, by `time.perf_counter`, right after it was done."""
_watchers: Final[list[Watcher]] = []

_DATABASE_REASONS: Final = frozenset({"DATABASE_BUSY", "DATABASE_DOWN", "READ_ONLY", "STORAGE_FULL"})
_BLOB_REASONS: Final = frozenset({"BLOBS_DOWN", "READ_ONLY", "STORAGE_FULL"})


class Timed:
    """A kind of operation whose time and failures are counted: `with KIND.timed():`, or `@KIND.measured`.

    Of its failures those count that have one of `reasons`: what else comes out of it is none of its own.
    """

    __slots__ = ("_failures", "_observe", "_reasons", "name")

    def __init__(
        self, histogram: Histogram, word: str, *, name: str, failures: Counter, reasons: frozenset[str]
    ) -> None:
        self.name = name
        self._observe = histogram.labels(word).observe
        self._failures, self._reasons = failures, reasons

    def measured(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, each call of which is one of them."""

        @wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> T:
            began = time.perf_counter()
            error: BaseException | None = None
            try:
                return function(*arguments, **named)
            except BaseException as raised:
                error = raised
                raise
            finally:
                self.done(began, error)
                del error  # its traceback holds this frame

        return call

    def timed(self) -> Timing:
        """One of them, which begins now."""
        return Timing(self, time.perf_counter())

    def done(self, began: float, error: BaseException | None = None) -> None:
        """It has ended, with this error."""
        self._observe(time.perf_counter() - began)
        if _watchers:
            for watcher in _watchers:
                watcher(self.name, began)
        if isinstance(error, RegistryError) and error.reason in self._reasons:
            self._failures.labels(error.reason).inc()


class Timing:
    """An operation on its way: a context manager."""

    __slots__ = ("_began", "_kind")

    def __init__(self, kind: Timed, began: float) -> None:
        self._kind, self._began = kind, began

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kind.done(self._began, error)


def _database(word: str) -> Timed:
    name = f"database {word}"
    return Timed(_DATABASE_SECONDS, word, name=name, failures=_DATABASE_FAILURES, reasons=_DATABASE_REASONS)


def _blobs(word: str) -> Timed:
    return Timed(_BLOB_SECONDS, word, name=f"blobs {word}", failures=_BLOB_FAILURES, reasons=_BLOB_REASONS)


DATABASE_READ: Final = _database("read")
DATABASE_WRITE: Final = _database("write")
BLOB_OPEN: Final = _blobs("open")
BLOB_READ: Final = _blobs("read")
BLOB_WRITE: Final = _blobs("write")
BLOB_SYNC: Final = _blobs("sync")
BLOB_REMOVE: Final = _blobs("remove")
BLOB_LIST: Final = _blobs("list")


def watch(watcher: Watcher) -> Callable[[], None]:
    """Have the watcher told of every operation on the database and on packs; what comes back ends that."""
    _watchers.append(watcher)
    return lambda: _watchers.remove(watcher)


def _begin_at_zero() -> None:
    """Show what alerts look at from the start: an increase is then seen from the first time on."""
    for reason in _DATABASE_REASONS:
        _DATABASE_FAILURES.labels(reason)
    for reason in _BLOB_REASONS:
        _BLOB_FAILURES.labels(reason)
    for where in ("read", "upload", "check", "scrub"):
        for found in ("damaged", "lost", "unstable"):
            CHUNK_DAMAGE.labels(where, found)
    for result in ("done", "cut", "braked", "busy", "failed"):
        COLLECTOR_PASSES.labels(result)
    for result in ("done", "busy", "failed"):
        ADOPTION_RUNS.labels(result)


_begin_at_zero()
