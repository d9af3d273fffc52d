"""A worker that gets no more memory from the system."""

from __future__ import annotations

import resource
from pathlib import Path

from tests.processes.serving import lines, wait_for, workers
from tests.processes.supervising import until
from tests.processes.test_workers import load
from tests.server_process import ServerProcess


def test_it_is_replaced_while_the_others_serve_and_no_call_fails_with_the_retry_policy(pair: ServerProcess) -> None:
    before = workers(pair)
    pages = int(Path(f"/proc/{before[1]}/statm").read_text().split()[0])
    held = pages * resource.getpagesize()
    # What it has it keeps, and no byte more: calls need threads, and a thread needs memory for its stack.
    resource.prlimit(before[1], resource.RLIMIT_AS, (held, held))
    with load(pair) as failed:
        until(lambda: workers(pair)[1] != before[1], pair.output)
    assert not failed
    assert workers(pair)[2] == before[2]
    assert {line["worker"] for line in wait_for(pair, message="no thread can be started: calls wait for others")} == {1}
    [ended] = lines(pair, message="a worker ended")
    assert ended["worker"] == 1
    assert ended["exit_code"] in (0, 70)  # whether it can still hand over
