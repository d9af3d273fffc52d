"""A running server: its lanes, its port, how it drains and how it ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from server.discovery import Discovery
from server.edge.edge import CallLimits, Edge
from server.edge.errors import CallsBusy, Draining, MetadataTooLarge, OrganizationBusy, StreamsBusy
from server.edge.idle import IdleWatch
from server.edge.vigil import Vigil
from server.health import Health
from server.housekeeping import Housekeeping
from server.jobs import jobs
from server.lanes.lanes import MAX_METADATA_BYTES, Lane, Route, Router, handler
from server.lanes.shares import TURNS
from server.lanes.stream_counts import StreamCounts
from server.reflection import REFLECTION_SLOTS, reflection_routes
from server.settings import Settings
from server.telemetry.audit import reopen_audit
from server.telemetry.gauges import GAUGES
from server.telemetry.metrics import STUCK_CALLS
from server.telemetry.stacks import stacks
from server.telemetry.teller import Teller
from server.telemetry.tracing import Tracing
from server.tls.certificates import CertificateWrong
from server.tls.client_certificates import ClientCertificates
from server.tls.client_grants import GrantsWrong
from server.tls.reloading import Tls
from server.transport import CannotListen, grpc_options, try_to_listen
from store import Store
from store.access.credentials import Authenticator
from store.blobs.collector import Collector
from store.errors import RegistryError
from store.quotas.streams import StreamQuotas

log = logging.getLogger("server.serving")

# After the grace, for streams to come to their next message and end with DRAINING, and for that to reach their callers.
END_SECONDS: Final = 1.0
FLUSH_SECONDS: Final = 0.2
# So long callers are sent away at least before connections end. Shorter than the first pause of the retry policy.
TURN_SECONDS: Final = 0.15
# After that, for handlers to notice that their calls were cut.
CUT_SECONDS: Final = 5.0
# Stacks of many threads are long, and those of a minute ago tell the same.
STACKS_SECONDS: Final = 60.0
NEVER_LOGGED: Final = float("-inf")


class Server:
    """A server, put together and not yet listening. `start` it, `drain` it, `close` it; or `close` it alone.

    `store` is what it serves. `made_operator_token` tells whether it wrote the operator's token file just now.
    `shares_port` says that other processes listen on the address as well. `on_stuck` is called, from another thread,
    when a call has not ended long after its time was over, which `stuck_calls` counts, or none can begin for want of a
    thread. `on_dead` is called when it can answer nothing any more, and only its process can be ended.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        services: Mapping[ServiceDescriptor, object],
        *,
        collector: Collector,
        shares_port: bool = False,
    ) -> None:
        self.settings = settings
        self.on_stuck: Callable[[], object] = lambda: None
        self.on_dead: Callable[[], object] = lambda: None
        self.stuck_calls = 0
        self._stacks_logged = NEVER_LOGGED
        self._shares_port = shares_port
        self._handed_over = False
        self.store = store
        self.made_operator_token = False
        self.port = 0
        self.housekeeping = Housekeeping(
            {
                **jobs(store, collector, settings.session_limits, lambda: self._closing),
                "certificate": self._look_at_certificate,
            }
        )
        self._closing = False
        self.tls: Tls | None = None
        self._clients = None if settings.tls_client_ca is None else ClientCertificates(store.db, settings.tls_clients)
        self.discovery = Discovery(store.db, store.sought)
        self._watch = IdleWatch(on_overdue=self._stuck)
        self._tracing = Tracing(settings.otlp_endpoint) if settings.otlp_endpoint else None
        self._calls = Lane("calls", settings.call_slots, percent=settings.organization_percent, turns=TURNS)
        self._streams = Lane("streams", settings.stream_slots, percent=settings.organization_percent)
        self._vigil = Vigil(each_second=self._each_second)
        self._reflection = Lane("reflection", REFLECTION_SLOTS)
        self._refusals = Lane("refusals", 2)
        self._health = Health(
            [service.full_name for service in services], self._watch, takes_writes=lambda: self.takes_writes
        )
        self._edge = Edge(
            authenticate=Authenticator(store.db),
            clients=self._clients,
            teller=Teller(slow_seconds=settings.slow_seconds, tracing=self._tracing),
            page_tokens=store.page_tokens,
            watch=self._watch,
            vigil=self._vigil,
            calls=self._calls,
            streams=self._streams,
            stream_counts=StreamCounts(StreamQuotas(store.db)),
            limits=CallLimits(unary=settings.call_seconds, silence=settings.silence_seconds),
        )
        self._router = Router(
            self._routes(services),
            holders=self._edge.holders,
            when_draining=self._refusal(Draining()),
            when_too_much=self._refusal(MetadataTooLarge(MAX_METADATA_BYTES)),
        )
        self._grpc = grpc.server(
            # Every handler brings its lane; grpc asks for a pool all the same.
            ThreadPoolExecutor(1, thread_name_prefix="lane-none"),
            handlers=[self._router],
            options=grpc_options(settings, shares_port=shares_port),
        )
        self._started = self._draining = False

    @property
    def address(self) -> str:
        """Where it listens, as host:port with the real port."""
        return f"{self.settings.listen.rpartition(':')[0]}:{self.port}"

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Its lanes, for the metrics, as what follows."""
        return (self._calls, self._streams, self._reflection, self._refusals, self._health.lane)

    @property
    def is_draining(self) -> bool:
        """Whether it takes no more calls."""
        return self._draining

    @property
    def blobs_writable(self) -> bool:
        """Whether files can be written."""
        return self.store.blobs.packs.writable

    @property
    def takes_writes(self) -> bool:
        """Whether what was last written was taken: by the database, and by the place of files."""
        return self.store.db.takes_writes and self.store.blobs.packs.takes_writes

    @property
    def folders(self) -> dict[str, Path]:
        """Where it keeps data, by what."""
        folders = {"data": self.settings.data}
        if self.settings.uses_sqlite:
            folders["database"] = Path(self.settings.database.removeprefix("sqlite://")).parent
        return folders

    @property
    def certificate_expiry(self) -> float | None:
        """Until when its certificate is good, in seconds since 1970; None without one."""
        return None if self.tls is None else self.tls.expire_time.timestamp()

    def database_gauges(self) -> Mapping[str, float]:
        """What its database tells of itself."""
        return self.store.db.gauges()

    @property
    def running_calls(self) -> int:
        """How many calls are being worked on, health and reflection aside."""
        return self._calls.busy + self._streams.busy

    def start(self) -> None:
        """Listen and serve. Raises CannotListen."""
        self.port = self._bind()
        self._watch.start()
        self._vigil.start()
        others = threading.enumerate()
        self._grpc.start()
        for thread in threading.enumerate():
            if thread not in others and thread.name.endswith("(_serve)"):  # as grpc's function for it is called
                threading.Thread(target=self._outlive, args=(thread,), name="serving-watch", daemon=True).start()
        self._started = True
        GAUGES.show(self)
        self.housekeeping.start()
        self.discovery.start()

    def reload(self) -> None:
        """Read again what may change while it serves: the files of TLS. What is bad is told and changes nothing.

        Running calls go on, but for streams whose caller may no longer do what they do.
        """
        reopen_audit()
        if self.tls is not None:
            self.tls.reload()
        if self._clients is not None:
            try:
                names = self._clients.load()
            except GrantsWrong as error:
                fields = {"problem": str(error)}
                log.error("the names of clients are kept: the new ones cannot be used", extra={"fields": fields})
            else:
                log.info("the names of clients were read", extra={"fields": {"names": names}})
        log.info("reloaded")

    def drain(self, *, seconds: float, hurry: Callable[[], bool] = lambda: False, hand_over: bool = False) -> None:
        """Take no more calls, and return when the running ones have ended, after `seconds` or when `hurry` says so.

        Health says NOT_SERVING from the first moment and goes on answering; other calls get DRAINING, and in the end
        the streams that still run, too. What then waits for its peer, or is no stream, is left to `close`.

        With `hand_over` others serve on the address: it is let go of at once, and clients are told to connect anew.
        """
        self._draining = True
        self._router.drain()
        began = time.monotonic()
        if hand_over:
            # grpc ends what reaches it between the stop and the word of it to the clients with CANCELLED, which nobody
            # repeats. So all who are calling are sent away first, and are waiting for their next try meanwhile. Health
            # says nothing: on a connection made anew it is that of a process that serves.
            time.sleep(TURN_SECONDS)
            self._grpc.stop(seconds + END_SECONDS + 2 * FLUSH_SECONDS)
            self._handed_over = True
        else:
            self._health.stop_serving()
        self.housekeeping.stop(seconds=0)  # whoever is sent away now finds all there that he left
        self.discovery.stop(seconds=0)
        log.info("draining", extra={"fields": {"running_calls": self.running_calls}})
        deadline = time.monotonic() + seconds
        while self.running_calls and time.monotonic() < deadline and not hurry():
            for lane in (self._calls, self._streams):
                lane.wait_until_idle(min(deadline, time.monotonic() + 0.05))
        if not hand_over:  # else a call that was let in just before is in no lane yet
            time.sleep(max(0.0, began + TURN_SECONDS - time.monotonic()))
        left = self.running_calls
        self._edge.end_streams()
        if left and not self._streams.wait_until_idle(time.monotonic() + END_SECONDS):
            self._vigil.end_all(Draining())  # those whose peer sends nothing
            self._streams.wait_until_idle(time.monotonic() + FLUSH_SECONDS)
        log.info(
            "drained", extra={"fields": {"ended_calls": left - self.running_calls, "cut_calls": self.running_calls}}
        )

    def close(self, *, leaves: bool = False) -> bool:
        """Cut what still runs and let go of everything; whether every handler ended, so that it could.

        With `leaves` the process ends right after: connections on which nothing runs end with it, and not before.
        """
        self._closing = True
        GAUGES.hide(self)
        leaves = leaves and not self.running_calls and not self._handed_over
        if self._started and leaves:
            time.sleep(FLUSH_SECONDS)
        elif self._started:
            self._grpc.stop(FLUSH_SECONDS).wait(CUT_SECONDS)
        self.housekeeping.stop(seconds=CUT_SECONDS)
        self.discovery.stop(seconds=CUT_SECONDS)
        self._watch.stop()
        self._vigil.stop()
        deadline = time.monotonic() + CUT_SECONDS
        # The other lanes go on to send calls away, and need nothing of what is closed here.
        lanes = (self._calls, self._streams) if leaves else tuple(self.lanes)
        idle = [lane.wait_until_idle(deadline) for lane in lanes]
        if not leaves:
            for lane in lanes:
                lane.shutdown(wait=False, cancel_futures=True)
        if not all(idle):
            # What still runs may use them, and they bear being left open: a killed server leaves them so, too.
            log.warning("some calls did not notice that they were cut")
            return False
        if self._tracing is not None:
            self._tracing.close()
        self.store.blobs.close()
        self.store.db.close()
        return True

    def _outlive(self, serving: threading.Thread) -> None:
        """Tell when grpc's one serving thread ends by itself: connections would be taken, and no call be answered."""
        serving.join()
        if not (self._draining or self._closing):
            log.critical("calls are not served any more: the thread that takes them has ended")
            self.on_dead()

    def _each_second(self) -> None:
        self._health.tell_of_writes()
        for lane in self.lanes:
            if not lane.look_after():
                self.on_stuck()

    def _stuck(self, count: int) -> None:
        self.stuck_calls += count
        STUCK_CALLS.inc(count)
        now = time.monotonic()
        if now - self._stacks_logged > STACKS_SECONDS:
            self._stacks_logged = now
            log.error("calls do not end", extra={"fields": {"calls": count, "stacks": stacks()}})
        self.on_stuck()

    def _bind(self) -> int:
        listen, settings = self.settings.listen, self.settings
        if not self._shares_port:
            try_to_listen(listen)
        try:
            if settings.tls_certificate is None or settings.tls_key is None:
                return self._grpc.add_insecure_port(listen)
            self.tls = Tls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
            self.tls.warn()
            if self._clients is not None:
                self._clients.load()
            return self._grpc.add_secure_port(listen, self.tls.credentials())
        except (CertificateWrong, GrantsWrong) as error:
            raise CannotListen(str(error)) from None
        except RuntimeError:
            raise CannotListen(f"Cannot listen on {listen}: the address was just taken.") from None

    def _look_at_certificate(self) -> bool:
        return self.tls is not None and self.tls.warn()

    def _routes(self, services: Mapping[ServiceDescriptor, object]) -> dict[str, Route]:
        busy = {
            self._calls: self._refusal(CallsBusy(self._calls.slots)),
            self._streams: self._refusal(StreamsBusy(self._streams.slots)),
        }
        share_taken = {lane: self._refusal(OrganizationBusy(lane.name, lane.shares.limit)) for lane in busy}
        routes = self._health.routes()
        for service, servicer in services.items():
            for method, behaviour in self._edge.behaviours(service, servicer).items():
                lane = self._edge.lane_of(method)
                ends = method.can_be_ended
                bound = handler(behaviour, lane, server_streams=method.server_streams or ends, non_blocking=ends)
                routes[method.path] = Route(bound, lane, busy[lane], share_taken[lane])
        if self.settings.reflection:
            names = [service.full_name for service in services]
            reflection_busy = self._refusal(StreamsBusy(self._reflection.slots))
            routes |= reflection_routes(names, self._watch, self._reflection, reflection_busy)
        return routes

    def _refusal(self, error: RegistryError) -> grpc.RpcMethodHandler[Any, Any]:
        return handler(self._edge.refusal(error), self._refusals, server_streams=False)
