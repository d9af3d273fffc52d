"""What a real process shows of itself: its log, its metrics, its trail; and that it lives without a reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, own_port

WAIT = 60.0
SERVE = [sys.executable, "-m", "server", "serve", "--listen", "127.0.0.1:0"]


def environment(**settings: str) -> dict[str, str]:
    named = {f"RELEASES_{name.upper()}": value for name, value in settings.items()}
    return {**os.environ, "RELEASES_BOOTSTRAP_TOKEN": "operator-of-the-eyes-test", **named}


def scrape(port: int) -> str:
    deadline = time.monotonic() + WAIT
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT) as answer:
                text: str = answer.read().decode()
        except OSError:
            text = ""
        if "release_registry_lane_slots" in text and 'lane="calls"' in text:
            return text
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_whose_log_nobody_reads_any_more_serves_on_and_counts(tmp_path: Path) -> None:
    port = own_port()
    settings = environment(data=str(tmp_path / "data"), metrics_listen=f"127.0.0.1:{port}", log_level="debug")
    process = subprocess.Popen(SERVE, env=settings, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["message"] == "serving":
                break
        process.stderr.close()
        process.send_signal(signal.SIGHUP)  # it logs that
        deadline = time.monotonic() + WAIT
        while "release_registry_log_dropped_lines_total 0.0" in scrape(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 0
    finally:
        process.kill()
        process.wait()


def test_a_port_for_metrics_that_is_taken_ends_the_start_in_one_line(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "first") as first:
        address = first.address
        settings = environment(data=str(tmp_path / "second"), metrics_listen=address)
        ended = subprocess.run(SERVE, env=settings, capture_output=True, text=True, timeout=WAIT, check=False)
    assert ended.returncode == 69
    assert f"Cannot listen on {address} for metrics" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("wrong", ["9464", "host:99999", "http://127.0.0.1:9464"])
def test_an_address_for_metrics_that_is_none_is_refused(tmp_path: Path, wrong: str) -> None:
    settings = environment(data=str(tmp_path), metrics_listen=wrong)
    ended = subprocess.run(SERVE, env=settings, capture_output=True, text=True, timeout=WAIT, check=False)
    assert ended.returncode == 78
    assert "RELEASES_METRICS_LISTEN" in ended.stderr


def test_a_command_that_changes_something_is_in_the_file_of_the_trail(tmp_path: Path) -> None:
    trail = tmp_path / "audit.log"
    settings = environment(data=str(tmp_path / "data"), audit=str(trail))
    made = subprocess.run(
        [sys.executable, "-m", "server", "token", "create"],
        env=settings,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=True,
    )
    (line,) = [json.loads(text) for text in trail.read_text().splitlines()]
    assert (line["logger"], line["message"], line["command"]) == ("audit", "command", "token create")
    assert line["uid"] == os.getuid()
    assert made.stdout.strip() not in trail.read_text()
    for command in (["collect", "--dry-run"], ["check"], ["collect"]):
        subprocess.run([sys.executable, "-m", "server", *command], env=settings, check=True, timeout=WAIT)
    commands = [json.loads(text)["command"] for text in trail.read_text().splitlines()]
    assert commands == ["token create", "collect"]
