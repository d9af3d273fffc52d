"""How commands write what they print."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """A number and what it counts: `1 pack`, `2,000 packs`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
