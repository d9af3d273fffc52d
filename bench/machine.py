"""What a benchmark says of the machine it ran on, and what the kernel knows of a process."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import grpc

MB = 10**6
GB = 10**9
KIB = 2**10
MIB = 2**20
GIB = 2**30

_TICKS = os.sysconf("SC_CLK_TCK")


def machine() -> str:
    """The line that every benchmark prints first: processors, how busy they are with other things, versions."""
    return (
        f"{_processor()}, {os.cpu_count()} CPUs, load {load():.1f}, Python {platform.python_version()}, "
        f"grpcio {grpc.__version__}"
    )


def load() -> float:
    """How many processes ran or wanted to in the last minute."""
    return os.getloadavg()[0]


class Process:
    """A process of this machine."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def cpu_seconds(self) -> float:
        """What its threads took of the processors so far, in user and in kernel mode; exact to 10 ms."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_bytes(self) -> int:
        """The memory that it has now."""
        return self._status("VmRSS")

    def peak_bytes(self) -> int:
        """The most memory that it had since it began, or since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """From now on the peak is anew."""
        (self._folder / "clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) * KIB for line in lines if line.startswith(f"{name}:"))


def _processor() -> str:
    with Path("/proc/cpuinfo").open() as lines:
        found = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return found or platform.machine()
