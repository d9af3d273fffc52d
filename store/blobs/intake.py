"""The pipeline of one content coming in: what the processor does to each byte, spread over three threads.

    feed() -> blocks of 1.5 MiB -> hashing of the whole
                                -> cutting, hashing of each chunk -> storing

The threads work on the same blocks, side by side: hashing, checksums and system calls let go of the interpreter's
lock. Three blocks a stream bound the memory and, as feed() waits for one, hold back a client that outruns the disk.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

from store.blobs.memory import anonymous_memory

BLOCK_BYTES: Final = 3 * 2**19
BLOCK_COUNT: Final = 3
"""One fills, one is hashed and cut, one is stored. The database is asked once for each: smaller ones cost more."""

BLOCK_SECONDS: Final = 0.5
"""A block that began to fill so long ago is sent on with what it has."""

HEADROOM_BYTES: Final = 2**20
"""What each block has before its data, for the cutting to put there what the block before left over."""

THREADS: Final = 3

P = TypeVar("P")


class Stages(ABC, Generic[P]):
    """What an intake does to the blocks, each of the three on a thread of its own."""

    def before_hashing(self) -> None:
        """Called once, on the hashing thread, while the first blocks are already coming in."""

    @abstractmethod
    def hash_whole(self, data: memoryview) -> None:
        """Takes the next bytes, in order."""

    @abstractmethod
    def cut(self, buffer: memoryview, *, last: bool) -> P:
        """Makes pieces of the bytes of the buffer from HEADROOM_BYTES on; those before are its own to write to."""

    @abstractmethod
    def store(self, pieces: P) -> None:
        """Takes what `cut` made of a block, whose memory is good until this returns."""

    @abstractmethod
    def wait_seconds(self) -> float | None:
        """How long the storing may wait for more before it wants `wait_is_over`; None: for ever."""

    @abstractmethod
    def wait_is_over(self) -> None:
        """Called on the storing thread when nothing came for so long."""


class _Block:
    __slots__ = ("begun", "data", "last", "size", "users")

    def __init__(self, block_bytes: int) -> None:
        self.data = anonymous_memory(HEADROOM_BYTES + block_bytes)
        self.size = 0
        self.begun = 0.0
        self.last = False
        self.users = 0

    @property
    def filled(self) -> memoryview:
        return self.data[: HEADROOM_BYTES + self.size]


class Intake(Generic[P]):
    """Runs the stages over all that is fed.

    An error in any of them comes out of the next `feed` or `end`. The executor has 3 free threads, or this one waits
    for ever. Whoever makes an intake calls `end`, `stop` or `abort`. Blocks have at most `block_bytes`.
    """

    def __init__(self, executor: Executor, stages: Stages[P], *, block_bytes: int = 2**63) -> None:
        self._stages = stages
        self._block_bytes = min(block_bytes, BLOCK_BYTES)
        self._free: SimpleQueue[_Block] = SimpleQueue()
        self._made = 0
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._hashing_wanted = True
        self._to_hash: SimpleQueue[_Block | None] = SimpleQueue()
        self._to_cut: SimpleQueue[_Block | None] = SimpleQueue()
        self._to_store: SimpleQueue[tuple[_Block, P] | None] = SimpleQueue()
        self._block = self._next_block()
        self._running: list[Future[Any]] = [
            executor.submit(self._hashing),
            executor.submit(self._cutting),
            executor.submit(self._storing),
        ]

    def feed(self, data: bytes | memoryview) -> None:
        """Takes all of `data`; waits while three blocks are under way. Raises what a stage raised."""
        rest = memoryview(data)
        while rest:
            block = self._block
            part = rest[: self._block_bytes - block.size]
            at = HEADROOM_BYTES + block.size
            block.data[at : at + len(part)] = part
            if not block.size:
                block.begun = time.monotonic()
            block.size += len(part)
            rest = rest[len(part) :]
            if block.size == self._block_bytes or time.monotonic() - block.begun >= BLOCK_SECONDS:
                self._send(block)
                self._block = self._next_block()
        self._raise_error()

    def end(self) -> None:
        """Returns when every byte went through every stage. Raises what a stage raised."""
        self._block.last = True
        self._send(self._block)
        self._finish()
        self._raise_error()

    def stop(self) -> None:
        """Returns when every byte was cut and stored, as far as that is certain; they are not hashed as a whole.

        Raises what a stage raised.
        """
        self._hashing_wanted = False
        self._send(self._block)
        self._finish()
        self._raise_error()

    def abort(self) -> None:
        """Ends the stages, wherever they are; what they made is of no use."""
        self._error = self._error or RuntimeError("the intake was aborted")
        self._finish()
        self._error = None  # its traceback knows this intake: such a circle would keep the stream that was refused

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
            return _Block(self._block_bytes)
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
        begun = False
        while (block := self._to_hash.get()) is not None:
            try:
                if self._error is None and self._hashing_wanted:
                    if not begun:
                        begun = True
                        self._stages.before_hashing()
                    self._stages.hash_whole(block.data[HEADROOM_BYTES : HEADROOM_BYTES + block.size])
            except BaseException as error:  # noqa: BLE001 - handed to the feeding thread
                self._error = error
            self._done_with(block)

    def _cutting(self) -> None:
        while (block := self._to_cut.get()) is not None:
            try:
                if self._error is None:
                    self._to_store.put((block, self._stages.cut(block.filled, last=block.last)))
                    continue
            except BaseException as error:  # noqa: BLE001 - handed to the feeding thread
                self._error = error
            self._done_with(block)
        self._to_store.put(None)

    def _storing(self) -> None:
        while True:
            block: _Block | None = None
            try:
                wait = self._stages.wait_seconds() if self._error is None else None
                task = self._to_store.get(timeout=None if wait is None else max(0.0, wait))
                if task is None:
                    return
                block, pieces = task
                if self._error is None:
                    self._stages.store(pieces)
            except Empty:
                self._guarded_wait_is_over()
            except BaseException as error:  # noqa: BLE001 - handed to the feeding thread
                self._error = error
            if block is not None:
                self._done_with(block)

    def _guarded_wait_is_over(self) -> None:
        try:
            self._stages.wait_is_over()
        except BaseException as error:  # noqa: BLE001 - handed to the feeding thread
            self._error = error
