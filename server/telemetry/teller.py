"""Tells how calls ended: to the metrics, the log, the audit trail and the trace."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import grpc

from server.telemetry.audit import AUTHENTICATION, CHANGE, FailureQuota, write_audit
from server.telemetry.metrics import AUTHENTICATION_FAILURES, INTERNAL_ERRORS, SLOW_CALLS
from server.telemetry.named import MOST_NAMES, counts_of, named_by
from server.telemetry.tracing import CallSpan, Tracing

if TYPE_CHECKING:
    from server.edge.guard import Guard

log = logging.getLogger("server.edge")

SLOW_SECONDS: Final = 5.0

_NAMES: Final = {code: code.name for code in grpc.StatusCode}  # an enum takes its time to answer them


class Teller:
    """Tells of the calls of one server."""

    def __init__(self, *, slow_seconds: float = SLOW_SECONDS, tracing: Tracing | None = None) -> None:
        self._slow_seconds = slow_seconds
        self._tracing = tracing
        self._failures = FailureQuota()

    def begin(self, guard: Guard) -> CallSpan | None:
        """The span of a call that begins."""
        return None if self._tracing is None else self._tracing.begin(guard.tags, guard.metadata)

    def end(
        self,
        guard: Guard,
        *,
        level: int,
        code: grpc.StatusCode,
        reason: str,
        error: BaseException | None,
        error_id: str,
    ) -> None:
        """Tell of a call that has ended."""
        seconds = time.monotonic() - guard.started
        name = _NAMES[code]
        guard.figures.ended(name, reason, seconds)
        method = guard.method
        is_slow = seconds > self._slow_seconds and not method.takes_long
        if is_slow:
            SLOW_CALLS.inc()
            level = max(level, logging.WARNING)
        fails_to_authenticate = code is grpc.StatusCode.UNAUTHENTICATED
        # A stream whose token ended on the way may have changed something; who was never known has not.
        is_change = method.mutates and guard.access is not None
        is_logged = log.isEnabledFor(level)
        is_audited = fails_to_authenticate or method.mutates
        guard.tags.settle(told=is_logged or is_audited or guard.span is not None)
        if is_logged:
            fields = {
                "code": name,
                "reason": reason,
                "error_id": error_id,
                "slow": is_slow,
                "seconds": round(seconds, 6),
            }
            told = {key: value for key, value in fields.items() if value or key == "seconds"}
            log.log(level, "call ended", exc_info=error, extra={"fields": told})
        _count(code, reason)
        if is_change:
            write_audit(CHANGE, _trail(guard, name, reason) | _effects(guard))
        elif is_audited:
            self._write_failure(guard, name, reason)
        if guard.span is not None and self._tracing is not None:
            self._tracing.end(guard.span, guard.tags, code=name, status=code.value[0], reason=reason)

    def _write_failure(self, guard: Guard, code: str, reason: str) -> None:
        omitted = self._failures.take(time.monotonic())
        if omitted is not None:
            more = {"omitted": omitted} if omitted else {}
            write_audit(AUTHENTICATION, _trail(guard, code, reason) | more)


def _count(code: grpc.StatusCode, reason: str) -> None:
    if code is grpc.StatusCode.UNAUTHENTICATED:
        AUTHENTICATION_FAILURES.labels(reason).inc()
    elif code is grpc.StatusCode.INTERNAL:
        INTERNAL_ERRORS.inc()


def _trail(guard: Guard, code: str, reason: str) -> dict[str, Any]:
    """Who called what, from where, and what came of it; tags of the call are added by the log."""
    access = guard.access
    fields = {
        "code": code,
        "reason": reason,
        "caller": access.caller if access else "",
        "certificate": (access.certificate if access else "") or list(guard.names),
        "peer": guard.peer,
    }
    return {name: value for name, value in fields.items() if value}


def _effects(guard: Guard) -> dict[str, Any]:
    """The resources that the call was about, and those that it answered with; counts of what it did."""
    resources = dict.fromkeys(guard.tags.named.resources)
    fields: dict[str, Any] = {}
    answer = guard.answered
    if answer is not None:
        told = named_by(answer)
        resources |= dict.fromkeys(told.resources)
        fields.update(counts_of(answer))
        if told.organization and not guard.tags.named.organization:  # one that was just created
            fields["organization"] = told.organization
    if guard.only_validates:
        fields["validate_only"] = True
    if resources:
        fields["resources"] = list(resources)[:MOST_NAMES]
    return fields
