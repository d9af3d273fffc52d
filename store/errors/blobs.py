"""Errors of the stored bytes, and of their collection."""

from __future__ import annotations

from store.errors.kinds import Aborted, DataLoss, Unavailable


class ChunkLost(DataLoss):
    """Stored bytes are damaged or gone; sha256 is that of the chunk (or small file) they belong to."""

    def __init__(self, sha256: str) -> None:
        super().__init__(
            "Stored bytes of this file are damaged or gone; upload the file again.", metadata={"sha256": sha256}
        )


class BlobsDown(Unavailable):
    """The store of the files' bytes cannot be reached."""

    def __init__(self) -> None:
        super().__init__("The store of the files' bytes cannot be reached. Try again.", retry_after_seconds=2.0)


class CollectorBusy(Aborted):
    """Another collector is at work, or took over from this one."""

    def __init__(self) -> None:
        super().__init__(
            "Another server is collecting; what it removes need not be removed again. Try later.",
            retry_after_seconds=30.0,
        )
