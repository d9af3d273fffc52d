"""What each stage of an upload costs, without the wire: processor seconds and waiting a GiB, of the blob store alone.

Random bytes through a content writer, on SQLite and local packs, with groups committed on the way as uploads do, and
without. Seconds of a stage include those of the stages in it: cutting has FastCDC and the SHA-256 of chunks, storing
has the writing, the syncs and the commits.

    python -m bench.stages [--mib 512] [--rounds 2]
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from store.blobs.blobs import Blobs, open_blobs
from store.blobs.chunking import Cutter
from store.blobs.intake import Intake
from store.blobs.keeping import Group, keep_chunks
from store.blobs.local_sink import LocalSink
from store.blobs.writing import ContentWriter
from store.database import Database, new_id, open_database

MIB: Final = 2**20
FRAME_BYTES: Final = MIB // 4
STAGES: Final[tuple[tuple[type, str, str], ...]] = (
    (Intake, "feed", "feeding (copy, and waiting)"),
    (ContentWriter, "hash_whole", "SHA-256 of the whole"),
    (ContentWriter, "cut", "cutting"),
    (Cutter, "cut", "  FastCDC"),
    (ContentWriter, "store", "storing"),
    (LocalSink, "write", "  writing"),
    (LocalSink, "sync", "  syncs"),
    (ContentWriter, "_commit_group", "  groups (sync and commit)"),
)


class Clocks:
    """Wall and processor seconds of the stages, added up."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for owner, name, label in STAGES:
            setattr(owner, name, self._timed(getattr(owner, name), label))

    def _timed(self, work: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(work)
        def timed(*arguments: Any, **options: Any) -> Any:
            wall, processor = time.perf_counter(), time.thread_time()
            try:
                return work(*arguments, **options)
            finally:
                spent = self.spent[label]
                spent[0] += time.perf_counter() - wall
                spent[1] += time.thread_time() - processor

        return timed


def take(database: Database, blobs: Blobs, blocks: list[bytes], *, groups: bool) -> tuple[float, float]:
    """Wall and processor seconds of one content."""
    organization_id = new_id()

    def commit(group: Group) -> None:
        database.write(lambda tx: keep_chunks(tx, organization_id, group))

    wall, processor = time.perf_counter(), time.process_time()
    with blobs.writer(organization_id, commit=commit if groups else None) as writer:
        for block in blocks:
            for start in range(0, len(block), FRAME_BYTES):
                writer.write(block[start : start + FRAME_BYTES])
        writer.finish()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Run, and print a table a round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {options.mib} MiB")
    folder = Path(tempfile.mkdtemp(prefix="bench-stages-"))
    database = open_database(f"sqlite://{folder}/registry.db")
    try:
        database.migrate()
        blobs = open_blobs(database, folder / "blobs")
        clocks = Clocks()
        for number in range(options.rounds * 2):
            groups = number % 2 == 1
            blocks = [os.urandom(MIB) for _ in range(options.mib)]
            clocks.spent.clear()
            wall, processor = take(database, blobs, blocks, groups=groups)
            gib = options.mib / 1024
            how = "with" if groups else "without"
            print(f"{how} groups: {options.mib / wall:.0f} MiB/s, {processor / gib:.2f} CPU s a GiB")
            for _, _, label in STAGES:
                spent = clocks.spent[label]
                print(f"  {label:28} {spent[1] / gib:6.3f} CPU s  {spent[0] / gib:6.3f} s")
        blobs.close()
    finally:
        database.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
