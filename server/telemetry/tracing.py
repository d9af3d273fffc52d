"""Traces of calls, for whoever has OpenTelemetry: nothing of it is imported unless an endpoint is set.

A call is a span, with the tags that its log lines have, below the one that its caller names in `traceparent`. Reads
and writes of the database and of packs that its own thread does are spans below it.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from server.telemetry.call_tags import CallTags
from store.metrics import watch

MOST_OPERATIONS: Final = 100
"""A stream goes on for hours; of its reads and writes so many are shown."""
CLOSE_SECONDS: Final = 2.0


class CallSpan:
    """The span of a call that is under way."""

    __slots__ = ("operations", "span")

    def __init__(self, span: Any) -> None:
        self.span = span
        self.operations = 0


_span_of_call: Final[contextvars.ContextVar[CallSpan | None]] = contextvars.ContextVar("span_of_call", default=None)


class Tracing:
    """Makes spans and sends them to an OTLP endpoint over HTTP, by a thread of its own.

    `processor` takes the spans in place of that, for tests. Raises ImportError without OpenTelemetry.
    """

    def __init__(self, endpoint: str, *, processor: Any = None) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        about = {"service.name": "release-registry", "service.version": version("release-registry")}
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(
            processor or BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"))
        )
        self._tracer = self._provider.get_tracer("release-registry")
        self._propagator = TraceContextTextMapPropagator()
        self._trace = trace
        self._unwatch = watch(self._operation)

    def begin(self, tags: CallTags, metadata: Mapping[str, str | bytes]) -> CallSpan:
        """The span of a call that begins now, on this thread."""
        parent = self._propagator.extract({key: text for key, text in metadata.items() if isinstance(text, str)})
        service, _, method = tags.method.partition("/")
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": f"releaseregistry.v1.{service}",
            "rpc.method": method,
            "request_id": tags.request_id,
        }
        kind = self._trace.SpanKind.SERVER
        span = CallSpan(self._tracer.start_span(tags.method, context=parent, kind=kind, attributes=attributes))
        _span_of_call.set(span)
        return span

    def end(self, call: CallSpan, tags: CallTags, *, code: str, status: int, reason: str) -> None:
        """The call has ended so."""
        _span_of_call.set(None)
        span = call.span
        if span.is_recording():
            named = tags.named
            span.set_attribute("rpc.grpc.status_code", status)
            for name, value in (
                ("code", code),
                ("reason", reason),
                ("token_id", tags.token_id),
                ("organization", named.organization),
                ("projects", list(named.projects)),
            ):
                if value:
                    span.set_attribute(name, value)
            if code in {"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "DEADLINE_EXCEEDED"}:
                span.set_status(self._trace.StatusCode.ERROR, reason)
        span.end()

    def close(self) -> None:
        """Send what is left, and end."""
        self._unwatch()
        self._provider.force_flush(int(CLOSE_SECONDS * 1000))
        self._provider.shutdown()

    def _operation(self, name: str, began: float) -> None:
        call = _span_of_call.get()
        if call is None or call.operations >= MOST_OPERATIONS or not call.span.is_recording():
            return
        call.operations += 1
        end = time.time_ns()
        start = end - int((time.perf_counter() - began) * 1e9)
        parent = self._trace.set_span_in_context(call.span)
        self._tracer.start_span(name, context=parent, start_time=start).end(end)
