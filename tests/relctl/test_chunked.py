from __future__ import annotations

import hashlib
import io
import random

import pytest
import zstandard
from pyfastcdc import FastCDC
from releaseregistry.v1.uploads_pb2 import ChunkEncoding, Chunking

from relctl import chunked
from relctl.chunked import Chunk, ChunkList, Cutting, Packer

SIZES = Chunking(min_bytes=64 * 2**10, average_bytes=256 * 2**10, max_bytes=2**20)


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def whole_cut(content: bytes) -> list[Chunk]:
    """What cutting the file in one piece answers."""
    cdc = FastCDC(SIZES.average_bytes, min_size=SIZES.min_bytes, max_size=SIZES.max_bytes, normalized_chunking=1)
    return [
        Chunk(hashlib.sha256(content[each.offset :][: each.length]).digest(), each.offset, each.length)
        for each in cdc.cut_buf(content)
    ]


@pytest.mark.parametrize("read_bytes", [64 * 2**10, 2**20, 2**20 + 1, 3_000_001])
def test_cuts_depend_on_the_content_alone_and_not_on_how_it_is_read(
    read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked, "READ_BYTES", read_bytes)
    # Zeros offer no place to cut: there the largest chunks are.
    content = noise(3_000_000) + bytes(3 * 2**20 + 5) + noise(1_000_000, seed=2)
    cutting = Cutting(io.BytesIO(content), SIZES)
    assert list(cutting) == whole_cut(content)
    assert cutting.sha256 == hashlib.sha256(content).hexdigest()
    assert cutting.size_bytes == len(content)


def test_the_whole_is_not_hashed_from_where_its_digest_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "READ_BYTES", 2**20)
    content = noise(3_000_000)
    cutting = Cutting(io.BytesIO(content), SIZES)
    chunks = iter(cutting)
    first = next(chunks)
    cutting.spare("known")
    assert [first, *chunks] == whole_cut(content)
    assert (cutting.sha256, cutting.size_bytes) == ("known", len(content))


def test_nothing_has_no_chunks_and_its_digest() -> None:
    cutting = Cutting(io.BytesIO(b""), SIZES)
    assert list(cutting) == []
    assert cutting.sha256 == hashlib.sha256(b"").hexdigest()


def test_without_the_compiled_cutter_chunks_of_one_size_hold_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "READ_BYTES", 300_000)
    slow = type("FastCDC", (), {"__module__": "pyfastcdc.py.fastcdc"})
    monkeypatch.setattr(chunked, "FastCDC", slow)
    content = noise(1_000_000)
    chunks = list(Cutting(io.BytesIO(content), SIZES))
    assert [chunk.size_bytes for chunk in chunks] == [2**18, 2**18, 2**18, 1_000_000 - 3 * 2**18]
    for chunk in chunks:
        assert chunk.sha256 == hashlib.sha256(content[chunk.offset :][: chunk.size_bytes]).digest()


def test_a_list_of_chunks_gives_back_what_was_put_in_with_offsets() -> None:
    chunks = whole_cut(noise(2_000_000))
    kept = ChunkList()
    for chunk in chunks:
        kept.append(chunk)
    assert list(kept) == chunks
    assert len(kept) == len(chunks)


def test_a_chunk_is_packed_only_where_that_saves() -> None:
    packer = Packer(compress=True)
    text = b"the same words again and again; " * 5000
    packed = packer.packed(Chunk(b"\1" * 32, 0, len(text)), text)
    assert packed.encoding == ChunkEncoding.CHUNK_ENCODING_ZSTD
    assert zstandard.ZstdDecompressor().decompress(packed.data) == text
    assert packed.size_bytes == len(text)
    assert packed.sha256 == "01" * 32
    plain = packer.packed(Chunk(b"\2" * 32, 0, 100_000), noise(100_000))
    assert plain.encoding == ChunkEncoding.CHUNK_ENCODING_IDENTITY
    assert plain.data == noise(100_000)


def test_content_that_does_not_shrink_is_tried_less_and_less_and_text_behind_it_is_noticed() -> None:
    packer = Packer(compress=True)
    text, rubbish = b"abcd" * 20_000, noise(80_000)
    for _ in range(100):
        packer.packed(Chunk(b"\1" * 32, 0, len(rubbish)), rubbish)
    encodings = [packer.packed(Chunk(b"\2" * 32, 0, len(text)), text).encoding for _ in range(40)]
    first = encodings.index(ChunkEncoding.CHUNK_ENCODING_ZSTD)
    assert 0 < first <= 16
    assert set(encodings[first:]) == {ChunkEncoding.CHUNK_ENCODING_ZSTD}


def test_a_server_that_takes_no_packed_chunks_gets_none() -> None:
    text = b"abcd" * 20_000
    packed = Packer(compress=False).packed(Chunk(b"\1" * 32, 0, len(text)), text)
    assert (packed.encoding, packed.data) == (ChunkEncoding.CHUNK_ENCODING_IDENTITY, text)
