"""Callers of two servers: what is cut they leave in doubt, and go on with something else."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from relctl.connection import channel_options, service_config
from tests.crash.ledger import Tally
from tests.crash.workload import BUSY, Worker, reason_of
from tests.server_process import ServerProcess, Stubs

# How a broken connection looks: a proxy that had begun an answer can only reset it, which is not always UNAVAILABLE.
BROKEN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}
PAUSE_SECONDS = 0.5


class Way(ServerProcess):
    """An address to call, and the operator's token: that of a server, or of the proxy in front of both."""

    def __init__(self, name: str, address: str, token: str) -> None:
        self.name = name
        self.address = address
        self.token = token

    @contextmanager
    def patient_channel(self) -> Iterator[grpc.Channel]:
        """A connection as relctl has one: it outlives those that become too old, and repeats what no server began."""
        options = {
            **channel_options(),
            "grpc.service_config": service_config(),
            "grpc.use_local_subchannel_pool": 1,
        }
        with grpc.insecure_channel(self.address, options=[*options.items()]) as channel:
            yield channel


class Caller(Worker):
    """A caller that outlives its server."""

    def __init__(self, number: int, *, seed: int, way: Way) -> None:
        self.made = Tally()
        super().__init__(number, seed=seed, tally=self.made)
        self.way = way
        self.cuts: Counter[str] = Counter()

    @property
    def answered(self) -> int:
        """How many calls were acknowledged so far."""
        return self.made.answered

    def work(self, over: threading.Event) -> None:
        """Call after call until it is over. A cut is counted, anything else that fails is a problem."""
        self._metadata = self.way.metadata
        with self.way.channel() as channel:
            stubs = Stubs(channel)
            while not over.is_set() and not self.problems:
                try:
                    self._one_call(stubs)
                except grpc.RpcError as error:
                    self._count(error, over)
                except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to; the drill fails with it
                    self.problems.append(f"caller {self._number}: {error!r}")

    def _count(self, error: grpc.RpcError, over: threading.Event) -> None:
        code, reason = error.code(), reason_of(error)
        if reason in BUSY:
            return
        self.cuts[f"{code.name} {reason or 'without a reason'}"] += 1
        if reason == "DRAINING" or (reason is None and code in BROKEN):
            over.wait(PAUSE_SECONDS)
            return
        self.problems.append(f"caller {self._number} by {self.way.name}: {code} {reason} {error.details()}")
