from __future__ import annotations

import subprocess
import sys

BLOCKS, TIMES, PAGES = 6, 100, 256

PROGRAM = f"""
import resource
from server.memory import keep_freed_blocks

kept = keep_freed_blocks()


def take_and_give_back():
    blocks = [b"x" * 2**20 for _ in range({BLOCKS})]


take_and_give_back()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({TIMES}):
    take_and_give_back()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_blocks_of_a_stream_that_are_given_back_are_not_fetched_from_the_kernel_again() -> None:
    printed = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    kept, faults = printed.split()
    # Where the C library is not glibc nothing is promised.
    assert kept == "False" or int(faults) < TIMES * BLOCKS * PAGES / 10
