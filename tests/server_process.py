"""A real server in a process of its own: started, killed without warning, started again on the same data."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from releaseregistry.v1 import (
    admin_pb2_grpc,
    organizations_pb2_grpc,
    release_health_service_pb2_grpc,
    release_service_pb2_grpc,
    tokens_pb2_grpc,
    uploads_pb2_grpc,
)

OPERATOR_TOKEN = "rr_" + "operator-of-the-tests" * 2  # any text of 32 characters and more is taken
SERVER = Path(sys.executable).parent / "release-server"
START_SECONDS = 60.0


# Logs of all servers that were started, and up to where `defects_told` has read each.
_LOGS: dict[Path, int] = {}
# What the guard writes of a defect, and grpc of a handler that raised past the guard: its caller got UNKNOWN.
_DEFECTS = (
    b'"code": "INTERNAL"',
    b"Exception calling application",
    b"Exception iterating responses",
    b"Exception serializing message",
    b"Exception deserializing message",
)


class ServerDied(AssertionError):
    """The server process ended by itself; the message carries the end of what it printed."""


class ServerProcess:
    """`release-server serve` on a free port of 127.0.0.1, with its data below `folder`.

    On SQLite when `database` is None, else on that URL. The port, the data and the operator's token stay the same over
    restarts. `environment` adds settings, `RELEASES_…`; nothing of the test run's own settings leaks in. With
    `defaults` the server puts its data where it pleases and makes its own token: `data` and `token` then tell nothing
    until a test that knows better sets them. `program` is what is started in place of `release-server`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database: str | None = None,
        environment: Mapping[str, str] | None = None,
        defaults: bool = False,
        program: Sequence[str] = (str(SERVER),),
    ) -> None:
        self.data = folder / "data"
        self.database = database
        self.token = OPERATOR_TOKEN
        self.address = f"127.0.0.1:{own_port()}"
        self.log = folder / "server.log"
        self.exit_code: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._program = tuple(program)
        folder.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("RELEASES_", "RELCTL_", "GRPC_"))
            },
            "RELEASES_LISTEN": self.address,
            **({} if defaults else {"RELEASES_DATA": str(self.data), "RELEASES_BOOTSTRAP_TOKEN": self.token}),
            # One process, unless a test says otherwise: what is killed is then all there is.
            **({"RELEASES_DATABASE": database, "RELEASES_WORKERS": "1"} if database else {}),
            **(environment or {}),
        }

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call of the operator's carries."""
        return (("authorization", f"Bearer {self.token}"),)

    @property
    def pid(self) -> int:
        """The running server's process id."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def start(self, *, seconds: float = START_SECONDS) -> None:
        """Start, and return when health says SERVING. Raises `ServerDied` when the process ends before."""
        self.launch()
        try:
            self._wait_until_serving(seconds)
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start, and return at once."""
        assert self._process is None, "the server runs already"
        _LOGS.setdefault(self.log, 0)
        with self.log.open("ab") as log:
            # A session of its own, so that `kill` reaches everything the server may have started.
            self._process = subprocess.Popen(
                [*self._program, "serve"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL: no handler, no flush, no goodbye. Nothing happens when it does not run."""
        self._end(signal.SIGKILL, seconds=30.0)

    def stop(self, *, seconds: float = 60.0) -> int:
        """SIGTERM, and the exit code of the drained server."""
        return self._end(signal.SIGTERM, seconds=seconds)

    def wait(self, *, seconds: float = 60.0) -> int:
        """Return when it ended by itself, with its exit code: negative for a signal."""
        assert self._process is not None, "the server does not run"
        self.exit_code = self._process.wait(seconds)
        self._process = None
        return self.exit_code

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """A connection of its own, that knows nothing of the failures of an earlier one and repeats no call."""
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", 8 << 20),
        )
        with grpc.insecure_channel(self.address, options=options) as channel:
            yield channel

    def output(self) -> str:
        """All that the server printed, of every start."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kill()

    def _wait_until_serving(self, seconds: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + seconds
        with self.channel() as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while True:
                if self._process.poll() is not None:
                    raise ServerDied(f"exit code {self._process.returncode}:\n{self.output()[-4000:]}")
                try:
                    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                except grpc.RpcError:
                    pass
                if time.monotonic() > deadline:
                    raise ServerDied(f"not serving after {seconds} s:\n{self.output()[-4000:]}")
                time.sleep(0.02)

    def _end(self, number: signal.Signals, *, seconds: float) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(ProcessLookupError):  # it has ended by itself; its exit code says how
            (os.killpg if number == signal.SIGKILL else os.kill)(process.pid, number)
        try:
            self.exit_code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise ServerDied(f"still running {seconds} s after {number.name}:\n{self.output()[-4000:]}") from None
        return self.exit_code


class Stubs:
    """One stub a service, over one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.organizations = organizations_pb2_grpc.OrganizationServiceStub(channel)
        self.tokens = tokens_pb2_grpc.TokenServiceStub(channel)
        self.releases = release_service_pb2_grpc.ReleaseServiceStub(channel)
        self.uploads = uploads_pb2_grpc.UploadServiceStub(channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(channel)
        self.health = release_health_service_pb2_grpc.ReleaseHealthServiceStub(channel)


def defects_told() -> list[str]:
    """The lines about calls that ended INTERNAL or UNKNOWN, in the logs of all servers, since the last time."""
    found = []
    for log, offset in list(_LOGS.items()):
        if not log.exists():
            del _LOGS[log]
            continue
        with log.open("rb") as lines:
            lines.seek(offset)
            # A line that is being written is looked at when it is whole.
            new = lines.read().rpartition(b"\n")[0]
        _LOGS[log] = offset + len(new)
        found += [line.decode(errors="replace") for line in new.split(b"\n") if any(part in line for part in _DEFECTS)]
    return found


# Below what the kernel gives out by itself (on Linux from 32768 on, elsewhere from higher up): nobody gets one of these
# by chance, neither as a listener on port 0 nor as the near end of a connection.
_PORTS = range(15_000, 32_000)
_KEPT: list[socket.socket] = []


def own_port() -> int:
    """A TCP port of 127.0.0.1 that is this process's until it ends, also while nobody listens on it.

    The sign of who has it is a UDP socket on the same number, which no two processes can have, and which goes with the
    process however it ends.
    """
    while True:
        port = random.SystemRandom().choice(_PORTS)
        sign = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sign.bind(("127.0.0.1", port))
            with socket.create_server(("127.0.0.1", port)):
                pass
        except OSError:
            sign.close()
            continue
        _KEPT.append(sign)
        return port
