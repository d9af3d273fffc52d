"""Every benchmark, one after the other: `make bench`. Each prints ratios of the product and its peers in one run.

A run of all of them writes the table, the plots and the figures into `bench/results`, anew after each benchmark, so
that one that fails, or whoever ends the run, costs no figure of the others; a run of some prints only. The exit code is
1 when one failed. A goal that is missed is told, and is no failure.

    python -m bench [--brief] [--results FOLDER] [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from bench import report
from bench.figures import FILE_VARIABLE, Figure, figures_in
from bench.machine import load, particulars
from bench.peers import buildgrid, containerd

MAIN: Final = {
    "upload": ["bench.upload"],
    "stages": ["bench.stages"],
    "streams": ["bench.streams"],
    "known": ["bench.known"],
    "chunks": ["bench.chunks"],
    "big_file": ["bench.big_file"],
    "calls": ["bench.calls"],
    "set_commits": ["bench.set_commits"],
    # Written once, in five minutes; read again by the next run.
    "searches": [
        "bench.searches",
        "--sizes",
        "10000",
        "1000000",
        "--calls",
        "300",
        "--match",
        "* page",
        "--page-size",
        "100",
        "--folder",
        ".build/releases",
    ],
    "start": ["bench.start"],
    "workers": ["bench.workers"],
}
"""What the registry is for: moving files, calls, lists, the start, more processes; each as it is run."""

FURTHER: Final = {
    "small_files": ["bench.small_files"],
    "file_lists": ["bench.file_lists", "--files", "20000"],
    "whereabouts": ["bench.whereabouts"],
    "comparisons": ["bench.comparisons"],
    "histories": ["bench.histories"],
    "sessions": ["bench.sessions"],
    "health": ["bench.health"],
}
"""What one use or another rests on."""

ALL: Final = MAIN | FURTHER

BRIEF: Final = {
    "upload": ["--mib", "64", "--rounds", "1"],
    "stages": ["--mib", "64", "--rounds", "1"],
    "streams": ["--mib", "64", "--rounds", "1"],
    "known": ["--mib", "64", "--rounds", "1"],
    "chunks": ["tests", "--edited", "3"],
    "big_file": ["--gib", "1"],
    "calls": ["--calls", "96", "--rounds", "2"],
    "set_commits": ["--commits", "200", "--peer-commits", "50", "--rounds", "1"],
    "searches": ["--sizes", "200", "2000", "--calls", "5", "--page-size", "5", "--folder", ".build/few-releases"],
    "start": ["--rounds", "1"],
    "small_files": ["--files", "100", "--rounds", "1"],
    "file_lists": ["--files", "2000", "--times", "3"],
    "whereabouts": ["--sizes", "500", "1000", "2000", "--calls", "20", "--holders", "100"],
    "comparisons": ["--alike", "500", "--times", "2"],
    "histories": ["--short", "500", "--long", "2000", "--commits", "500", "--times", "2"],
    "sessions": ["--batch", "100", "--batches", "4", "--kept", "1000"],
    "health": ["--releases", "10", "--sessions", "2000", "--calls", "5"],
    "workers": ["--rounds", "1", "--seconds", "1"],
}
"""What is added for a look at whether all of it runs, in minutes; its figures say nothing."""


MOST_SECONDS: Final = 1800
"""A benchmark that takes longer hangs: it is ended, and the next one begins."""
END_SECONDS: Final = 30
"""What a benchmark that is ended has for ending its servers and removing its data."""


def main() -> int:
    """Run those named, or all; 1 when one of them failed."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(ALL)}")
    parser.add_argument("--brief", action="store_true", help="small sizes, few rounds: a try")
    parser.add_argument("--results", type=Path, default=None, help="a folder for the results [bench/results of all]")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in ALL]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(ALL)}")
    # Whoever ends the run by a signal has the benchmark that runs ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    results = options.results
    if results is None and not options.names and not options.brief:
        results = report.RESULTS
    figures, failed = run(options.names or list(ALL), brief=options.brief, results=results)
    goals = [figure for figure in figures if figure.goal]
    for figure in goals:
        if not figure.reached:
            print(f"MISSED {figure.benchmark}: {figure.what} {figure.value:.2f}{figure.unit}, goal {figure.goal}")
    print(f"{sum(bool(figure.reached) for figure in goals)} of {len(goals)} goals reached")
    for name, why in failed.items():
        print(f"bench: {name} did not end well: {why}", file=sys.stderr)
    return 1 if failed else 0


def run(names: Sequence[str], *, brief: bool, results: Path | None) -> tuple[list[Figure], dict[str, str]]:
    """The figures of these benchmarks, and why those failed that did. Results are written after each."""
    failed: dict[str, str] = {}
    took: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-figures-") as folder:
        file = Path(folder) / "figures"
        file.touch()
        for name in names:
            print(f"== {name}; load {load():.1f}", flush=True)
            started = time.monotonic()
            why = _failure(name, file, brief=brief)
            took[name] = time.monotonic() - started
            print(f"-- {name}: {took[name]:.0f} s{f', {why}' if why else ''}", flush=True)
            if why:
                failed[name] = why
            if results is not None:
                report.write(figures_in(file), failed, _told(took, names), main=frozenset(MAIN), folder=results)
        if results is not None:
            print(f"results: {results / 'figures.md'}")
        return figures_in(file), failed


def _failure(name: str, file: Path, *, brief: bool) -> str:
    """Runs a benchmark; why it failed, "" when it did not."""
    command = [sys.executable, "-m", *ALL[name], *(BRIEF[name] if brief else [])]
    # What a shell runs in its background is deaf to SIGINT, and so would be what it starts: a hang could not be ended.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A group of its own, so that what it started ends with it.
    running = subprocess.Popen(command, env={**os.environ, FILE_VARIABLE: str(file)}, start_new_session=True)
    try:
        code = running.wait(MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return f"ended after {MOST_SECONDS // 60} minutes"
    finally:
        _end(running)
    return "" if code == 0 else f"exit code {code}"


def _end(running: subprocess.Popen[bytes]) -> None:
    """Sees to it that a benchmark has ended, and nothing of what it started is left when it did not end well."""
    if running.poll() is None:
        running.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.wait(END_SECONDS)
    if running.poll() != 0:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _told(took: Mapping[str, float], names: Sequence[str]) -> dict[str, str]:
    """What the results are told with, after so many of the benchmarks."""
    of_each = ", ".join(f"{name} {seconds:.0f}" for name, seconds in took.items())
    told = particulars() | {"BuildGrid": buildgrid.version(), "containerd": _containerd()}
    told["took"] = f"{sum(took.values()) / 60:.0f} minutes; seconds of each: {of_each}"
    left = [name for name in names if name not in took]
    return told | ({"not measured yet": ", ".join(left)} if left else {})


def _containerd() -> str:
    """Its version. Where its package is not to be had, `upload` has failed and said so; the others have not."""
    try:
        return containerd.version()
    except (OSError, ValueError, subprocess.CalledProcessError):
        return "not to be had"


if __name__ == "__main__":
    raise SystemExit(main())
