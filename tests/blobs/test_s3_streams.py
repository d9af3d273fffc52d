"""How packs that are objects are read: ahead, and without a trace when that failed."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from store.blobs.s3_streams import Part, S3Reader
from store.database import new_id
from store.errors import BlobsDown

KIB = 1024


def test_a_reader_whose_asking_ahead_failed_hangs_in_no_circle() -> None:
    class Failing:
        """Has the first part of a pack, and is then away."""

        executor = ThreadPoolExecutor(1)

        def put(self, *_: object) -> None:
            raise BlobsDown

        get = remove = put

    def used() -> weakref.ref[S3Reader]:
        data = memoryview(bytes(2 * KIB))
        reader = S3Reader(Failing(), new_id(), 0, Part(data, 8 * KIB))
        reader._next = 2 * KIB
        reader._ahead.append((2 * KIB, Failing.executor.submit(reader._fetch, 2 * KIB, KIB)))
        with suppress(BlobsDown):
            reader.read(2 * KIB, KIB)
            raise AssertionError("it was read")
        return weakref.ref(reader)

    gc.collect()
    gc.disable()  # it would find the circle, some time
    try:
        reader = used()
        Failing.executor.shutdown()
        assert reader() is None
    finally:
        gc.enable()
