"""Chunks that no file refers to are kept for the grace time, counted from whoever asked for them last."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from threading import Event

from store.blobs.collector import Collector
from store.errors import BlobsDown, ChunksMissing
from store.files.change import delete_file
from store.files.rows import UploadedFile
from tests.clocks import ManualClock
from tests.contract.chunks import Sender, cut, digest, refs
from tests.contract.shelf import content_of

HOUR = 3600


def collect(sender: Sender) -> None:
    Collector(sender.shelf.db, sender.shelf.blobs.packs, grace_seconds=24 * HOUR).collect()


def test_a_chunk_is_kept_for_a_day_and_then_sent_again(sender: Sender, clock: ManualClock) -> None:
    sender.send_plain([b"chunk"])
    clock.advance(seconds=23 * HOUR)
    collect(sender)
    assert len(sender.shelf.packs()) == 1
    clock.advance(seconds=2 * HOUR)
    collect(sender)
    assert sender.shelf.packs() == []
    assert sender.missing([b"chunk"]) == [digest(b"chunk")]
    assert sender.send_plain([b"chunk"]).chunk_count == 1
    assert sender.shelf.download(sender.assemble([b"chunk"]).file) == b"chunk"


def test_a_chunk_that_somebody_was_told_of_is_kept_for_another_day(sender: Sender, clock: ManualClock) -> None:
    pieces = cut(content_of(200_000))
    sender.send_plain([*pieces, b"not asked for"])
    clock.advance(seconds=23 * HOUR)
    assert sender.missing(pieces) == []
    clock.advance(seconds=2 * HOUR)
    collect(sender)
    assert sender.shelf.download(sender.assemble(pieces).file) == b"".join(pieces)
    assert sender.missing([b"not asked for"]) == [digest(b"not asked for")]


def test_a_chunk_that_came_again_is_kept_for_another_day(sender: Sender, clock: ManualClock) -> None:
    pieces = cut(content_of(200_000))
    sender.send_plain(pieces)
    clock.advance(seconds=23 * HOUR)
    assert sender.send_plain(pieces).chunk_count == 0
    clock.advance(seconds=2 * HOUR)
    collect(sender)
    assert sender.shelf.download(sender.assemble(pieces).file) == b"".join(pieces)


def test_the_chunks_of_a_list_are_kept_until_its_file_is_made(sender: Sender, clock: ManualClock) -> None:
    pieces = cut(content_of(200_000))
    content = b"".join(pieces)
    sender.send_plain(pieces)
    clock.advance(seconds=23 * HOUR)
    assembly = sender.assembly(sender.start())
    assembly.add(refs(pieces))
    clock.advance(seconds=2 * HOUR)
    collect(sender)
    made = assembly.finish(size_bytes=len(content), sha256=digest(content))
    clock.advance(seconds=48 * HOUR)
    collect(sender)
    assert sender.shelf.download(made.file) == content, "a file refers to them"


def test_files_are_made_whole_beside_a_collector_that_takes_whatever_it_may(sender: Sender, clock: ManualClock) -> None:
    """Every chunk is told to be there, sent or listed by somebody while it is at the end of its grace time."""
    over, took = Event(), Event()
    contents = [content_of(150_000, seed=seed) for seed in range(3)]

    def collecting() -> None:
        try:
            while not over.is_set():
                clock.advance(seconds=6)
                if Collector(sender.shelf.db, sender.shelf.blobs.packs, grace_seconds=10).collect().chunks:
                    took.set()
        finally:
            took.set()  # nobody waits for a collector that failed

    def sending(number: int) -> UploadedFile:
        """Makes files of the same contents as the others do, until something was taken, and keeps the last of them."""
        made: UploadedFile | None = None
        for turn in count():
            if made is not None:
                if turn >= 12 and took.is_set():
                    return made
                remove(sender, made)
            made = make(sender, contents[turn % 3], f"{number}-{turn}")
        raise AssertionError("turns never end")

    with ThreadPoolExecutor(4) as pool:
        collector = pool.submit(collecting)
        try:
            made = list(pool.map(sending, range(3)))
        finally:
            over.set()
        collector.result()
    for each in made:
        assert hashlib.sha256(sender.shelf.download(each.file)).digest() == each.file.sha256


def make(sender: Sender, content: bytes, file_name: str) -> UploadedFile:
    """A file, by as many attempts as it takes."""
    pieces = cut(content, 10_000)
    while True:
        missing = set(sender.missing(pieces))
        with suppress(ChunksMissing, BlobsDown):  # the collector was faster, and that was told
            sender.send_plain(piece for piece in pieces if digest(piece) in missing)
            return sender.assemble(pieces, upload_id=sender.start(file_name))


def remove(sender: Sender, uploaded: UploadedFile) -> None:
    file = uploaded.file
    delete_file(sender.shelf.db, sender.access, organization=file.organization, version=file.version, file_id=file.id)
