"""Errors of uploads, and of what is assembled from chunks."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import ClassVar

from store.errors.kinds import Aborted, FailedPrecondition, InvalidArgument, NotFound, OutOfRange


class UploadNotFound(NotFound):
    """No such upload, or not yours, or it ended by itself; `upload_id` is its UUID as text."""

    def __init__(self, organization: str, upload_id: str) -> None:
        name = f"organizations/{organization}/uploads/{upload_id}"
        super().__init__(
            f"{name} does not exist, has ended by itself, or is not yours to see.", metadata={"name": name}
        )


class UploadTakenOver(Aborted):
    """A later stream goes on with this upload. Nothing says when to repeat: two streams would chase each other."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(
            "A later stream goes on with this upload; this one was ended.", metadata={"upload_id": upload_id}
        )


class UploadClosed(FailedPrecondition):
    """The upload was cancelled, or is finished, as `state` says."""

    def __init__(self, upload_id: str, state: str) -> None:
        super().__init__(
            f"The upload is {state.lower()}; begin another one under a new upload_id.",
            metadata={"upload_id": upload_id, "state": state},
        )


class OffsetMismatch(OutOfRange):
    """A data frame does not begin where the server's bytes end; the next stream begins at committed_bytes."""

    def __init__(self, committed_bytes: int) -> None:
        super().__init__(
            f"The data does not begin where the stored bytes end; send from offset {committed_bytes}.",
            metadata={"committed_bytes": str(committed_bytes)},
        )


class DigestMismatch(InvalidArgument):
    """The received bytes do not have the announced SHA-256; both are told as hexadecimal digits."""

    def __init__(self, *, expected: str, actual: str) -> None:
        super().__init__(
            "The received bytes do not have the announced SHA-256; nothing was stored. Send them again.",
            metadata={"expected": expected, "actual": actual},
        )


class ChunksMissing(FailedPrecondition):
    """The organization lacks chunks of the file that is to be assembled, or theirs were damaged.

    The metadata holds the SHA-256 of the first of them, at most 40, and how many there are.
    """

    max_value_chars: ClassVar[int] = 40 * (64 + len(", "))

    def __init__(self, digests: Iterable[str], missing_count: int) -> None:
        listed = ", ".join(islice(digests, 40))
        super().__init__(
            f"{missing_count} chunks of the file are missing; FindMissingChunks tells which. Send them and repeat.",
            metadata={"sha256": listed, "missing_count": str(missing_count)},
        )
