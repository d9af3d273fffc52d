"""The end of a server, with real processes and real signals."""

from __future__ import annotations

import json
import os
import pty
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from releaseregistry.v1 import commits_pb2, files_pb2, organizations_pb2, releases_pb2, tokens_pb2

from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.serving import served
from tests.rpc.wire import raises_reason
from tests.server_process import OPERATOR_TOKEN, ServerProcess, Stubs, own_port

NAME = "organizations/acme/releases/app@1.0.0"
WAIT = 60.0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "process", environment={"RELEASES_DRAIN_SECONDS": "600"}) as running:
        yield running


def exit_code(process: ServerProcess) -> int:
    """The exit code of a server that was asked to end, without asking it again."""
    assert process._process is not None
    process._process.wait(WAIT)
    return process.stop()


class OpenStream:
    """A SetCommits call that has sent its first message and waits for the test to finish it."""

    def __init__(self, process: ServerProcess, stubs: Stubs) -> None:
        metadata = process.metadata
        organization = organizations_pb2.Organization(slug="acme")
        stubs.organizations.CreateOrganization(
            organizations_pb2.CreateOrganizationRequest(organization=organization), metadata=metadata
        )
        stubs.organizations.CreateProject(
            organizations_pb2.CreateProjectRequest(
                parent="organizations/acme", project=organizations_pb2.Project(slug="web")
            ),
            metadata=metadata,
        )
        release = releases_pb2.Release(version="app@1.0.0", projects=["organizations/acme/projects/web"])
        stubs.releases.CreateRelease(
            releases_pb2.CreateReleaseRequest(parent="organizations/acme", release=release), metadata=metadata
        )
        self._messages: queue.Queue[commits_pb2.SetCommitsRequest | None] = queue.Queue()
        self._messages.put(commits_pb2.SetCommitsRequest(name=NAME, commits=[commits_pb2.Commit(id="a")]))
        self.call: Any = stubs.releases.SetCommits.future(iter(self._messages.get, None), metadata=metadata)
        # Over one connection calls begin in order: when this one is answered, the stream has its slot.
        whoami(process, stubs)

    def finish(self) -> releases_pb2.SetCommitsResponse:
        self._messages.put(commits_pb2.SetCommitsRequest(finish=True, commit_count=1))
        self._messages.put(None)
        answer: releases_pb2.SetCommitsResponse = self.call.result(WAIT)
        return answer


def wait_for_not_serving(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    deadline = time.monotonic() + WAIT
    while stub.Check(health_pb2.HealthCheckRequest(), timeout=WAIT).status == health_pb2.HealthCheckResponse.SERVING:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def whoami(process: ServerProcess, stubs: Stubs) -> None:
    stubs.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=process.metadata, timeout=WAIT)


def test_sigterm_lets_running_calls_end_and_refuses_new_ones_with_draining(process: ServerProcess) -> None:
    with process.channel() as channel, process.channel() as other:
        stubs = Stubs(channel)
        stream = OpenStream(process, stubs)
        os.kill(process.pid, signal.SIGTERM)
        wait_for_not_serving(channel)
        for stub in (stubs, Stubs(other)):  # an old connection and a new one
            with raises_reason("DRAINING", "UNAVAILABLE") as refusal:
                whoami(process, stub)
            assert refusal.retry_seconds is not None
        assert stream.finish().release.commit_count == 1
    assert exit_code(process) == 0


def test_a_server_without_calls_ends_at_once(process: ServerProcess) -> None:
    assert process.stop(seconds=WAIT) == 0  # a tenth of the grace, which nobody needed


def test_a_second_signal_cuts_what_still_runs(process: ServerProcess) -> None:
    with process.channel() as channel:
        stream = OpenStream(process, Stubs(channel))
        os.kill(process.pid, signal.SIGTERM)
        wait_for_not_serving(channel)
        os.kill(process.pid, signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as cut:
            stream.call.result(WAIT)
        assert cut.value.code() == grpc.StatusCode.UNAVAILABLE
    assert exit_code(process) == 0
    assert "FRAME_OUT_OF_ORDER" not in process.output()  # it did not end: we cut it
    # Nothing of the cut call was kept, and the server starts again on its data.
    process.start()
    with process.channel() as channel:
        answer = Stubs(channel).releases.GetRelease(
            releases_pb2.GetReleaseRequest(name=NAME), metadata=process.metadata
        )
        assert answer.release.commit_count == 0


@pytest.mark.parametrize("grace,signals", [("1", 1), ("600", 2)])
def test_a_stream_that_goes_on_when_the_grace_is_over_ends_with_draining(
    tmp_path: Path, grace: str, signals: int
) -> None:
    with (
        ServerProcess(tmp_path, environment={"RELEASES_DRAIN_SECONDS": grace}) as process,
        process.channel() as channel,
    ):
        stubs = Stubs(channel)
        OpenStream(process, stubs).finish()
        ended = threading.Event()

        def endless() -> Iterator[commits_pb2.SetCommitsRequest]:
            yield commits_pb2.SetCommitsRequest(name=NAME)
            while not ended.wait(0.02):
                yield commits_pb2.SetCommitsRequest(commits=[commits_pb2.Commit(id="b")])

        call: Any = stubs.releases.SetCommits.future(endless(), metadata=process.metadata)
        whoami(process, stubs)
        os.kill(process.pid, signal.SIGTERM)
        if signals == 2:
            wait_for_not_serving(channel)
            os.kill(process.pid, signal.SIGTERM)
        with raises_reason("DRAINING", "UNAVAILABLE") as refusal:
            call.result(WAIT)
        ended.set()
        assert refusal.retry_seconds is not None
        assert exit_code(process) == 0
        assert "FRAME_OUT_OF_ORDER" not in process.output()


def test_a_download_that_goes_on_when_the_grace_is_over_ends_with_draining(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    def endless(request: object, call: object) -> Iterator[files_pb2.DownloadReleaseFileResponse]:
        while True:
            yield files_pb2.DownloadReleaseFileResponse(data=b"x")

    with served(sqlite, clock, tmp_path, script={"DownloadReleaseFile": endless}) as running:
        answers = running.releases.DownloadReleaseFile(
            files_pb2.DownloadReleaseFileRequest(name=f"{NAME}/files/{uuid.uuid4()}"), metadata=running.operator
        )
        next(answers)
        with ThreadPoolExecutor(1) as drainer:
            drained = drainer.submit(running.server.drain, seconds=0)
            with raises_reason("DRAINING", "UNAVAILABLE"):
                list(answers)
            drained.result(WAIT)
        assert running.server.running_calls == 0


def test_sigint_ends_the_server_as_sigterm_does(process: ServerProcess) -> None:
    os.kill(process.pid, signal.SIGINT)
    assert exit_code(process) == 0


def test_every_line_of_the_log_is_a_json_object(process: ServerProcess) -> None:
    with process.channel() as channel:
        whoami(process, Stubs(channel))
    process.stop(seconds=WAIT)
    lines = [json.loads(line) for line in process.output().splitlines()]
    assert {"serving", "draining", "drained", "stopped"} <= {line["message"] for line in lines}
    for line in lines:
        assert {"time", "level", "logger", "message"} <= set(line)


# --- programs that do not come to serve ------------------------------------------------------------------------------


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELEASES_", "XDG_"))}
    settings = {"RELEASES_DATA": str(folder / "data"), "RELEASES_LISTEN": f"127.0.0.1:{own_port()}", **environment}
    return subprocess.run(
        [sys.executable, "-m", "server", *words],
        env={**clean, "HOME": str(folder), **settings},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    "words,environment,told",
    [
        ((), {"RELEASES_STREAM_SLOTS": "many"}, "RELEASES_STREAM_SLOTS='many': must be a whole number from 1 to 1000."),
        (("--stream-slots", "0"), {}, "--stream-slots='0': must be a whole number from 1 to 1000."),
        ((), {"RELEASES_LISTENS": "x"}, "RELEASES_LISTENS is no setting. Did you mean RELEASES_LISTEN?"),
        ((), {"RELEASES_LISTEN": "0.0.0.0:0"}, "RELEASES_LISTEN='0.0.0.0:0' is beyond loopback"),
        (("--listen", "0.0.0.0:0"), {}, "--listen='0.0.0.0:0' is beyond loopback"),
        ((), {"RELEASES_DATABASE": "postgresql://u:sec%ret@h/x"}, "RELEASES_DATABASE: must be sqlite:"),
        ((), {"RELEASES_BOOTSTRAP_TOKEN": "short"}, "RELEASES_BOOTSTRAP_TOKEN"),
        (("--nothing",), {}, "unrecognized arguments: --nothing"),
        (("bake",), {}, "'bake' is no command"),
        (("settings", "extra"), {}, "'settings extra' is no command"),
        (("token", "create", "--name", "x" * 201), {}, "--name must have 1 to 200 characters"),
        (("token", "create", "--nam", "x"), {}, "`release-server token create --help` tells the flags"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_78(
    tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    done = run(tmp_path, *words, **environment)
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert (done.returncode, len(said)) == (78, 1), done.stderr
    assert told in said[0]
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_one_line(process: ServerProcess, tmp_path: Path) -> None:
    done = run(tmp_path, RELEASES_LISTEN=process.address)
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert done.returncode == 69
    assert len(said) == 1
    assert f"Cannot listen on {process.address}" in said[0]
    assert not (tmp_path / "data").exists()  # nothing was made, so the next start is the first one


def test_a_data_folder_that_another_server_has_is_one_line(process: ServerProcess, tmp_path: Path) -> None:
    done = run(tmp_path, RELEASES_DATA=str(process.data))
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert (done.returncode, len(said)) == (69, 1)
    assert "in use by another server" in said[0]


def test_token_create_on_a_running_servers_data_points_to_relctl(process: ServerProcess, tmp_path: Path) -> None:
    done = run(tmp_path, "token", "create", RELEASES_DATA=str(process.data))
    assert (done.returncode, done.stdout) == (69, "")
    assert "use `relctl token create`" in done.stderr


def test_token_create_prints_a_secret_that_the_server_takes(tmp_path: Path) -> None:
    made = run(tmp_path, "token", "create", "--name", "a second one")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    with ServerProcess(tmp_path) as process, process.channel() as channel:
        answer = Stubs(channel).tokens.WhoAmI(
            tokens_pb2.WhoAmIRequest(), metadata=(("authorization", f"Bearer {secret}"),)
        )
    assert answer.token.display_name == "a second one"
    assert "installation:admin" in answer.token.scopes


def test_the_first_start_tells_a_person_what_to_try_next(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, environment={"RELEASES_BOOTSTRAP_TOKEN": ""}) as process:
        said = process.output()
        file = process.data / "operator-token"
        assert f"Release registry listens on {process.address}" in said
        assert str(process.data) in said
        assert str(file) in said
        assert "relctl org create acme" in said
        assert file.stat().st_mode & 0o777 == 0o600
        secret = file.read_text().strip()
        assert secret not in said
        with process.channel() as channel:
            metadata = (("authorization", f"Bearer {secret}"),)
            request = organizations_pb2.CreateOrganizationRequest(
                organization=organizations_pb2.Organization(slug="acme"), request_id=str(uuid.uuid4())
            )
            Stubs(channel).organizations.CreateOrganization(request, metadata=metadata)


def test_on_a_terminal_every_start_tells_what_to_try_next(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    settings = {
        "RELEASES_DATA": str(tmp_path / "data"),
        "RELEASES_LISTEN": "127.0.0.1:0",
        "RELEASES_BOOTSTRAP_TOKEN": OPERATOR_TOKEN,  # so that no start makes a token
    }
    command = [sys.executable, "-m", "server"]
    with subprocess.Popen(command, env={**os.environ, **settings}, stdout=its, stderr=subprocess.DEVNULL) as program:
        os.close(its)
        said = b""
        while b"relctl org create acme" not in said:
            said += os.read(ours, 1000)
        program.terminate()
    os.close(ours)
    assert b"Release registry listens on 127.0.0.1:" in said
    assert b"the value of RELEASES_BOOTSTRAP_TOKEN" in said


def test_the_version_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"release-server, version {version('release-registry')}\n")


def test_help_of_token_create_tells_its_own_flag_first(tmp_path: Path) -> None:
    done = run(tmp_path, "token", "create", "--help")
    assert done.returncode == 0
    flags = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  --")]
    assert flags[0] == "--name"
    assert "--data" in flags


def test_settings_prints_the_page_of_settings(tmp_path: Path) -> None:
    done = run(tmp_path, "settings")
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert (done.returncode, done.stdout) == (0, page.read_text())


def test_serve_help_tells_every_flag(tmp_path: Path) -> None:
    done = run(tmp_path, "serve", "--help")
    assert done.returncode == 0
    assert "--listen" in done.stdout
    assert "--tls-certificate" in done.stdout
