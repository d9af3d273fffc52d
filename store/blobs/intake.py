"""The pipeline of one content coming in: what the processor does to each byte, spread over three threads.

    feed() -> blocks of 2 MiB -> SHA-256 of the whole
                              -> cutting, SHA-256 of each chunk -> writing

The threads work on the same blocks, side by side: hashing, checksums and system calls let go of the interpreter's
lock. Four blocks a stream bound the memory and, by making feed() wait, hold back a client that is faster than the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

BLOCK_BYTES: Final = 2 * 2**20
BLOCK_COUNT: Final = 4
THREADS: Final = 3

P = TypeVar("P")


class _Block:
    __slots__ = ("data", "last", "size", "users")

    def __init__(self) -> None:
        self.data = memoryview(bytearray(BLOCK_BYTES))
        self.size = 0
        self.last = False
        self.users = 0


class Intake(Generic[P]):
    """Runs `hash_whole` and, behind one another, `cut` and `store` over all that is fed, each on a thread of its own.

    What `cut` makes of a block goes to `store`, which may use the block's memory until it returns. An error in any of
    them comes out of the next `feed` or `end`. The executor has 3 free threads, or this one waits for ever. Whoever
    makes an intake calls `end` or `abort`.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        hash_whole: Callable[[memoryview], object],
        cut: Callable[[memoryview, bool], P],
        store: Callable[[P], None],
    ) -> None:
        self._free: SimpleQueue[_Block] = SimpleQueue()
        self._made = 0
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._to_hash: SimpleQueue[_Block | None] = SimpleQueue()
        self._to_cut: SimpleQueue[_Block | None] = SimpleQueue()
        self._to_store: SimpleQueue[tuple[_Block, P] | None] = SimpleQueue()
        self._hash_whole, self._cut, self._store = hash_whole, cut, store
        self._block = self._next_block()
        self._running: list[Future[None]] = [
            executor.submit(self._hashing),
            executor.submit(self._cutting),
            executor.submit(self._storing),
        ]

    def feed(self, data: bytes | memoryview) -> None:
        """Takes all of `data`; waits while four blocks are under way. Raises what a stage raised."""
        rest = memoryview(data)
        while rest:
            block = self._block
            part = rest[: BLOCK_BYTES - block.size]
            block.data[block.size : block.size + len(part)] = part
            block.size += len(part)
            rest = rest[len(part) :]
            if block.size == BLOCK_BYTES:
                self._send(block)
                self._block = self._next_block()

    def end(self) -> None:
        """Returns when every byte went through every stage. Raises what a stage raised."""
        self._block.last = True
        self._send(self._block)
        self._finish()
        self._raise_error()

    def abort(self) -> None:
        """Ends the stages, wherever they are; what they made is of no use."""
        self._error = self._error or RuntimeError("the intake was aborted")
        self._finish()

    def _finish(self) -> None:
        self._to_hash.put(None)
        self._to_cut.put(None)
        for future in self._running:
            future.result()

    def _send(self, block: _Block) -> None:
        block.users = 2  # the hashing and, through cutting, the storing
        self._to_hash.put(block)
        self._to_cut.put(block)

    def _next_block(self) -> _Block:
        self._raise_error()
        if self._made < BLOCK_COUNT:
            self._made += 1
            return _Block()
        block = self._free.get()
        self._raise_error()
        block.size = 0
        return block

    def _done_with(self, block: _Block) -> None:
        with self._lock:
            block.users -= 1
            free = block.users == 0
        if free:
            self._free.put(block)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    # After an error the stages go on taking blocks, without working on them: nobody waits for ever.

    def _hashing(self) -> None:
        while (block := self._to_hash.get()) is not None:
            try:
                if self._error is None:
                    self._hash_whole(block.data[: block.size])
            except BaseException as error:  # noqa: BLE001 - handed to the feeding thread
                self._error = error
            self._done_with(block)

    def _cutting(self) -> None:
        while (block := self._to_cut.get()) is not None:
            try:
                if self._error is None:
                    self._to_store.put((block, self._cut(block.data[: block.size], block.last)))
                    continue
            except BaseException as error:  # noqa: BLE001 - handed to the feeding thread
                self._error = error
            self._done_with(block)
        self._to_store.put(None)

    def _storing(self) -> None:
        while (task := self._to_store.get()) is not None:
            block, pieces = task
            try:
                if self._error is None:
                    self._store(pieces)
            except BaseException as error:  # noqa: BLE001 - handed to the feeding thread
                self._error = error
            self._done_with(block)
