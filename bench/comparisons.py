"""Two releases that differ in much: what a page of CompareReleases costs at the beginning, in the middle and at the
end, on both databases; and a page of two that have all alike.

The releases are written past the product: each has commits of its own, each by an author of its own, with changed files
and references, and files of its own; they have a tenth of all that in common. Pages of 100 of each section are asked
for over and over, in turns, by the tokens that a walk through the whole comparison brought along.

    python -m bench.comparisons [--commits 10000] [--alike 100000] [--times 30] [--sqlite-only]
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from releaseregistry.v1 import comparisons_pb2, release_service_pb2_grpc

from bench.bulk import NOW, PARENT, History, Installation, Times, installations
from bench.machine import load, machine
from store.blobs.models import Content
from store.database import Engine, new_id
from store.files.models import ReleaseFile

Page = comparisons_pb2.CompareReleasesResponse

SECTIONS: Final = {
    "commits": comparisons_pb2.COMPARISON_SECTION_COMMITS,
    "changed files": comparisons_pb2.COMPARISON_SECTION_CHANGED_FILES,
    "authors": comparisons_pb2.COMPARISON_SECTION_AUTHORS,
    "references": comparisons_pb2.COMPARISON_SECTION_REFERENCES,
    "files": comparisons_pb2.COMPARISON_SECTION_FILES,
}
FILES_EACH: Final = 5
PAGE: Final = 100
HALVES: Final = ("app@2.0.0", "app@1.0.0")
TWINS: Final = ("twin@2.0.0", "twin@1.0.0")


def write_files(target: Installation, owners: Sequence[tuple[bytes, str]], count: int) -> None:
    """So many files for each release, whose names begin with its word."""
    content_id, organization_id = new_id(), target.organization.id
    digest = hashlib.sha256(b"").digest()
    target.insert(
        Content,
        "id organization_id sha256 size_bytes inline_data checksum create_time touched_at",
        [(content_id, organization_id, digest, 0, b"", b"\0" * 8, NOW, NOW)],
    )
    target.insert(
        ReleaseFile,
        "id organization_id release_id file_name project_id dist headers content_id kind folded_name create_time",
        [
            (new_id(), organization_id, release_id, name, b"", "", "{}", content_id, 1, name.casefold(), NOW)
            for release_id, word in owners
            for name in (f"~/static/{word}-{number:07}.js" for number in range(count))
        ],
    )


def write(target: Installation, commits: int, alike: int) -> None:
    """Two releases of which half the commits each are the other's lack, and two with the same commits."""
    history = History(target, files=FILES_EACH, authors=commits + commits // 10)
    common = [commit_id for commit_id, _ in history.commits(commits // 10)]
    halves = []
    for version in HALVES:
        own = [commit_id for commit_id, _ in history.commits(commits // 2)]
        halves.append(history.release(version, own + common, project="web", file_count=commits // 2))
    same = [commit_id for commit_id, _ in history.commits(alike)]
    twins = [history.release(version, same, project="web", file_count=alike) for version in TWINS]
    history.write()
    write_files(target, [(halves[0], "new"), (halves[1], "old"), *((twin, "same") for twin in twins)], commits // 2)
    target.settle()


class Comparer:
    """Asks a server for pages."""

    def __init__(self, target: Installation, channel: Any) -> None:
        self._stub = release_service_pb2_grpc.ReleaseServiceStub(channel)
        self._metadata = target.metadata

    def page(self, versions: Sequence[str], section: str, token: str = "") -> Page:
        """A page of the section."""
        name, base = (f"{PARENT}/releases/{version}" for version in versions)
        request = comparisons_pb2.CompareReleasesRequest(
            name=name, base=base, section=SECTIONS[section], page_size=PAGE, page_token=token
        )
        answer: Page = self._stub.CompareReleases(request, metadata=self._metadata)
        return answer

    def walk(self, versions: Sequence[str], section: str) -> tuple[list[str], int]:
        """The tokens of all pages, and how many differences they have together."""
        tokens, count = [""], 0
        while True:
            answer = self.page(versions, section, tokens[-1])
            count += len(answer.differences)
            if not answer.next_page_token:
                return tokens, count
            tokens.append(answer.next_page_token)


def measure(engine: Engine, options: argparse.Namespace) -> None:
    """One kind of database."""
    different, alike = Times(), Times()
    expected = {
        "commits": options.commits,
        "changed files": options.commits * FILES_EACH,
        "authors": options.commits,
        "references": options.commits // 5,
        "files": options.commits,
    }
    with installations(engine, 1, projects=["web"], folder=options.folder) as (target,):
        write(target, options.commits, options.alike)
        print(f"{engine}: written; load {load():.1f}", flush=True)
        with target.served() as channel:
            comparer = Comparer(target, channel)
            pages, walks = {}, {}
            for section in SECTIONS:
                tokens, count = comparer.walk(HALVES, section)
                assert count == expected[section], (section, count)
                pages[section] = {"first": "", "middle": tokens[len(tokens) // 2], "last": tokens[-2]}
                walks[section], none = comparer.walk(TWINS, section)
                assert none == 0, (section, none)
            for _ in range(options.times):
                for section, places in pages.items():
                    for place, token in places.items():
                        answer = different.call(f"{section}, {place}", partial(comparer.page, HALVES, section, token))
                        assert len(answer.differences) == PAGE
                    tokens = walks[section]
                    alike.call(
                        f"{section}, one of {len(tokens)} pages",
                        partial(comparer.page, TWINS, section, tokens[len(tokens) // 2]),
                    )
    print(f"{engine}: two releases with {options.commits:,} differing commits, pages of {PAGE}; load {load():.1f}")
    different.tell()
    for section in SECTIONS:
        for place in ("middle", "last"):
            different.tell_growth(
                f"{section}, {place} / first, {engine}", f"{section}, {place}", f"{section}, first", at_most=1.5
            )
    print(f"two releases with the same {options.alike:,} commits")
    alike.tell()


def main() -> None:
    """Run, and print the times and how they grow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=10_000, help="commits that only one of two releases has")
    parser.add_argument("--alike", type=int, default=100_000, help="commits that two others have in common")
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    parser.add_argument("--sqlite-only", action="store_true")
    options = parser.parse_args()
    print(machine())
    measure("sqlite", options)
    if not options.sqlite_only:
        measure("postgresql", options)


if __name__ == "__main__":
    main()
