"""What the server counts, for Prometheus; what the store counts is in `store.metrics`.

docs/operations.md, Metrics, says what each figure means. No label tells of an organization, a token, a name or a
digest, and a process shows 2,000 series at most (behaviour.md, Metrics).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info, Summary, generate_latest, start_http_server
from prometheus_client.registry import CollectorRegistry

from server.transport import CannotListen

MOST_OUTCOMES: Final = 900
"""So many different ends of calls have a series of their own. All further ones of a method and code share one."""
OTHER: Final = "OTHER"

_CALLS: Final = Counter("release_registry_calls_total", "Calls that ended", ["method", "code", "reason"])
INTERNAL_ERRORS: Final = Counter("release_registry_internal_errors_total", "Calls that failed by a defect of ours")
_CALL_SECONDS: Final = Histogram(
    "release_registry_call_seconds",
    "How long calls took",
    ["method"],
    buckets=(0.002, 0.01, 0.05, 0.25, 1, 5, 30, 300),
)
SLOW_CALLS: Final = Counter("release_registry_slow_calls_total", "Unary calls that took longer than is usual")
REFUSALS: Final = Counter(
    "release_registry_refusals_total", "Calls that were sent away before anything was read of them", ["reason"]
)
UNKNOWN_METHODS: Final = Counter(
    "release_registry_unknown_methods_total", "Calls of methods that the contract does not have"
)
AUTHENTICATION_FAILURES: Final = Counter(
    "release_registry_authentication_failures_total", "Calls without a good credential", ["reason"]
)
RECEIVED_BYTES: Final = Counter("release_registry_received_bytes_total", "Bytes of messages that came in")
SENT_BYTES: Final = Counter("release_registry_sent_bytes_total", "Bytes of messages that were sent")
SILENT_CALLS: Final = Counter(
    "release_registry_silent_calls_total", "Calls that were cut because their peer kept silent"
)

STUCK_CALLS: Final = Counter(
    "release_registry_stuck_calls_total", "Calls that had not ended a minute after their time was over"
)

JOB_SECONDS: Final = Summary("release_registry_job_seconds", "How long jobs of the housekeeping took", ["task"])
JOB_CHANGES: Final = Counter("release_registry_job_changes_total", "How much jobs of the housekeeping did", ["task"])
JOB_FAILURES: Final = Counter("release_registry_job_failures_total", "Jobs of the housekeeping that failed", ["task"])
JOB_DONE_TIMESTAMP: Final = Gauge(
    "release_registry_job_done_timestamp_seconds",
    "When a job of the housekeeping last ended well, since 1970",
    ["task"],
)
DISCOVERY_FAILURES: Final = Counter(
    "release_registry_discovery_failures_total", "Times that looking for the releases of sessions failed"
)

LOG_DROPPED_LINES: Final = Counter("release_registry_log_dropped_lines_total", "Lines of the log that nobody took")
AUDIT_LINES: Final = Counter(
    "release_registry_audit_lines_total", "Lines of the audit trail, by what they are about", ["kind"]
)
AUDIT_DROPPED_LINES: Final = Counter(
    "release_registry_audit_dropped_lines_total", "Lines of the audit trail that could not be written"
)

_BUILD: Final = Info("release_registry_build", "The version that runs")
_BUILD.info({"version": version("release-registry")})


class MethodFigures:
    """Counts the calls of one method. What it counts with is looked up once."""

    __slots__ = ("_ended", "_observe", "method")

    def __init__(self, path: str) -> None:
        self.method = path.removeprefix("/releaseregistry.v1.")
        self._observe = _CALL_SECONDS.labels(self.method).observe
        self._ended: dict[tuple[str, str], Callable[[], None]] = {}

    def ended(self, code: str, reason: str, seconds: float) -> None:
        """A call of it has ended so, after so long."""
        count = self._ended.get((code, reason))
        if count is None:
            count = self._ended[code, reason] = _outcome(self.method, code, reason)
        count()
        self._observe(seconds)


def _outcome(method: str, code: str, reason: str) -> Callable[[], None]:
    with _lock:
        if (method, code, reason) not in _outcomes:
            if len(_outcomes) >= MOST_OUTCOMES and reason:
                reason = OTHER
            else:
                _outcomes.add((method, code, reason))
    return _CALLS.labels(method, code, reason).inc


def figures_of(path: str) -> MethodFigures:
    """The figures of a method, by its path."""
    found = _methods.get(path)
    if found is None:
        with _lock:
            found = _methods.setdefault(path, MethodFigures(path))
    return found


_lock: Final = threading.Lock()
_methods: Final[dict[str, MethodFigures]] = {}
_outcomes: Final[set[tuple[str, str, str]]] = set()


def exposition(registry: CollectorRegistry = REGISTRY) -> bytes:
    """All metrics of this process, as Prometheus reads them."""
    return generate_latest(registry)


def serve_metrics(address: str, registry: CollectorRegistry = REGISTRY) -> tuple[int, Callable[[], None]]:
    """Serve metrics over HTTP from a thread of its own: the port, and what ends it. Raises CannotListen."""
    host, _, port = address.rpartition(":")
    try:
        served, thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    except OSError as error:
        raise CannotListen(f"Cannot listen on {address} for metrics: {error.strerror}.") from None

    def end() -> None:
        served.shutdown()
        served.server_close()
        thread.join()

    return served.server_port, end
