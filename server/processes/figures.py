"""The figures of all workers as one page, and those of their supervisor: what Prometheus asks several processes for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample

from server.processes.supervisor import Supervisor

LABEL: Final = "worker"


class WorkersFigures(Collector):
    """What each worker shows, with its number as a label, and how the workers are."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        """Ask all workers; one that does not answer in time is left out."""
        running = GaugeMetricFamily("release_registry_workers_running", "Worker processes that serve")
        running.add_metric([], self._supervisor.running)
        yield running
        restarts = CounterMetricFamily(
            "release_registry_worker_restarts", "Times that a worker process ended by itself", labels=[LABEL]
        )
        for child in self._supervisor.children:
            restarts.add_metric([str(child.number)], child.restarts)
        yield restarts
        yield from merged({number: text.decode() for number, text in self._supervisor.expositions().items()})


def merged(pages: dict[int, str]) -> Iterator[Metric]:
    """The families of all pages, each once, every sample with the number of its page."""
    families: dict[str, Metric] = {}
    for number, page in sorted(pages.items()):
        for family in text_string_to_metric_families(page):
            whole = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type, family.unit)
            )
            whole.samples.extend(
                Sample(sample.name, {LABEL: str(number), **sample.labels}, sample.value) for sample in family.samples
            )
    yield from families.values()


def registry_of(supervisor: Supervisor) -> CollectorRegistry:
    """What `serve_metrics` shows of a supervisor."""
    registry = CollectorRegistry()
    registry.register(WorkersFigures(supervisor))
    return registry
