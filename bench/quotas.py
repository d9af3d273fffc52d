"""A limit on the processor time of a process, by a control group of its own: root's, and Linux's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PERIOD_US: Final = 20_000
"""Short, so that a process at its limit stands still for milliseconds."""
_ROOT: Final = Path("/sys/fs/cgroup")


class CannotLimit(Exception):
    """This machine does not let us; the text says why."""


@contextmanager
def limited(pid: int, cores: float) -> Iterator[None]:
    """The process, with all its threads, gets this much processor time, in processors, until the block ends.

    Raises CannotLimit.
    """
    version_1 = (_ROOT / "cpu").is_dir()
    parent = _ROOT / "cpu" if version_1 else _ROOT
    group = parent / f"release-registry-bench-{pid}"
    quota = int(cores * PERIOD_US)
    try:
        if not version_1:
            (parent / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
        if version_1:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        raise CannotLimit(f"no control group of processor time can be made here: {error}") from None
    try:
        yield
    finally:
        with suppress(OSError):  # the process may be gone
            (parent / "cgroup.procs").write_text(str(pid))
        with suppress(OSError):
            group.rmdir()
