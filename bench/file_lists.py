"""A release with many files: what a page of ListReleaseFiles costs at the beginning, in the middle and at the end.

The files are made through the wire, all of one small content, by CreateReleaseFile. Then pages of 100 and of 1,000 are
asked for over and over, in turns, the first and those in the middle and at the end by the tokens that a walk through
the whole list brought along; beside them the first page of a release with as many files as one page has.

    python -m bench.file_lists [--files 100000] [--times 30] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from releaseregistry.v1 import files_pb2, releases_pb2

from bench.figures import tell
from bench.machine import load, machine
from bench.peers.processes import Peer
from bench.peers.product import METADATA, ORGANIZATION, RELEASE, product
from bench.traffic import upload

SMALL = f"{ORGANIZATION}/releases/app@0.9.0"
CALLERS = 8


def fill(peer: Peer, release: str, files: int, sha256: str) -> float:
    """Makes the files; how many a second."""

    def create(number: int) -> None:
        file = files_pb2.ReleaseFile(file_name=f"~/static/js/chunk-{number:07}.js", sha256=sha256)
        peer.files.CreateReleaseFile(files_pb2.CreateReleaseFileRequest(parent=release, file=file), metadata=METADATA)

    started = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        for _ in pool.map(create, range(files)):
            pass
    return files / (time.perf_counter() - started)


def page(peer: Peer, release: str, size: int, token: str = "") -> files_pb2.ListReleaseFilesResponse:
    """A page of the list."""
    request = files_pb2.ListReleaseFilesRequest(parent=release, page_size=size, page_token=token)
    return peer.files.ListReleaseFiles(request, metadata=METADATA)


def tokens(peer: Peer, size: int, files: int) -> dict[str, str]:
    """Those of the middle page and of the last whole one, from a walk through the whole list."""
    found = [""]
    seen = 0
    while True:
        answer = page(peer, RELEASE, size, found[-1])
        seen += len(answer.files)
        if not answer.next_page_token:
            break
        found.append(answer.next_page_token)
    assert seen == files
    return {"first": "", "middle": found[len(found) // 2], "last": found[-2]}


def main() -> None:
    """Run, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="bench-file-lists-", dir=options.folder))
    try:
        with product(folder / "ours") as peer:
            content = b"the same everywhere"
            sha256 = hashlib.sha256(content).hexdigest()
            upload(peer, [content], len(content))
            release = releases_pb2.Release(version="app@0.9.0", projects=[f"{ORGANIZATION}/projects/web"])
            peer.files.CreateRelease(
                releases_pb2.CreateReleaseRequest(parent=ORGANIZATION, release=release), metadata=METADATA
            )
            fill(peer, SMALL, 1100, sha256)
            rate = fill(peer, RELEASE, options.files - 1, sha256)
            print(f"{options.files} files, made by CreateReleaseFile: {rate:.0f} files/s with {CALLERS} callers")
            for size in (100, 1000):
                places = tokens(peer, size, options.files)
                took: defaultdict[str, list[float]] = defaultdict(list)
                for _ in range(options.times):
                    for place, release_name, token in [
                        ("of a small release", SMALL, ""),
                        *((place, RELEASE, token) for place, token in places.items()),
                    ]:
                        started = time.perf_counter()
                        answer = page(peer, release_name, size, token)
                        took[place].append(time.perf_counter() - started)
                        assert len(answer.files) == size
                print(f"pages of {size}; load {load():.1f}")
                for place, seconds in took.items():
                    print(f"  {place:20} {statistics.median(seconds) * 1000:7.2f} ms")
                base = statistics.median(took["of a small release"])
                worst = max(statistics.median(seconds) for seconds in took.values()) / base
                tell(f"  slowest page of {size} / page of a small release", worst, at_most=1.5)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
