"""Release health: sessions, what they say of releases, and who runs these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import grpc
from releaseregistry.v1.health_pb2 import (
    EnvironmentAdoption,
    GetAdoptionRequest,
    GetReleaseHealthRequest,
    GetReleaseHealthResponse,
    HealthPeriod,
)
from releaseregistry.v1.release_health_service_pb2_grpc import ReleaseHealthServiceStub
from releaseregistry.v1.sessions_pb2 import RecordedSessions, RecordSessionsRequest

from relctl.connection import Connection, repeat_while_busy
from relctl.errors import decode_error
from relctl.names import organization_name, project_name, release_name
from relctl.sessions import BATCH_SIZE, Feed, RecordedBatch, SessionItem, batches, counts_of, updates_of


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSpan:
    """What figures are of: a period that ends now (the last 14 days when nothing is said), or the time from `since` to
    before `until` (now when not said); in buckets of `interval`, whole hours or days."""

    period: HealthPeriod = HealthPeriod.HEALTH_PERIOD_UNSPECIFIED
    since: datetime | None = None
    until: datetime | None = None
    interval: timedelta | None = None


LAST_TWO_WEEKS: Final = HealthSpan()


def _nothing(_: int) -> None:
    """Progress that nobody watches."""


class Health:
    """ReleaseHealthService but for thresholds. Every method raises RegistryError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = ReleaseHealthServiceStub(connection.channel)

    def record_sessions(
        self, organization: str, items: Iterable[SessionItem], *, batch_size: int = BATCH_SIZE
    ) -> Iterator[RecordedBatch]:
        """Tell of sessions, `batch_size` (at most 10,000) and some 1 MB a call: an answer for each batch, which is safe
        when it is answered; the next one is sent when the next answer is asked for.

        Bad items are refused one by one in the answers, and all others kept. Whatever is sent again counts once: after
        an error begin anew, or behind the last batch that was answered.
        """
        for batch in batches(items, batch_size):
            request = RecordSessionsRequest(
                parent=organization_name(organization), updates=updates_of(batch), counts=counts_of(batch)
            )
            answer = self._connection.call(self._stub.RecordSessions, request)
            yield RecordedBatch(batch, answer.recorded)

    def stream_sessions(
        self,
        organization: str,
        items: Iterable[SessionItem],
        *,
        batch_size: int = BATCH_SIZE,
        progress: Callable[[int], None] = _nothing,
        deadline_seconds: float | None = None,
    ) -> RecordedSessions:
        """Tell of sessions in one stream, as they come: each `batch_size` of them, and the rest in the end, is kept
        before the next is read. Answers what was done with all of them.

        `progress` gets how many items have left so far, on a thread of its own. Items that can be walked again (a list,
        not a generator) are sent again, some times, while the server is UNAVAILABLE. An error that they raise is raised
        here, and what was sent till then is kept. Whatever is sent again counts once. No deadline unless one is said.
        """

        def send() -> RecordedSessions:
            feed = Feed(organization, items, size=batch_size, progress=progress)
            try:
                answer = self._stub.StreamSessions(
                    iter(feed), timeout=deadline_seconds, metadata=self._connection.metadata
                )
            except grpc.RpcError as error:
                if feed.error is not None:
                    raise feed.error from None
                raise decode_error(error) from None
            return answer.recorded

        return send() if iter(items) is items else repeat_while_busy(send)

    def get_release_health(
        self,
        organization: str,
        version: str,
        span: HealthSpan = LAST_TWO_WEEKS,
        *,
        projects: Sequence[str] = (),
        environments: Sequence[str] = (),
        breakdown: bool = False,
    ) -> GetReleaseHealthResponse:
        """Answer how healthy a release is in its projects (slugs; none: all that the token may access), in total and
        over time. Environments: only sessions of these, "" for those without one; none: all. `breakdown` adds what was
        known 1, 2, 7, 14 and 30 days after the release was created."""
        request = GetReleaseHealthRequest(
            name=release_name(organization, version),
            projects=[project_name(organization, project) for project in projects],
            environments=environments,
            period=span.period,
            breakdown=breakdown,
        )
        if span.since is not None:
            request.start_time.FromDatetime(span.since)
        if span.until is not None:
            request.end_time.FromDatetime(span.until)
        if span.interval is not None:
            request.interval.FromTimedelta(span.interval)
        return self._connection.call(self._stub.GetReleaseHealth, request)

    def get_adoption(
        self, organization: str, version: str, *, projects: Sequence[str] = (), environments: Sequence[str] = ()
    ) -> list[EnvironmentAdoption]:
        """Answer how far a release has come in each environment of its projects, and who runs it there."""
        request = GetAdoptionRequest(
            name=release_name(organization, version),
            projects=[project_name(organization, project) for project in projects],
            environments=environments,
        )
        return list(self._connection.call(self._stub.GetAdoption, request).adoptions)
