"""Chunks on their own: which are missing, and taking them in (behaviour.md, Files)."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zstandard

from store.blobs.models import AS_IT_IS, DAMAGED, ZSTD, Chunk, Pack
from store.database import Database
from store.errors import DigestMismatch, InvalidField, OrganizationNotFound, RegistryError, SizeMismatch
from store.uploads import chunks as chunks_module
from store.uploads.chunks import SentChunk, StoredChunks, missing_chunks, receive_chunks
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.chunks import Sender, cut, digest, packed, plain
from tests.contract.shelf import Shelf, content_of

MIB = 2**20
TEXT = b"some text that compresses well, as texts do. " * 1000


def test_what_was_never_sent_is_missing_each_once_and_in_order(sender: Sender) -> None:
    pieces = [b"c", b"a", b"b", b"a", b"c"]
    assert sender.missing(pieces) == [digest(b"c"), digest(b"a"), digest(b"b")]
    assert sender.missing([]) == []


def test_what_was_sent_is_not_missing(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    assert sender.send_plain(pieces) == StoredChunks(len(pieces), MIB)
    assert sender.missing([*pieces, b"another"]) == [digest(b"another")]
    assert sender.row(pieces[3]).encoding == AS_IT_IS


def test_looking_for_more_chunks_than_one_write_takes(sender: Sender) -> None:
    pieces = [b"%d" % number for number in range(chunks_module.TOUCHED_AT_ONCE + 700)]
    sender.send_plain(pieces[::2])
    assert sender.missing(pieces) == [digest(piece) for piece in pieces[1::2]]


def test_looking_for_a_chunk_keeps_it_for_another_grace_time(sender: Sender, clock: ManualClock) -> None:
    sender.send_plain([b"looked for", b"forgotten"])
    before = clock.now_us()
    clock.advance(seconds=1000)
    assert sender.missing([b"looked for"]) == []
    assert sender.row(b"looked for").touched_at == clock.now_us()
    assert sender.row(b"forgotten").touched_at == before


def test_sending_a_chunk_again_keeps_it_for_another_grace_time(sender: Sender, clock: ManualClock) -> None:
    sender.send_plain([b"twice"])
    clock.advance(seconds=1000)
    assert sender.send_plain([b"twice"]) == StoredChunks(0, 0)
    assert sender.row(b"twice").touched_at == clock.now_us()


def test_a_damaged_chunk_is_missing(sender: Sender) -> None:
    sender.send_plain([b"sound", b"damaged"])
    mark = Chunk.update(state=DAMAGED).where(Chunk.sha256 == digest(b"damaged"))
    sender.shelf.db.write(lambda tx: tx.execute(mark))
    assert sender.missing([b"sound", b"damaged"]) == [digest(b"damaged")]
    assert sender.send_plain([b"sound", b"damaged"]) == StoredChunks(1, len(b"damaged"))
    assert sender.missing([b"sound", b"damaged"]) == []


def test_a_chunk_whose_bytes_are_not_what_its_row_says_is_mended(sender: Sender) -> None:
    pieces = cut(content_of(4 * 64 * 1024))
    sender.send_plain(pieces)
    sender.damage(pieces[2])
    damaged = sender.row(pieces[2])
    assert sender.send_plain(pieces) == StoredChunks(1, len(pieces[2]))
    assert sender.row(pieces[2]).pack_id != damaged.pack_id
    assert sender.shelf.download(sender.assemble(pieces).file) == b"".join(pieces)


def test_a_chunk_whose_pack_is_gone_is_mended(sender: Sender) -> None:
    sender.send_plain([b"gone"])
    (pack,) = sender.shelf.packs()
    pack.unlink()
    assert sender.send_plain([b"gone"]) == StoredChunks(1, 4)
    assert sender.shelf.download(sender.assemble([b"gone"]).file) == b"gone"


def test_a_chunk_that_comes_twice_is_stored_once(sender: Sender) -> None:
    piece = content_of(1000)
    assert sender.send_plain([piece, piece, piece]) == StoredChunks(1, 1000)
    assert sum(path.stat().st_size for path in sender.shelf.packs()) < 2000


def test_a_sound_frame_is_kept_as_it_came(sender: Sender) -> None:
    chunk = packed(TEXT)
    assert sender.send([chunk]) == StoredChunks(1, len(chunk.data))
    row = sender.row(TEXT)
    assert (row.encoding, row.size_bytes, row.stored_bytes) == (ZSTD, len(TEXT), len(chunk.data))
    assert chunk.data in sender.shelf.packs()[0].read_bytes()


def test_a_frame_that_saves_nothing_is_stored_unpacked(sender: Sender) -> None:
    piece = content_of(1000)
    assert len(packed(piece).data) > 1000
    assert sender.send([packed(piece)]) == StoredChunks(1, 1000)
    assert sender.row(piece).encoding == AS_IT_IS


def test_frames_and_plain_chunks_of_the_same_bytes_are_the_same_chunk(sender: Sender) -> None:
    sender.send([packed(TEXT)])
    assert sender.send([plain(TEXT), packed(TEXT)]) == StoredChunks(0, 0)


def a_frame(data: bytes, **options: Any) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, **options)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def without_size(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(data)


def with_dictionary(data: bytes) -> bytes:
    dictionary = zstandard.train_dictionary(2048, [b"%d %d" % (number, number * 7) for number in range(3000)])
    return zstandard.ZstdCompressor(dict_data=dictionary).compress(data)


def with_large_window(data: bytes) -> bytes:
    """The same frame, with a header that asks for a window of 16 MiB: one that is no single segment says its own."""
    frame = without_size(data)
    assert frame[4] & 0xE3 == 0, "neither size, single segment nor dictionary"
    # Descriptor with a size of 4 bytes, window descriptor of 2 ** (10 + 14), and the size.
    return frame[:4] + bytes([frame[4] | 0x80, 14 << 3]) + len(data).to_bytes(4, "little") + frame[6:]


def saying(size: int) -> Callable[[bytes], bytes]:
    """A frame whose header declares so many bytes, whatever is in it."""

    def forged(data: bytes) -> bytes:
        frame = without_size(data)
        return frame[:4] + bytes([frame[4] | 0x80, frame[5]]) + size.to_bytes(4, "little") + frame[6:]

    return forged


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(lambda data: b"", id="nothing"),
        pytest.param(lambda data: b"\x28\xb5\x2f\xfd", id="a magic number alone"),
        pytest.param(lambda data: random.Random(1).randbytes(200), id="garbage"),
        pytest.param(lambda data: a_frame(data)[:-1], id="a truncated frame"),
        pytest.param(lambda data: a_frame(data)[:5], id="half a header"),
        pytest.param(lambda data: a_frame(data) + b"\0", id="trailing bytes"),
        pytest.param(lambda data: a_frame(data) + a_frame(b""), id="an empty frame behind it"),
        pytest.param(lambda data: a_frame(data[:100]) + a_frame(data[100:]), id="two frames"),
        pytest.param(lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0skip" + a_frame(data), id="a frame to be skipped"),
        pytest.param(lambda data: a_frame(data) + b"\x50\x2a\x4d\x18\x04\0\0\0skip", id="one to be skipped behind it"),
        pytest.param(without_size, id="no content size"),
        pytest.param(with_dictionary, id="a dictionary"),
        pytest.param(with_large_window, id="a window of 16 MiB"),
        pytest.param(lambda data: a_frame(data[:-1]), id="fewer bytes than announced"),
        pytest.param(lambda data: a_frame(data + b"more"), id="more bytes than announced"),
        pytest.param(lambda data: saying(len(data))(data * 50), id="a header that says too little"),
        pytest.param(lambda data: saying(len(data))(data[:-10]), id="a header that says too much"),
        pytest.param(saying(2**31), id="a header that says 2 GiB"),
        pytest.param(lambda data: saying(len(data))(b"\0" * 50 * MIB), id="a bomb under the right size"),
    ],
)
def test_data_that_is_no_single_sound_frame_is_refused(shelf: Shelf, frame: Callable[[bytes], bytes]) -> None:
    bad = SentChunk(digest(TEXT), len(TEXT), ZSTD, frame(TEXT))
    with pytest.raises(InvalidField) as refused:
        Sender(shelf).send([plain(b"before"), bad])
    assert refused.value.metadata["field"] == "chunks[1].data"
    assert (shelf.rows(Chunk), shelf.rows(Pack), shelf.packs(), shelf.unfinished()) == ([], [], [], [])


def test_forged_headers_are_what_they_claim_to_be() -> None:
    """Else the test above would see garbage refused."""
    for forged in (saying(len(TEXT))(TEXT), with_large_window(TEXT)):
        assert zstandard.ZstdDecompressor(max_window_size=2**27).decompress(forged) == TEXT
    assert zstandard.get_frame_parameters(with_large_window(TEXT)).window_size == 2**24


def test_a_frame_of_other_bytes_is_refused(sender: Sender) -> None:
    other = TEXT[:-1] + b"!"
    with pytest.raises(DigestMismatch) as refused:
        sender.send([SentChunk(digest(TEXT), len(TEXT), ZSTD, packed(other).data)])
    assert refused.value.metadata == {"expected": digest(TEXT).hex(), "actual": digest(other).hex()}


def test_a_window_of_8_mib_is_taken(sender: Sender) -> None:
    frame = a_frame(TEXT, window_log=23)
    assert sender.send([SentChunk(digest(TEXT), len(TEXT), ZSTD, frame)]).chunk_count == 1


def test_a_thousand_small_frames_of_large_chunks_need_the_memory_of_one(sender: Sender) -> None:
    bombs = [packed(number.to_bytes(4, "big") * (MIB // 4)) for number in range(200)]
    assert all(len(bomb.data) * 1000 < MIB for bomb in bombs), "a thousand to one, each"
    sender.send(bombs[:1])  # what is loaded once
    tracemalloc.start()
    try:
        assert sender.send(bombs, at_once=1000).chunk_count == 199
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB


@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        (SentChunk(digest(b"abc"), 3, AS_IT_IS, b"abd"), DigestMismatch),
        (SentChunk(digest(b"abc"), 4, AS_IT_IS, b"abc"), SizeMismatch),
        (SentChunk(digest(b"abc"), 2, AS_IT_IS, b"abc"), SizeMismatch),
        (SentChunk(digest(b""), 0, AS_IT_IS, b""), InvalidField),
        (SentChunk(digest(b"\0" * (MIB + 1)), MIB + 1, AS_IT_IS, b"\0" * (MIB + 1)), InvalidField),
        (packed(b"\0" * (MIB + 1)), InvalidField),
        (SentChunk(digest(b"abc"), 2**40, ZSTD, b"abc"), InvalidField),
    ],
)
def test_a_chunk_that_is_not_what_it_says_is_refused(
    shelf: Shelf, chunk: SentChunk, error: type[RegistryError]
) -> None:
    with pytest.raises(error):
        Sender(shelf).send([plain(b"before"), chunk])
    assert (shelf.rows(Chunk), shelf.packs(), shelf.unfinished()) == ([], [], [])


def test_chunks_of_a_stream_with_another_count_are_not_kept(sender: Sender) -> None:
    with pytest.raises(SizeMismatch):
        sender.send([plain(b"one"), plain(b"two")], count=3)
    assert sender.shelf.rows(Chunk) == []


def test_a_stream_that_is_cut_leaves_nothing_of_its_last_group(shelf: Shelf) -> None:
    with receive_chunks(shelf.db, shelf.blobs, shelf.acme.everybody, "acme") as intake:
        intake.take([plain(b"one"), plain(b"two")])
    assert (shelf.rows(Chunk), shelf.rows(Pack), shelf.packs(), shelf.unfinished()) == ([], [], [], [])


def test_a_long_stream_is_kept_group_by_group(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_module, "GROUP_BYTES", 200_000)
    pieces = cut(content_of(10 * 64 * 1024))
    with receive_chunks(shelf.db, shelf.blobs, shelf.acme.everybody, "acme") as intake:
        for piece in pieces:
            intake.take([plain(piece), plain(pieces[0])])
    assert len(shelf.rows(Chunk)) == 8, "two groups of four are complete, and two chunks are nobody's"
    (pack,) = shelf.rows(Pack)
    assert shelf.packs()[0].stat().st_size == pack.size_bytes >= 8 * 64 * 1024


def test_streams_side_by_side_bring_the_chunks_of_a_file_in_any_order(sender: Sender) -> None:
    content = content_of(8 * MIB)
    pieces = cut(content)
    shuffled = [random.Random(seed).sample(pieces, k=len(pieces) * 2 // 3) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        stored = list(pool.map(sender.send_plain, shuffled))
    sender.send_plain(piece for piece in pieces if digest(piece) in sender.missing(pieces))
    assert sum(each.chunk_count for each in stored) >= len({piece for sent in shuffled for piece in sent})
    assert len(sender.shelf.rows(Chunk)) == len(set(pieces))
    assert sender.shelf.download(sender.assemble(pieces).file) == content


def test_chunks_of_one_organization_are_not_those_of_another(shelf: Shelf, database: Database) -> None:
    Sender(shelf).send_plain([b"theirs"])
    rival = Acme(database, "web", slug="rival")
    for call in (
        lambda: missing_chunks(database, rival.everybody, "acme", [digest(b"theirs")]),
        lambda: receive_chunks(database, shelf.blobs, rival.everybody, "acme"),
    ):
        with pytest.raises(OrganizationNotFound):
            call()
    assert missing_chunks(database, rival.everybody, "rival", [digest(b"theirs")]) == [digest(b"theirs")]
    with receive_chunks(database, shelf.blobs, rival.everybody, "rival") as intake:
        intake.take([plain(b"theirs")])
        assert intake.finish(chunk_count=1) == StoredChunks(1, 6), "as if nobody had it"
    assert len(shelf.rows(Chunk)) == 2
