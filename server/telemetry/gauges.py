"""Figures that are looked at when somebody asks for the metrics: what the servers of a process show just now."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server.lanes.lanes import Lane


class Shown(Protocol):
    """What a server shows of itself."""

    @property
    def lanes(self) -> Iterable[Lane]:
        """Its lanes."""
        ...

    @property
    def is_draining(self) -> bool:
        """Whether it takes no more calls."""
        ...

    @property
    def blobs_writable(self) -> bool:
        """Whether files can be written."""
        ...

    @property
    def folders(self) -> Mapping[str, Path]:
        """Where it keeps data on disks of its own, by what."""
        ...

    @property
    def certificate_expiry(self) -> float | None:
        """Until when its certificate is good, in seconds since 1970; None without one."""
        ...

    def database_gauges(self) -> Mapping[str, float]:
        """What its database tells of itself."""
        ...


DATABASE_GAUGES: Final = {
    "wal_bytes": "Size of SQLite's write-ahead log",
    "writes_waiting": "Writes that wait for the writer of SQLite",
    "pool_connections_max": "How many connections to PostgreSQL there may be",
    "pool_connections_used": "Connections to PostgreSQL that are in use",
    "pool_callers_waiting": "Callers that wait for a connection to PostgreSQL",
}


class Gauges(Collector):
    """Collects what servers of this process show: one, but in tests. Figures of several are added up."""

    def __init__(self) -> None:
        self._servers: weakref.WeakSet[Shown] = weakref.WeakSet()

    def show(self, server: Shown) -> None:
        """Show the server from now on."""
        self._servers.add(server)

    def hide(self, server: Shown) -> None:
        """Show it no more."""
        self._servers.discard(server)

    def collect(self) -> Iterator[Metric]:
        """The families of metrics, also those that have no value now."""
        servers = list(self._servers)
        yield from _lanes(servers)
        yield from _states(servers)
        yield from _disks(servers)
        yield from _database(servers)


def _lanes(servers: Iterable[Shown]) -> Iterator[Metric]:
    slots = GaugeMetricFamily("release_registry_lane_slots", "How many calls a lane takes at a time", labels=["lane"])
    running = GaugeMetricFamily("release_registry_lane_calls", "Calls that are in a lane now", labels=["lane"])
    begun = CounterMetricFamily("release_registry_lane_calls_begun", "Calls that a lane has taken", labels=["lane"])
    lanes: dict[str, list[Lane]] = {}
    for server in servers:
        for lane in server.lanes:
            lanes.setdefault(lane.name, []).append(lane)
    for name, same in sorted(lanes.items()):
        slots.add_metric([name], sum(lane.slots for lane in same))
        running.add_metric([name], sum(lane.busy for lane in same))
        begun.add_metric([name], sum(lane.begun for lane in same))
    yield from (slots, running, begun)


def _states(servers: Iterable[Shown]) -> Iterator[Metric]:
    draining = GaugeMetricFamily("release_registry_draining", "1 while the server takes no more calls")
    writable = GaugeMetricFamily("release_registry_blobs_writable", "0 when files are read-only until a restart")
    expiry = GaugeMetricFamily(
        "release_registry_certificate_expiry_timestamp_seconds",
        "Until when the server's certificate is good, since 1970",
    )
    threads = GaugeMetricFamily("release_registry_threads", "Threads of the process", value=threading.active_count())
    for server in servers:
        draining.samples.clear()
        draining.add_metric([], server.is_draining)
        writable.samples.clear()
        writable.add_metric([], server.blobs_writable)
        if server.certificate_expiry is not None:
            expiry.samples.clear()
            expiry.add_metric([], server.certificate_expiry)
    yield from (draining, writable, expiry, threads)


def _disks(servers: Iterable[Shown]) -> Iterator[Metric]:
    free = GaugeMetricFamily("release_registry_disk_free_bytes", "Room on a disk that data is on", labels=["place"])
    size = GaugeMetricFamily("release_registry_disk_size_bytes", "Size of a disk that data is on", labels=["place"])
    for place, folder in {place: folder for server in servers for place, folder in server.folders.items()}.items():
        try:
            disk = os.statvfs(folder)
        except OSError:  # it is gone, which other figures tell
            continue
        free.add_metric([place], disk.f_bavail * disk.f_frsize)
        size.add_metric([place], disk.f_blocks * disk.f_frsize)
    yield from (free, size)


def _database(servers: Iterable[Shown]) -> Iterator[Metric]:
    values: dict[str, float] = {}
    for server in servers:
        for name, value in server.database_gauges().items():
            values[name] = values.get(name, 0) + value
    for name, text in DATABASE_GAUGES.items():
        family = GaugeMetricFamily(f"release_registry_database_{name}", text)
        if name in values:
            family.add_metric([], values[name])
        yield family


GAUGES: Final = Gauges()
REGISTRY.register(GAUGES)
