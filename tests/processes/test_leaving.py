"""A process that is to end ends, whatever becomes of its last words."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def test_a_process_leaves_though_nobody_reads_its_output() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = """
import sys, threading
from server.processes.leaving import leave
sys.stdout = open(1, "w", closefd=False)
print("nobody reads this")
threading.Thread(target=leave, args=(70,)).start()
threading.Event().wait()
"""
    try:
        ended = subprocess.run([sys.executable, "-c", program], stdout=writing, timeout=60, check=False)
    finally:
        os.close(writing)
    assert ended.returncode == 70


@pytest.mark.parametrize("step", ["drain", "close"])
def test_one_that_has_no_memory_to_end_in_good_order_ends_with_70(step: str) -> None:
    program = f"""
from unittest import mock
from server.processes.leaving import end
from server.serving import Server
server = mock.create_autospec(Server, instance=True)
server.{step}.side_effect = RuntimeError("can't start new thread")
end(server, grace_seconds=1.0, hurry=bool)
"""
    ended = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, timeout=60, check=False)
    assert ended.returncode == 70
    assert b"the server cannot end in good order: its process ends" in ended.stderr
