"""A bit that changed where bytes are stored: each is noticed by the read that meets it and by the check, none leaves as
a right answer, and sending the content again mends it (behaviour.md, Files and Collection)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from peewee import Model

from store.blobs.check import check_storage
from store.blobs.models import LIVE, Chunk, Content
from store.blobs.packs import IndexDamaged
from store.blobs.s3_index import IndexWriter, read_index
from store.errors import ChunkLost
from tests.contract.chunks import Sender, digest, packed, plain
from tests.contract.shelf import Shelf, content_of

SEED = 20
ROUNDS = 25
FLIPS = 20
"""A round, on each database: a thousand in all."""

PIECES = 160
SMALL = 12


class Library:
    """One file of many chunks, as they are and compressed, and small ones that lie in their rows."""

    def __init__(self, shelf: Shelf, rng: random.Random) -> None:
        self.shelf, self.sender, self.rng = shelf, Sender(shelf), rng
        self.pieces = [
            rng.randbytes(rng.randint(200, 3000)) if number % 2 else rng.randbytes(50) * rng.randint(20, 60)
            for number in range(PIECES)
        ]
        self.small = {f"small {number}": content_of(rng.randint(1, 3000), seed=number) for number in range(SMALL)}
        self.send(self.pieces)
        self.file = self.sender.assemble(self.pieces).file
        self.files = {name: shelf.upload(content, name).file for name, content in self.small.items()}

    def send(self, pieces: list[bytes]) -> None:
        """Chunks, every second one compressed."""
        self.sender.send([packed(piece) if self.pieces.index(piece) % 2 == 0 else plain(piece) for piece in pieces])

    def read(self, piece: bytes) -> bytes:
        """What the file has where the piece is."""
        start = sum(map(len, self.pieces[: self.pieces.index(piece)]))
        return self.shelf.download(self.file, offset=start, limit=len(piece))

    def flip_stored(self, piece: bytes) -> None:
        """A bit of the stored bytes of a chunk."""
        row = self.sender.row(piece)
        path = self.shelf.folder / "packs" / row.pack_id.hex()[-2:] / row.pack_id.hex()
        stored = bytearray(path.read_bytes())
        flip(stored, self.rng, row.pack_offset, row.stored_bytes)
        path.write_bytes(stored)

    def flip_checksum(self, piece: bytes) -> None:
        """A bit of the checksum in a chunk's row."""
        checksum = bytearray(self.sender.row(piece).checksum)
        flip(checksum, self.rng)
        self._change(Chunk, {Chunk.checksum: bytes(checksum)}, Chunk.sha256 == digest(piece))

    def flip_small(self, name: str) -> None:
        """A bit of a content that lies in its row."""
        data = bytearray(self.small[name])
        flip(data, self.rng)
        self._change(Content, {Content.inline_data: bytes(data)}, Content.sha256 == digest(self.small[name]))

    def _change(self, model: type[Model], values: dict[Any, Any], where: Any) -> None:
        self.shelf.db.write(lambda tx: tx.execute(model.update(values).where(where)))

    def findings(self, *, repair: bool = False) -> str:
        """What a check says, as one text."""
        checked = check_storage(self.shelf.db, self.shelf.blobs.packs, cutoff=0, repair=repair)
        return "\n".join(checked.findings)


def flip(data: bytearray, rng: random.Random, start: int = 0, length: int | None = None) -> None:
    place = start + rng.randrange(len(data) if length is None else length)
    data[place] ^= 1 << rng.randrange(8)


def is_lost(read: Callable[[], bytes]) -> bool:
    try:
        read()
    except ChunkLost:
        return True
    return False


@pytest.fixture
def library(shelf: Shelf) -> Library:
    return Library(shelf, random.Random(SEED))


@pytest.mark.timeout(300)
def test_every_flipped_bit_is_noticed_and_mended(library: Library) -> None:
    whole, rng = b"".join(library.pieces), library.rng
    for _ in range(ROUNDS):
        *stored, a, b, c = rng.sample(library.pieces, FLIPS - 3)
        names = rng.sample(sorted(library.small), 3)
        for piece in stored:
            library.flip_stored(piece)
        for piece in (a, b, c):
            library.flip_checksum(piece)
        for name in names:
            library.flip_small(name)
        damaged = {*stored, a, b, c}

        # Half of them are met by readers first, the others by the check.
        for piece in rng.sample(sorted(damaged), len(damaged) // 2):
            assert is_lost(lambda piece=piece: library.read(piece))  # type: ignore[misc]
        for piece in rng.sample([piece for piece in library.pieces if piece not in damaged], 10):
            assert library.read(piece) == piece
        for name, file in library.files.items():
            assert is_lost(lambda file=file: library.shelf.download(file)) == (name in names)  # type: ignore[misc]
        said = library.findings(repair=True)
        assert all(f"chunk {digest(piece).hex()}" in said for piece in damaged)
        assert said.count("the bytes in its row are damaged") == len(names)

        missing = library.sender.missing(library.pieces)
        assert sorted(missing) == sorted(digest(piece) for piece in damaged)
        library.send([piece for piece in library.pieces if digest(piece) in missing])
        for name in names:
            library.shelf.upload(library.small[name], name)
        assert library.shelf.download(library.file) == whole
        assert [library.shelf.download(library.files[name]) for name in names] == [
            library.small[name] for name in names
        ]
        assert library.findings() == ""
    assert {row.state for row in library.shelf.rows(Chunk)} == {LIVE}


def test_every_flipped_bit_of_the_index_of_an_object_is_noticed() -> None:
    rng, writer = random.Random(SEED), IndexWriter()
    chunks = [rng.randbytes(rng.randint(1, 200)) for _ in range(20)]
    for chunk in chunks:
        writer.add(chunk)
    index, size = writer.footer(), sum(map(len, chunks))
    assert len(read_index(index, size)) == len(chunks)
    for place in range(len(index)):
        for bit in range(8):
            changed = bytearray(index)
            changed[place] ^= 1 << bit
            with pytest.raises(IndexDamaged):
                read_index(bytes(changed), size)
