"""Floods in earnest, each against a server process of its own: `make drill-floods`.

Prints a line `GOAL id value limit PASS|FAIL` for each goal, and ends with 1 when one was missed. The clients share the
machine with the server, which nothing else should be busy on. `--scale 0.1` makes everything a tenth as large; `--only
fair` runs what begins so.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import grpc
from releaseregistry.v1 import files_pb2, organizations_pb2, releases_pb2, tokens_pb2

from bench.machine import MIB, Process, machine
from tests.floods.callers import OPTIONS, Callers, p99
from tests.floods.floods import (
    FRAME_FLOODS,
    PROVOCATIONS,
    flood,
    good_call,
    idle_uploads,
    provoked_resets,
    rapid_resets,
    slow_connections,
)
from tests.floods.wire import DOWNLOAD, HEALTH, UPLOAD, Cut, Wire
from tests.rpc.sending import content_of, frames, header
from tests.server_process import ServerProcess, Stubs

GET_RELEASE: Final = "/releaseregistry.v1.ReleaseService/GetRelease"
HANDSHAKE_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 5.0


class Drill:
    """What is to be reached, and whether it was."""

    def __init__(self, scale: float, only: str) -> None:
        self.missed = 0
        self._scale = scale
        self._only = only

    def times(self, count: int) -> int:
        """So many, scaled; some at least."""
        return max(50, int(count * self._scale))

    def goal(self, name: str, value: float, limit: float) -> None:
        """Print whether a value keeps within its limit."""
        kept = value <= limit
        self.missed += not kept
        print(f"GOAL {name} {value:.3f} {limit:g} {'PASS' if kept else 'FAIL'}", flush=True)

    @contextmanager
    def server(self, **settings: object) -> Iterator[ServerProcess]:
        """A server of its own, that has answered."""
        environment = {f"RELEASES_{name.upper()}": str(value) for name, value in settings.items()}
        with tempfile.TemporaryDirectory() as folder, ServerProcess(Path(folder), environment=environment) as running:
            for _ in range(20):
                good_call(running.address, running.token)
            yield running

    def run(self, parts: Mapping[str, Callable[[Drill], None]]) -> None:
        """Run the parts; one that fails misses its goals, and the next is run."""
        for name, part in parts.items():
            if not name.startswith(self._only):
                continue
            began = time.monotonic()
            try:
                part(self)
            except (AssertionError, Cut, OSError, grpc.RpcError) as error:
                self.missed += 1
                print(f"GOAL {name} - - FAIL {type(error).__name__}: {str(error)[:300]}", flush=True)
            print(f"  {name}: {time.monotonic() - began:.0f} s", flush=True)


def health_p99(address: str, calls: int) -> float:
    """Seconds that one in a hundred health checks exceeds, over one connection."""
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        check: Any = channel.unary_unary(HEALTH)
        check(b"", timeout=30, wait_for_ready=True)
        return p99([timed(lambda: check(b"", timeout=30)) for _ in range(calls)])


def timed(work: Callable[[], object], *, pause: float = 0.002) -> float:
    """How many seconds it takes; what follows begins a little later."""
    began = time.perf_counter()
    work()
    taken = time.perf_counter() - began
    time.sleep(pause)
    return taken


def idle_streams(drill: Drill) -> None:
    """A thousand idle uploads are offered: health answers, and so does a good call."""
    with drill.server(silence_seconds=30) as running:
        wires = idle_uploads(running.address, running.token, connections=20, streams=drill.times(1000) // 20)
        drill.goal("idle-streams-health-p99-ms", health_p99(running.address, 500) * 1e3, 50)
        drill.goal("idle-streams-good-call-s", timed(lambda: good_call(running.address, running.token)), 1)
        for wire in wires:
            wire.close()


def resets(drill: Drill) -> None:
    """Rapid resets, and resets that the server is made to send."""
    with drill.server() as running:
        kernel, count = Process(running.pid), drill.times(20_000)
        rapid_resets(running.address, running.token, 1_000)
        cpu, memory = kernel.cpu_seconds(), kernel.resident_bytes()
        rapid_resets(running.address, running.token, count)
        drill.goal("rapid-resets-cpu-s", kernel.cpu_seconds() - cpu, 1)
        drill.goal("rapid-resets-memory-mib", (kernel.resident_bytes() - memory) / MIB, 16)
        for kind in PROVOCATIONS:
            provoked_resets(running.address, running.token, kind, count // 4)
        drill.goal("provoked-resets-memory-mib", (kernel.resident_bytes() - memory) / MIB, 16)
        drill.goal("provoked-resets-good-call-s", timed(lambda: good_call(running.address, running.token)), 1)


def frame_floods(drill: Drill) -> None:
    """Every frame that can be sent over and over."""
    with drill.server() as running:
        kernel = Process(running.pid)
        memory, slowest, most = kernel.resident_bytes(), 0.0, 0
        for kind in FRAME_FLOODS:
            flood(running.address, running.token, kind, drill.times(100_000))
            slowest = max(slowest, timed(lambda: good_call(running.address, running.token)))
            most = max(most, kernel.resident_bytes())
        drill.goal("frame-floods-memory-mib", (most - memory) / MIB, 32)
        drill.goal("frame-floods-good-call-s", slowest, 1)


def silence(drill: Drill) -> None:
    """Connections that do not come to the end of their handshake."""
    with drill.server() as running:
        began = time.monotonic()
        crowd = slow_connections(running.address, running.token, drill.times(1000) * 2)
        silent = [each for number, each in enumerate(crowd) if number % 4 < 2]
        slowest = max(timed(lambda: good_call(running.address, running.token), pause=0.1) for _ in range(20))
        drill.goal("silent-connections-good-call-s", slowest, 1)
        ended = began
        for each in silent:
            each.settimeout(HANDSHAKE_SECONDS * 3)
            with suppress(ConnectionResetError):
                while each.recv(4096):
                    pass
            ended = time.monotonic()
        drill.goal("silent-connections-closed-s", ended - began, HANDSHAKE_SECONDS + 1)
        for each in crowd:
            each.close()


class Tenants:
    """Two organizations on a server, each with a release and a token."""

    def __init__(self, running: ServerProcess, channel: grpc.Channel) -> None:
        stubs, metadata = Stubs(channel), running.metadata
        self.secrets: dict[str, str] = {}
        for slug in ("acme", "other"):
            name, project = f"organizations/{slug}", f"organizations/{slug}/projects/web"
            organization = organizations_pb2.Organization(slug=slug)
            made = organizations_pb2.CreateOrganizationRequest(organization=organization)
            stubs.organizations.CreateOrganization(made, metadata=metadata)
            web = organizations_pb2.CreateProjectRequest(parent=name, project=organizations_pb2.Project(slug="web"))
            stubs.organizations.CreateProject(web, metadata=metadata)
            release = releases_pb2.Release(version="app@1.0.0", projects=[project])
            created = releases_pb2.CreateReleaseRequest(parent=name, release=release)
            stubs.releases.CreateRelease(created, metadata=metadata)
            token = tokens_pb2.Token(display_name="drill", scopes=["release:read", "release:write"], all_projects=True)
            asked = tokens_pb2.CreateTokenRequest(parent=name, token=token, request_id=str(uuid.uuid4()))
            self.secrets[slug] = stubs.tokens.CreateToken(asked, metadata=metadata).secret

    def get(self, slug: str) -> bytes:
        """The request for its release."""
        return releases_pb2.GetReleaseRequest(name=f"organizations/{slug}/releases/app@1.0.0").SerializeToString()


def fair(drill: Drill) -> None:
    """One organization calls as fast as it can; what another has of it."""
    with drill.server() as running, grpc.insecure_channel(running.address, options=OPTIONS) as channel:
        tenants = Tenants(running, channel)
        get: Any = channel.unary_unary(GET_RELEASE)
        request, metadata = tenants.get("other"), (("authorization", f"Bearer {tenants.secrets['other']}"),)

        def quantile(count: int) -> float:
            return p99([timed(lambda: get(request, metadata=metadata, timeout=30), pause=0.005) for _ in range(count)])

        calls = drill.times(1000)
        quantile(300)
        before = quantile(calls)
        flooding = Callers(running.address, tenants.secrets["acme"], GET_RELEASE, tenants.get("acme"), clients=40)
        try:
            # It is the server that is to be fair, not the kernel: the flood's own work comes after the other's.
            for task in Path(f"/proc/{flooding.pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(task.name), 10)
            flooding.begin()
            time.sleep(0.5)
            during = quantile(calls)
            seen = flooding.end()
        finally:
            flooding.kill()
        after = quantile(calls)
        print(f"  p99 alone {before * 1e3:.1f} and {after * 1e3:.1f} ms, in the flood {during * 1e3:.1f} ms; {seen}")
        drill.goal("fair-share-other-p99-ratio", during / max(before, after), 2)


def never_read(drill: Drill) -> None:
    """Downloads whose windows stay shut."""
    readers = min(200, drill.times(200))
    slots = {"call_slots": 256, "stream_slots": 256, "organization_percent": 100}
    with drill.server(silence_seconds=int(SILENCE_SECONDS), **slots) as running:
        with grpc.insecure_channel(running.address, options=OPTIONS) as channel:
            Tenants(running, channel)
            sent = frames(content_of(8 * MIB), header())
            file = Stubs(channel).releases.UploadReleaseFile(sent, metadata=running.metadata).file
        request = files_pb2.DownloadReleaseFileRequest(name=file.name).SerializeToString()
        kernel = Process(running.pid)
        memory, most, ends = kernel.resident_bytes(), 0, []
        wires = [Wire(running.address, token=running.token) for _ in range(readers)]

        def read(wire: Wire) -> None:
            # What is received is never acknowledged, so that the window of 64 KiB stays used up.
            began = time.monotonic()
            wire.wait_until_ended(wire.open(DOWNLOAD, request, half_close=True))
            ends.append(time.monotonic() - began)

        threads = [threading.Thread(target=read, args=(wire,)) for wire in wires]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            most = max(most, kernel.resident_bytes())
            time.sleep(0.1)
        for wire in wires:
            wire.close()
        drill.goal("never-reading-memory-mib-each", (most - memory) / MIB / readers, 1)
        # Not before the last has begun: the machine takes a while to open them all.
        drill.goal("never-reading-cut-s", max(ends), SILENCE_SECONDS + 2)
        drill.goal("never-reading-good-call-s", timed(lambda: good_call(running.address, running.token)), 1)


def storm(drill: Drill) -> None:
    """All stream slots are taken, and many want one, again and again."""
    with drill.server(silence_seconds=60) as running:
        holding = idle_uploads(running.address, running.token, connections=1, streams=24)
        assert good_call(running.address, running.token) == 0
        # Each of 200 clients comes back ten times, half a second apart: 2,000 in all, 400 a second.
        crowds = [
            Callers(running.address, running.token, UPLOAD, b"", clients=100, channels=10, pause=0.5) for _ in range(2)
        ]
        try:
            for crowd in crowds:
                crowd.begin()
            drill.goal("storm-health-p99-ms", health_p99(running.address, drill.times(500)) * 1e3, 50)
            time.sleep(4)
            seen = [crowd.end() for crowd in crowds]
        finally:
            for crowd in crowds:
                crowd.kill()
        print(f"  {seen}")
        refused = sum(each["calls"] - each["outcomes"]["OK"] for each in seen)
        assert refused, "nobody was refused"
        drill.goal("storm-refusals-p99-ms", max(each["refused_p99"] for each in seen) * 1e3, 50)
        for wire in holding:
            wire.close()


PARTS: Final = {
    "idle": idle_streams,
    "resets": resets,
    "frames": frame_floods,
    "silence": silence,
    "fair": fair,
    "never": never_read,
    "storm": storm,
}


def main() -> int:
    """Run the drill."""
    parser = argparse.ArgumentParser(prog="tests.floods.drill", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    print(machine(), flush=True)
    drill = Drill(options.scale, options.only)
    drill.run(PARTS)
    print(f"{drill.missed} missed" if drill.missed else "all reached")
    return int(drill.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
