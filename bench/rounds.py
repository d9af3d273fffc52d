"""Steps that take turns in rounds, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from bench.figures import keep
from bench.machine import GB, MB, Process, load

T = TypeVar("T")


def timed(action: Callable[[], Any]) -> float:
    """How many seconds it takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


class Took(NamedTuple):
    """What a step of one round took; cpu_seconds are those of the server."""

    seconds: float
    cpu_seconds: float
    size_bytes: int

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.size_bytes / self.seconds


class Rounds:
    """Takes down the steps of each round. A ratio is the median of the ratios that the rounds had, each in itself."""

    def __init__(self) -> None:
        self._took: defaultdict[str, list[Took]] = defaultdict(list)

    def step(self, name: str, work: Callable[[], T], *, size_bytes: int, server: Process | None = None) -> T:
        """Does the work, and answers what it answers."""
        before = server.cpu_seconds() if server else 0.0
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        cpu_seconds = server.cpu_seconds() - before if server else 0.0
        self._took[name].append(Took(seconds, cpu_seconds, size_bytes))
        return result

    def tell_round(self) -> None:
        """Prints the last round."""
        steps = (f"{name} {took[-1].rate / MB:.0f} MB/s" for name, took in self._took.items())
        print(f"round: {', '.join(steps)}; load {load():.1f}", flush=True)

    def tell_steps(self) -> None:
        """Prints the median of each step."""
        print(f"{'':28} {'MB/s':>7} {'server CPU s/GB':>16}")
        for name in self._took:
            print(f"{name:28} {self.rate(name) / MB:7.0f} {self.cpu_seconds_a_gb(name):16.2f}")
            keep(name, [took.rate / MB for took in self._took[name]], unit=" MB/s")

    def seconds(self, name: str) -> float:
        """The median of a step's seconds."""
        return statistics.median(took.seconds for took in self._took[name])

    def rate(self, name: str) -> float:
        """The median of a step's bytes a second."""
        return statistics.median(took.rate for took in self._took[name])

    def cpu_seconds_a_gb(self, name: str) -> float:
        """The median of the server's processor seconds for 1,000,000,000 bytes."""
        return statistics.median(took.cpu_seconds / (took.size_bytes / GB) for took in self._took[name])

    def ratios(self, name: str, other: str) -> list[float]:
        """How many times the rate of the other the first one had, round by round."""
        return [one.rate / two.rate for one, two in zip(self._took[name], self._took[other], strict=True)]
