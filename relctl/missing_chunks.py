"""Which chunks of a file the server does not have: asked for while it is cut, and sent."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Final

from relctl.chunk_streams import GROUP_BYTES, ChunkStreams, Group, Source, arrival_of
from relctl.chunked import Chunk

# How many chunks are asked about at once: few at first, so that sending begins soon.
FIRST_QUESTION: Final = 64
LARGEST_QUESTION: Final = 4096


class MissingChunks:
    """Finds out which chunks of one file are missing, and sends those. For one thread."""

    def __init__(self, chunks: ChunkStreams, source: Source) -> None:
        self._chunks = chunks
        self._source = source
        self._seen: set[bytes] = set()
        self._group = Group()
        self._own: set[Future[None]] = set()
        self._others: set[Future[None]] = set()

    @property
    def was_needed(self) -> bool:
        """Whether any chunk was missing when it was asked about."""
        return bool(self._group.chunks or self._own or self._others)

    def ask(self, chunks: Iterable[Chunk]) -> None:
        """Ask about the next chunks of the file. Those that are missing travel by the `send` that has to follow.

        Raises OSError when the chunks cannot be read, RegistryError, Stopped.
        """
        question: list[Chunk] = []
        size = FIRST_QUESTION
        for chunk in chunks:
            if chunk.sha256 in self._seen:
                self._source.meter.add(chunk.size_bytes)
                continue
            self._seen.add(chunk.sha256)
            question.append(chunk)
            if len(question) == size:
                self._claim(question)
                question = []
                size = min(2 * size, LARGEST_QUESTION)
        self._claim(question)

    def send(self, chunks: Iterable[Chunk]) -> None:
        """Send the missing ones of all chunks of the file, these being the last, and wait until they are there.

        Raises OSError when the chunks cannot be read, RegistryError, LocalError, Stopped.
        """
        try:
            self.ask(chunks)
            self._seal()
        except BaseException:
            self._chunks.drop(self._group)
            raise
        for group in self._own:
            group.result()
        for group in self._others:
            arrival_of(group)  # should it have failed, the assembly names what is missing

    def _claim(self, question: list[Chunk]) -> None:
        missing, others = self._chunks.claim(question)
        self._others |= others
        ours = {chunk.sha256 for chunk in missing}
        for chunk in question:
            arrived = self._chunks.put(self._group, chunk) if chunk.sha256 in ours else None
            if arrived is not self._group.arrived:
                self._source.meter.add(chunk.size_bytes)
                if arrived is not None:
                    self._others.add(arrived)
            elif self._group.size_bytes >= GROUP_BYTES:
                self._seal()

    def _seal(self) -> None:
        if self._group.chunks:
            self._own.add(self._group.arrived)
            group, self._group = self._group, Group()
            self._chunks.send(self._source, group)
