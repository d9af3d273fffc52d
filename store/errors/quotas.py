"""Errors of quotas."""

from __future__ import annotations

from typing import Final

from store.errors.kinds import ResourceExhausted

_MAY: Final = {
    "stored_bytes": "have at most {limit:,} bytes stored, and has {used:,}",
    "file_count": "have at most {limit:,} files in its releases, and has {used:,}",
    "stream_count": "run at most {limit:,} streams at a time on a server process, and runs {used:,}",
}
_DO: Final = {
    "stream_count": "wait for one to end",
}


class QuotaExceeded(ResourceExhausted):
    """The organization's quota allows no more. `quota` is the field of OrganizationQuota, used what it has by now."""

    def __init__(self, quota: str, *, limit: int, used: int, retry_after_seconds: float | None = None) -> None:
        do = _DO.get(quota, "delete what is no longer needed")
        super().__init__(
            f"The organization may {_MAY[quota].format(limit=limit, used=used)}: {do}, or ask the operator for more.",
            metadata={"quota": quota, "limit": str(limit), "used": str(used)},
            retry_after_seconds=retry_after_seconds,
        )
