"""A server of several processes on PostgreSQL: real workers, real signals, one port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.processes.conftest import end_workers
from tests.processes.serving import (
    OpenStream,
    asked_to_end,
    lines,
    make_release,
    patient_channel,
    wait_for,
    whoami,
    workers,
)
from tests.processes.supervising import until
from tests.server_process import ServerProcess, Stubs, own_port


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def second_start(process: ServerProcess, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """What comes of one more start on the same address."""
    environment = {**process.environment, "RELEASES_DATA": str(folder / "second")}
    environment |= {"RELEASES_METRICS_LISTEN": "", **settings}
    return subprocess.run(
        [sys.executable, "-m", "server"], env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def whoami_of_both(process: ServerProcess) -> None:
    """Call until either worker has answered."""

    def both_have_answered() -> bool:
        with process.channel() as channel:  # the system gives each connection to one of them
            whoami(process, channel)
        return {line["worker"] for line in lines(process, logger="server.edge", message="call ended")} == {1, 2}

    until(both_have_answered)


@contextmanager
def load(process: ServerProcess) -> Iterator[list[grpc.RpcError]]:
    """Calls of four clients meanwhile, over old connections and new ones, with the retry policy; those that failed."""
    failed: list[grpc.RpcError] = []
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            with patient_channel(process.address) as channel:
                for _ in range(20):
                    try:
                        whoami(process, channel)
                    except grpc.RpcError as error:
                        failed.append(error)

    with ThreadPoolExecutor(4) as clients:
        for _ in range(4):
            clients.submit(call)
        try:
            yield failed
        finally:
            over.set()


def test_all_workers_answer_on_one_port_and_say_who_they_are(shared_pair: ServerProcess) -> None:
    assert set(workers(shared_pair)) == {1, 2}
    assert len(set(workers(shared_pair).values())) == 2
    whoami_of_both(shared_pair)
    assert len(lines(shared_pair, message="all workers serve")) == 1


def test_a_killed_worker_is_replaced_and_no_call_fails_with_the_retry_policy(pair: ServerProcess) -> None:
    before = workers(pair)
    with load(pair) as failed:
        os.kill(before[1], signal.SIGKILL)
        until(lambda: workers(pair)[1] != before[1], pair.output)
    assert not failed
    assert workers(pair)[2] == before[2]
    assert [line["worker"] for line in lines(pair, message="a worker ended")] == [1]


def test_a_worker_that_is_asked_to_end_hands_over_and_lets_its_calls_end(pair: ServerProcess) -> None:
    before = workers(pair)
    with pair.channel() as channel, patient_channel(pair.address) as other:
        make_release(pair, Stubs(channel))
        stream = OpenStream(pair, channel)
        its = wait_for(pair, message="call ended")[-1]["worker"]  # who answered last on the stream's connection
        with load(pair) as failed:
            os.kill(before[its], signal.SIGTERM)
            wait_for(pair, message="draining", worker=its)
            whoami(pair, other)
            assert lives(before[its])
            assert stream.finish() == 1
            until(lambda: workers(pair)[its] != before[its], pair.output)
    assert not failed
    [ended] = lines(pair, message="a worker ended")
    assert (ended["worker"], ended["exit_code"]) == (its, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all_workers_and_the_exit_code_is_0(pair: ServerProcess, number: signal.Signals) -> None:
    pids = workers(pair).values()
    with pair.channel() as channel:
        make_release(pair, Stubs(channel))
        stream = OpenStream(pair, channel)
        # As a terminal does it: to the whole group of processes, of which the workers are none.
        os.killpg(pair.pid, number)
        wait_for(pair, 2, message="draining", logger="server.serving")
        assert stream.finish() == 1
    assert pair.wait() == 0
    assert not any(lives(pid) for pid in pids)
    assert [line["cut_calls"] for line in lines(pair, message="drained")] == [0, 0]


def test_a_second_signal_cuts_what_still_runs_in_any_worker(pair: ServerProcess) -> None:
    with pair.channel() as channel:
        make_release(pair, Stubs(channel))
        stream = OpenStream(pair, channel)
        os.kill(pair.pid, signal.SIGTERM)
        wait_for(pair, 2, message="draining", logger="server.serving")
        assert asked_to_end(pair) == 0
        with pytest.raises(grpc.RpcError) as cut:
            stream.finish()
        assert cut.value.code() == grpc.StatusCode.UNAVAILABLE


def test_workers_whose_supervisor_was_killed_let_go_of_the_port_and_end_when_their_calls_have(
    pair: ServerProcess, tmp_path: Path
) -> None:
    orphans = workers(pair)
    with pair.channel() as channel:
        make_release(pair, Stubs(channel))
        stream = OpenStream(pair, channel)
        os.kill(pair.pid, signal.SIGKILL)
        wait_for(pair, 2, message="draining", logger="server.serving")
        pair.wait()
        successor = ServerProcess(tmp_path / "successor", database=pair.database, environment={"RELEASES_WORKERS": "2"})
        successor.address = pair.address
        successor.environment.update(RELEASES_LISTEN=pair.address, RELEASES_DATA=str(pair.data))
        with successor:
            try:
                with successor.channel() as own:
                    whoami(successor, own)
                assert stream.finish() == 1  # the old worker's, meanwhile
            finally:
                successor.stop()
                end_workers(successor)
    until(lambda: not any(lives(pid) for pid in orphans.values()))


def figures_of(process: ServerProcess) -> dict[str, list[Sample]]:
    """What Prometheus reads, by family."""
    with urllib.request.urlopen(f"http://{process.environment['RELEASES_METRICS_LISTEN']}/metrics", timeout=60) as page:
        text = page.read().decode()
    return {family.name: family.samples for family in text_string_to_metric_families(text)}


def test_prometheus_reads_the_figures_of_all_workers_in_one_place(shared_pair: ServerProcess) -> None:
    whoami_of_both(shared_pair)
    figures = figures_of(shared_pair)
    own = {name: figures.pop(f"release_registry_{name}") for name in ("workers_running", "worker_restarts")}
    assert [(sample.labels, sample.value) for sample in own["workers_running"]] == [({}, 2)]
    assert {sample.labels["worker"] for sample in own["worker_restarts"]} == {"1", "2"}
    samples = [sample for family in figures.values() for sample in family]
    assert {sample.labels.get("worker") for sample in samples} == {"1", "2"}
    assert len({(sample.name, *sorted(sample.labels.items())) for sample in samples}) == len(samples) <= 2 * 2_000
    answered = {
        sample.labels["worker"]: sample.value
        for sample in figures["release_registry_calls"]
        if sample.name.endswith("_total") and sample.labels["method"] == "TokenService/WhoAmI"
    }
    ended = [line["worker"] for line in lines(shared_pair, message="call ended") if "WhoAmI" in line["method"]]
    assert answered == {str(number): ended.count(number) for number in (1, 2)}


def test_a_worker_that_does_not_answer_is_left_out_of_the_figures(shared_pair: ServerProcess) -> None:
    pid = workers(shared_pair)[2]
    os.kill(pid, signal.SIGSTOP)
    try:
        shown = figures_of(shared_pair)["release_registry_lane_slots"]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert {sample.labels["worker"] for sample in shown} == {"1"}
    assert {sample.labels["worker"] for sample in figures_of(shared_pair)["release_registry_lane_slots"]} == {"1", "2"}


def test_a_hangup_reaches_all_workers(shared_pair: ServerProcess) -> None:
    os.kill(shared_pair.pid, signal.SIGHUP)
    assert {line["worker"] for line in wait_for(shared_pair, 2, message="reloaded")} == {1, 2}
    with shared_pair.channel() as channel:
        whoami(shared_pair, channel)


@pytest.mark.parametrize("count", ["1", "2"])
def test_a_second_start_on_the_address_fails_with_one_line(
    shared_pair: ServerProcess, tmp_path: Path, count: str
) -> None:
    done = second_start(shared_pair, tmp_path, RELEASES_WORKERS=count)
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert (done.returncode, said) == (
        69,
        [f"release-server: Cannot listen on {shared_pair.address}: Address already in use."],
    )
    assert not (tmp_path / "second").exists()


def test_a_database_that_is_not_there_ends_the_first_start_with_one_line(
    shared_pair: ServerProcess, tmp_path: Path
) -> None:
    missing = f"{shared_pair.database}".replace("/test_", "/no_such_")
    done = second_start(
        shared_pair,
        tmp_path,
        RELEASES_LISTEN=f"127.0.0.1:{own_port()}",
        RELEASES_DATABASE=missing,
        RELEASES_WORKERS="3",
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert (done.returncode, len(said)) == (69, 1), done.stderr


def test_the_first_start_greets_once_and_its_token_is_good_for_all_workers(postgres_url: str, tmp_path: Path) -> None:
    settings = {"RELEASES_WORKERS": "3", "RELEASES_BOOTSTRAP_TOKEN": "", "RELEASES_LISTEN": "127.0.0.1:0"}
    process = ServerProcess(tmp_path, database=postgres_url, environment=settings)
    process.launch()
    try:
        wait_for(process, message="all workers serve")
        until(lambda: "relctl org create acme" in process.output())
        assert process.output().count("Release registry listens on") == 1
        process.token = (process.data / "operator-token").read_text().strip()
        [ready] = lines(process, message="all workers serve")
        process.address = ready["address"]
        for _ in range(6):
            with process.channel() as channel:
                whoami(process, channel)
    finally:
        process.stop()
        end_workers(process)
