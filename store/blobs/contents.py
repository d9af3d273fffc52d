"""What a content is to those who keep, read and refer to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContentRow:
    """A content: whose it is, its SHA-256 and its size in bytes."""

    id: bytes
    organization_id: bytes
    sha256: bytes
    size_bytes: int
