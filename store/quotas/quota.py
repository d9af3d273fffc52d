"""Quotas and usage as operations have them (behaviour.md, Quotas)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

STORED_BYTES: Final = "stored_bytes"
FILE_COUNT: Final = "file_count"
STREAM_COUNT: Final = "stream_count"
"""The names of the quotas, as the contract has them."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much an organization may have; None where nothing is said, which for a quota that holds means no limit."""

    stored_bytes: int | None = None
    file_count: int | None = None
    stream_count: int | None = None

    def over(self, defaults: Quota) -> Quota:
        """The quota that holds: what this one says, else what the defaults say."""
        return Quota(
            self.stored_bytes if self.stored_bytes is not None else defaults.stored_bytes,
            self.file_count if self.file_count is not None else defaults.file_count,
            self.stream_count if self.stream_count is not None else defaults.stream_count,
        )

    @property
    def limits_storage(self) -> bool:
        """Whether it says something of what is stored."""
        return self.limits((STORED_BYTES, FILE_COUNT))

    def limits(self, names: Iterable[str]) -> bool:
        """Whether it says something of one of these."""
        return any(getattr(self, name) is not None for name in names)


NO_QUOTA: Final = Quota()

QUOTAS: Final = tuple(field.name for field in fields(Quota))
"""The names of all quotas."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much an organization has, and the quota that holds for it."""

    stored_bytes: int
    file_count: int
    quota: Quota
