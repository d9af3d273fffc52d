"""How many processors this process may use: of those it may run on, what its control groups leave it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")


def usable_cpus(*, groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> int:
    """The number, at least 1; a part of a processor counts as one.

    A container is limited by a quota of time, which neither the number of processors nor the affinity tells.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux, which alone has control groups
        return os.cpu_count() or 1
    return max(1, min(allowed, *(math.ceil(quota) for quota in _quotas(groups, own_groups)), allowed))


def _quotas(groups: Path, own_groups: Path) -> Iterator[float]:
    """The quotas, in processors, of the groups that this process is in, and of those around them."""
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 has no controllers in its line. In a container the place may be told as the host sees it, and the
        # group itself be mounted as the root: so the root is looked at in any case.
        root = groups / controllers if controllers else groups
        folder = root / place.lstrip("/")
        while folder.is_relative_to(root):
            with suppress(OSError, ValueError, ZeroDivisionError):
                yield _quota(folder, version_2=not controllers)
            if folder == root:
                break
            folder = folder.parent


def _quota(folder: Path, *, version_2: bool) -> float:
    """Raises OSError or ValueError where the group has none."""
    if version_2:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)  # "max" is no number
    quota = (folder / "cpu.cfs_quota_us").read_text()
    if int(quota) <= 0:
        raise ValueError("no quota")
    return int(quota) / int((folder / "cpu.cfs_period_us").read_text())
