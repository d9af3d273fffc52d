"""Every benchmark, one after the other: `make bench`. Each prints ratios of the product and its peers in one run."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = {
    "calls": ["bench.calls"],
    "set_commits": ["bench.set_commits"],
    "whereabouts": ["bench.whereabouts"],
    # A million releases take an hour: `python -m bench.searches --folder kept`.
    "searches": ["bench.searches", "--sizes", "10000", "100000", "--calls", "200"],
    "comparisons": ["bench.comparisons"],
    "histories": ["bench.histories"],
    "health": ["bench.health"],
    "upload": ["bench.upload"],
    "stages": ["bench.stages"],
    "streams": ["bench.streams"],
    "known": ["bench.known"],
    "chunks": ["bench.chunks"],
    "small_files": ["bench.small_files"],
    "file_lists": ["bench.file_lists"],
    "sessions": ["bench.sessions"],
    "big_file": ["bench.big_file"],
}


def main() -> int:
    """Run those named, or all; 1 when one of them failed."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"bench: no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    failed = False
    for name in names:
        print(f"== {name}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", *BENCHMARKS[name]], check=False).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
