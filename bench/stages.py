"""What each stage of an upload costs the server: processor seconds for 1,000,000,000 bytes.

Random bytes in messages of 1 MiB through UploadReleaseFile, whole. The stages are measured by the threads that do them;
what no stage has is the wire: grpc, protobuf, the handler, and the waiting of threads for one another.

    python -m bench.stages [--mib 1024] [--rounds 3] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import functools
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import store.blobs.blobs
import store.uploads.streams
from bench.figures import keep, tell
from bench.machine import GB, MIB, load, machine
from bench.peers.processes import Orders
from bench.peers.product import product
from bench.traffic import random_blocks, upload
from store.blobs.chunking import Cutter
from store.blobs.intake import Intake
from store.blobs.local_sink import LocalSink
from store.blobs.writing import ContentWriter

# Whose work, its name there, the stage, and the stage that it is a part of.
CUTTING, STORING = "cutting, hashing chunks", "storing"
STAGES: Final[tuple[tuple[Any, str, str, str], ...]] = (
    (Intake, "feed", "copy", ""),
    (ContentWriter, "hash_whole", "SHA-256 of the whole", ""),
    (ContentWriter, "cut", CUTTING, ""),
    (Cutter, "cut", "FastCDC", CUTTING),
    (store.blobs.blobs, "live_chunks", "which chunks are there", CUTTING),
    (ContentWriter, "store", STORING, ""),
    (LocalSink, "write", "writing", STORING),
    (LocalSink, "sync", "syncs", STORING),
    (store.uploads.streams, "commit_chunks", "rows of groups", ""),
    (store.uploads.streams, "finish_upload", "rows of the file", ""),
)


class Clocks:
    """The processor seconds of the stages, added up."""

    def __init__(self) -> None:
        self._spent: defaultdict[str, float] = defaultdict(float)
        for owner, name, stage, _ in STAGES:
            setattr(owner, name, self._timed(getattr(owner, name), stage))

    def read(self) -> dict[str, float]:
        """Those since the last reading."""
        spent = dict(self._spent)
        self._spent.clear()
        return spent

    def _timed(self, work: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @functools.wraps(work)
        def timed(*arguments: Any, **options: Any) -> Any:
            before = time.thread_time()
            try:
                return work(*arguments, **options)
            finally:
                self._spent[stage] += time.thread_time() - before

        return timed


def with_clocks() -> Orders:
    """For a product that is about to start."""
    return {"stages": Clocks().read}


def main() -> None:
    """Run, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    print(machine())
    gb = options.mib * MIB / GB
    folder = Path(tempfile.mkdtemp(prefix="bench-stages-", dir=options.folder))
    spent: list[dict[str, float]] = []
    totals: list[float] = []
    try:
        with product(folder / "ours", preparation=with_clocks) as ours:
            upload(ours, random_blocks(8), MIB)
            for _ in range(options.rounds):
                blocks = random_blocks(options.mib)
                ours.order("stages")
                before = ours.process.cpu_seconds()
                upload(ours, blocks, MIB)
                totals.append((ours.process.cpu_seconds() - before) / gb)
                stages = ours.order("stages")
                spent.append({stage: stages.get(stage, 0.0) / gb for _, _, stage, _ in STAGES})
    finally:
        shutil.rmtree(folder)
    print(f"load {load():.1f}; CPU s/GB:")
    for _, _, stage, whole in STAGES:
        seconds = [each[stage] for each in spent]
        print(f"{'  ' if whole else ''}{stage:28} {statistics.median(seconds):6.3f}")
        keep(f"{stage}, of {whole}" if whole else stage, seconds, unit=" s/GB")
    whole_stages = [stage for _, _, stage, whole in STAGES if not whole]
    rest = [total - sum(each[stage] for stage in whole_stages) for total, each in zip(totals, spent, strict=True)]
    print(f"{'wire':28} {statistics.median(rest):6.3f}")
    keep("wire", rest, unit=" s/GB")
    tell("server CPU for an upload", totals, at_most=3.0, unit=" s/GB")


if __name__ == "__main__":
    main()
