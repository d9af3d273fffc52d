"""Many callers in a process of their own: `python -m tests.floods.callers`, which drills start and stop.

Each caller calls, waits for the answer and calls again, and cares for no RetryInfo. The process prints one line of JSON
when it is ready, calls when it reads a line, and prints what it saw when it reads another.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))


class Callers:
    """The process, from outside. `begin` it, `end` it; or use it as a context manager that begins and kills."""

    def __init__(
        self,
        address: str,
        token: str,
        method: str,
        request: bytes,
        *,
        clients: int,
        channels: int = 8,
        pause: float = 0,
    ) -> None:
        arguments = [address, method, request.hex(), str(clients), str(channels), str(pause)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.floods.callers", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "FLOOD_TOKEN": token},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the callers did not start"

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def begin(self) -> None:
        """Call from now on."""
        self._say()

    def end(self) -> dict[str, Any]:
        """What came: how many `calls`, how many `outcomes` of each code and reason, and `refused_p99` in seconds."""
        self._say()
        output, _ = self._process.communicate(timeout=60)
        seen: dict[str, Any] = json.loads(output)
        return seen

    def kill(self) -> None:
        """End the process, however it fares."""
        self._process.kill()
        self._process.wait()

    def _say(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


def p99(seconds: Sequence[float]) -> float:
    """What one in a hundred exceeds; the largest of fewer."""
    return sorted(seconds)[max(0, len(seconds) * 99 // 100 - 1)] if seconds else 0.0


def reason_of(error: Any) -> str:
    """The reason that a refusal carries, or its code."""
    status = rpc_status.from_call(error)
    for detail in () if status is None else status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            return str(error_details_pb2.ErrorInfo.FromString(detail.value).reason)
    return str(error.code().name)


def main() -> None:
    """Call, and tell what came of it."""
    parser = argparse.ArgumentParser()
    for name in ("address", "method", "request"):
        parser.add_argument(name)
    parser.add_argument("clients", type=int)
    parser.add_argument("channels", type=int)
    parser.add_argument("pause", type=float)
    options = parser.parse_args()
    metadata = (("authorization", f"Bearer {os.environ['FLOOD_TOKEN']}"),)
    channels = [grpc.insecure_channel(options.address, options=OPTIONS) for _ in range(options.channels)]
    for channel in channels:
        grpc.channel_ready_future(channel).result(30)
    go_on, stop = threading.Event(), threading.Event()
    refused: list[float] = []
    answered: list[float] = []
    reasons: Counter[str] = Counter()

    def caller(number: int) -> None:
        call: Any = channels[number % len(channels)].unary_unary(options.method)
        request = bytes.fromhex(options.request)
        go_on.wait()
        while not stop.is_set():
            began = time.perf_counter()
            try:
                call(request, metadata=metadata, timeout=30)
            except grpc.RpcError as error:
                refused.append(time.perf_counter() - began)
                reasons[reason_of(error)] += 1
            else:
                answered.append(time.perf_counter() - began)
            if options.pause:
                stop.wait(options.pause)

    threads = [threading.Thread(target=caller, args=(number,), daemon=True) for number in range(options.clients)]
    for thread in threads:
        thread.start()
    print(json.dumps({"ready": options.clients}), flush=True)
    sys.stdin.readline()
    go_on.set()
    sys.stdin.readline()
    stop.set()
    for thread in threads:
        thread.join(35)
    print(
        json.dumps(
            {
                "calls": len(answered) + len(refused),
                "outcomes": {"OK": len(answered), **reasons},
                "refused_p99": p99(refused),
                "answered_p99": p99(answered),
            }
        )
    )


if __name__ == "__main__":
    main()
