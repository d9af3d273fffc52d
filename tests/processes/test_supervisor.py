"""The supervisor with workers that do as they are told: real processes, which serve nothing."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.processes.supervising import QUICK, supervised, until
from tests.server_process import own_port


def test_all_workers_serve_and_one_alone_makes_the_database_ready(tmp_path: Path) -> None:
    with supervised(tmp_path, workers=3) as program:
        [ready] = program.wait_for(made_operator_token=True)
        assert len(program.lines(heard="START True")) == 1
        assert len(program.lines(heard="START False")) == 2
        assert {int(number) for number in ready["measured"]} == {1, 2, 3}
        assert ready["measured"]["2"] == 10_000  # times, and so more than a line carries at once
        assert program.end() == 0
        assert program.outcome == {"restarts": {"1": 0, "2": 0, "3": 0}, "running": 0, "grpc": False}


def test_another_one_makes_the_database_ready_where_the_first_dies_at_it(tmp_path: Path) -> None:
    with supervised(tmp_path, lives={"1": ["die preparing"], "2": ["die preparing", "serve"]}) as program:
        program.wait_for(made_operator_token=True)
        assert program.end() == 0


def test_a_worker_that_dies_in_a_loop_is_started_ever_less_often_and_the_others_serve_on(tmp_path: Path) -> None:
    with supervised(tmp_path, workers=3, lives={"2": ["die"]}) as program:
        ends = program.wait_for(6, message="a worker ended")
        assert {line["worker"] for line in ends} == {2}
        assert {line["exit_code"] for line in ends} == {3}
        assert [line["pause_seconds"] for line in ends[:6]] == [0.05, 0.1, 0.2, 0.4, 0.4, 0.4]
        assert len(program.pids(1)) == len(program.pids(3)) == 1
        assert program.end() == 0


def test_a_worker_that_lived_long_enough_is_started_anew_without_a_longer_pause(tmp_path: Path) -> None:
    patience = replace(QUICK, settled=1.0)
    with supervised(tmp_path, lives={"1": ["die", "die", "serve a while"]}, patience=patience) as program:
        ends = program.wait_for(4, message="a worker ended")
        assert [line["pause_seconds"] for line in ends[:4]] == [0.05, 0.1, 0.05, 0.05]


def test_a_worker_that_leaves_in_good_order_is_replaced_at_once(tmp_path: Path) -> None:
    with supervised(tmp_path, lives={"1": ["leave", "leave", "leave", "serve"]}) as program:
        program.wait_for(made_operator_token=True)
        ends = program.wait_for(3, message="a worker ended")
        assert [(line["exit_code"], line["pause_seconds"], line["level"]) for line in ends] == [(0, 0.0, "info")] * 3


def test_a_worker_that_says_nothing_logs_its_stacks_and_is_replaced(tmp_path: Path) -> None:
    patience = replace(QUICK, silence=1.0, last_words=10.0)
    with supervised(tmp_path, lives={"2": ["be silent", "serve"]}, patience=patience) as program:
        program.wait_for(made_operator_token=True)
        assert [line["worker"] for line in program.lines(message="a worker does not answer: it is replaced")] == [2]
        [end] = program.lines(message="a worker ended")
        assert end["exit_code"] == -signal.SIGABRT
        assert "fake_worker.py" in program.output()  # a line of the stack
        assert "time.sleep" in program.output() or "in main" in program.output()


def test_a_worker_that_cannot_even_die_of_that_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, patience=replace(QUICK, silence=1.0)) as program:
        program.wait_for(made_operator_token=True)
        os.kill(program.pids(1)[0], signal.SIGSTOP)
        [end] = program.wait_for(message="a worker ended")
        assert (end["worker"], end["exit_code"]) == (1, -signal.SIGKILL)
        until(lambda: len(program.pids(1)) == 2)
        assert program.end() == 0


def test_a_supervisor_that_was_stopped_itself_does_not_hold_that_against_its_workers(tmp_path: Path) -> None:
    with supervised(tmp_path, patience=replace(QUICK, silence=1.5, late=1.0)) as program:
        program.wait_for(made_operator_token=True)
        program.send(signal.SIGSTOP)
        for number in (1, 2):  # they say nothing meanwhile, as on a machine that was asleep
            os.kill(program.pids(number)[0], signal.SIGSTOP)
        until_later(2.5)
        program.send(signal.SIGCONT)
        until_later(0.7)
        for number in (1, 2):
            os.kill(program.pids(number)[0], signal.SIGCONT)
        assert program.end() == 0
        assert program.outcome["restarts"] == {"1": 0, "2": 0}


def until_later(seconds: float) -> None:
    signal.sigtimedwait(set(), seconds)


def test_what_the_operator_must_mend_ends_the_first_start_with_its_line_and_code(tmp_path: Path) -> None:
    with supervised(tmp_path, workers=3, lives={"1": ["fail"], "2": ["fail"], "3": ["fail"]}) as program:
        assert program.process.wait(60) == 78
        assert [line["failed"] for line in program.lines() if "failed" in line] == ["RELEASES_X: must be another."]
        for number in (1, 2, 3):
            for pid in program.pids(number):
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)


def test_later_it_is_logged_and_tried_again(tmp_path: Path) -> None:
    with supervised(tmp_path, lives={"1": ["serve", "fail", "fail", "serve"]}) as program:
        program.wait_for(made_operator_token=True)
        os.kill(program.pids(1)[0], signal.SIGKILL)
        ends = program.wait_for(3, message="a worker ended")
        assert [line.get("reason") for line in ends] == [None, *["RELEASES_X: must be another."] * 2]
        assert program.end() == 0


def test_one_that_cannot_start_keeps_nobody_from_being_greeted_and_ends_nobody_later(tmp_path: Path) -> None:
    with supervised(tmp_path, workers=3, lives={"2": ["die", "fail", "fail", "serve"]}) as program:
        program.wait_for(made_operator_token=True)
        ends = program.wait_for(3, message="a worker ended")
        assert [(line["worker"], line["exit_code"]) for line in ends] == [(2, 3), (2, 78), (2, 78)]
        program.wait_for(message="all workers serve")
        assert len(program.lines(made_operator_token=True)) == 1
        assert program.end() == 0


def test_nobody_is_greeted_before_somebody_serves(tmp_path: Path) -> None:
    with supervised(tmp_path, lives={"1": ["die"], "2": ["die"]}) as program:
        program.wait_for(6, message="a worker ended")
        assert not program.lines(made_operator_token=False) + program.lines(made_operator_token=True)
        assert program.end() == 0


def test_a_hangup_starts_at_once_who_waits_for_it(tmp_path: Path) -> None:
    patience = replace(QUICK, first_pause=600.0, longest_pause=600.0)
    with supervised(tmp_path, lives={"1": ["serve", "fail", "serve"]}, patience=patience) as program:
        program.wait_for(message="all workers serve")
        os.kill(program.pids(1)[0], signal.SIGKILL)
        for count in (1, 2):
            program.wait_for(count, message="a worker ended")
            program.send(signal.SIGHUP)
        program.wait_for(2, message="all workers serve")
        assert len(program.pids(1)) == 3


def test_a_hangup_reaches_all_workers_and_ends_none(tmp_path: Path) -> None:
    with supervised(tmp_path, workers=3) as program:
        program.wait_for(made_operator_token=True)
        program.send(signal.SIGHUP)
        assert {line["worker"] for line in program.wait_for(3, heard="RELOAD")} == {1, 2, 3}
        assert program.end() == 0


def test_a_second_signal_reaches_the_workers_as_such(tmp_path: Path) -> None:
    with supervised(tmp_path, lives={"1": ["hold"], "2": ["hold"]}) as program:
        program.wait_for(made_operator_token=True)
        program.send(signal.SIGTERM)
        program.wait_for(2, heard="DRAIN")
        assert program.process.poll() is None
        assert program.end(signal.SIGINT) == 0
        assert len(program.lines(heard="HURRY")) == 2


def test_a_third_signal_waits_for_nobody(tmp_path: Path) -> None:
    with supervised(tmp_path, lives={"1": ["ignore"]}, patience=replace(QUICK, end=600.0)) as program:
        program.wait_for(made_operator_token=True)
        program.send(signal.SIGTERM)
        program.wait_for(2, heard="DRAIN")
        program.send(signal.SIGTERM)
        program.wait_for(1, heard="HURRY")
        assert program.end() == 0


def test_a_worker_that_does_not_end_when_asked_to_is_killed_after_the_grace(tmp_path: Path) -> None:
    patience = replace(QUICK, end=0.5)
    settings = {"RELEASES_DRAIN_SECONDS": "1"}
    with supervised(tmp_path, lives={"1": ["ignore"]}, patience=patience, settings=settings) as program:
        program.wait_for(made_operator_token=True)
        assert program.end() == 0


def test_workers_notice_that_their_supervisor_was_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, workers=3) as program:
        program.wait_for(made_operator_token=True)
        program.send(signal.SIGKILL)
        assert {line["worker"] for line in program.wait_for(3, heard="gone")} == {1, 2, 3}


def test_who_supervises_keeps_the_address_though_no_worker_listens(tmp_path: Path) -> None:
    with supervised(tmp_path / "one", lives={"1": ["hold"]}) as program:
        [ready] = program.wait_for(made_operator_token=True)
        host, port = ready["ready"].rsplit(":", 1)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind((host, int(port)))
        with supervised(tmp_path / "two", settings={"RELEASES_LISTEN": ready["ready"]}) as second:
            assert second.process.wait(60) == 69
            told = f"Cannot listen on {ready['ready']}: Address already in use."
            assert [line["failed"] for line in second.lines() if "failed" in line] == [told]
            assert not second.pids(1)


def test_of_two_that_start_at_once_on_an_address_one_serves(tmp_path: Path) -> None:
    settings = {"RELEASES_LISTEN": f"127.0.0.1:{own_port()}"}
    with (
        supervised(tmp_path / "one", settings=settings) as one,
        supervised(tmp_path / "two", settings=settings) as two,
    ):
        until(lambda: one.process.poll() is not None or two.process.poll() is not None)
        serving, refused = (two, one) if one.process.poll() is not None else (one, two)
        assert refused.process.poll() == 69
        serving.wait_for(made_operator_token=True)
        assert serving.end() == 0
