"""How the program ends when somebody interrupts it, reads no further, or cannot show what it prints."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.rpc.wire import OPERATOR_TOKEN, Served

# What a shell puts in the background ignores interrupts, and hands that on: a test run may be such a thing.
HEEDING_INTERRUPTS = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("relctl", run_name="__main__", alter_sys=True)
"""


def relctl_process(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEEDING_INTERRUPTS, *arguments], stderr=subprocess.PIPE, text=True, **options
    )


def test_an_interrupt_ends_the_program_cleanly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        with relctl_process("--server", server, "whoami") as program:
            connection, _ = silent.accept()  # it is waiting for the answer now
            connection.recv(1)
            program.send_signal(signal.SIGINT)
            _, said = program.communicate(timeout=60)
            connection.close()
    assert program.returncode == 130
    assert said == "\nrelctl: INTERRUPTED: nothing more is done\n"  # a terminal's ^C stands before the first line end


def test_a_reader_that_has_seen_enough_is_no_failure(acme: Served) -> None:
    for number in range(300):
        acme.make_release("organizations/acme", f"{'v' * 190}{number}", "web")
    arguments = ("--server", acme.address, "--token", OPERATOR_TOKEN, "release", "list", "--all", "--json")
    with relctl_process(*arguments, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr is not None
        said = program.stderr.read()
    assert (program.returncode, said) == (0, "")


def test_output_that_cannot_be_written_is_a_problem_on_this_side(acme: Served) -> None:
    arguments = ("--server", acme.address, "--token", OPERATOR_TOKEN, "release", "list", "--json")
    with Path("/dev/full").open("wb") as full, relctl_process(*arguments, stdout=full) as program:
        _, said = program.communicate(timeout=60)
    assert program.returncode == 6
    assert said.startswith("relctl: LOCAL: cannot write the output")
    assert len(said.splitlines()) == 1


def test_letters_that_a_terminal_cannot_show_end_nothing_and_json_has_them_all(acme: Served) -> None:
    acme.make_release("organizations/acme", "日本 1", "web")
    arguments = ("--server", acme.address, "--token", OPERATOR_TOKEN, "release", "get", "日本 1")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    for more, there in (((), b"?? 1"), (("--json",), "日本 1".encode())):
        command = [sys.executable, "-m", "relctl", *arguments, *more]
        ran = subprocess.run(command, capture_output=True, check=False, env=environment)
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert there in ran.stdout


def test_a_progress_bar_is_there_for_a_terminal_and_for_nobody_else(acme: Served, tmp_path: Path) -> None:
    source = tmp_path / "artifact"
    source.write_bytes(b"x" * 3_000_000)
    arguments = ("--server", acme.address, "--token", OPERATOR_TOKEN, "files", "upload", "app@1.0.0", str(source))
    with relctl_process(*arguments, stdout=subprocess.DEVNULL) as program:
        _, said = program.communicate(timeout=60)
    assert said == ""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "relctl", *arguments]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=its, check=True, env=environment)
    os.close(its)
    shown = os.read(ours, 100_000).decode(errors="replace")
    assert "/3.0 MB" in shown
    assert "iB" not in shown
    os.close(ours)


def test_a_table_that_a_terminal_has_no_room_for_breaks_no_columns(acme: Served) -> None:
    url = "https://example.com/" + "x" * 60
    acme.make_release("organizations/acme", "app@1.0.0", "web")
    arguments = ("--server", acme.address, "--token", OPERATOR_TOKEN)
    command = [sys.executable, "-m", "relctl", *arguments, "deploys", "create", "app@1.0.0", "--env", "production"]
    subprocess.run([*command, "--url", url], stdout=subprocess.DEVNULL, check=True)

    def shown(columns: int) -> list[str]:
        ours, its = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
        command = [sys.executable, "-m", "relctl", *arguments, "deploys", "list"]
        subprocess.run(command, stdout=its, check=True, env=environment)
        os.close(its)
        text = os.read(ours, 100_000).decode()
        os.close(ours)
        return text.splitlines()

    assert len(shown(120)) > 2, "there is room for all but the long text, which is folded"
    assert not any(url in line for line in shown(120))
    _, line = shown(60)
    assert ("production" in line, url in line) == (True, True), "one line, which the terminal wraps"
