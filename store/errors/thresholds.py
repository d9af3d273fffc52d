"""Errors of thresholds."""

from __future__ import annotations

from store.errors.kinds import FailedPrecondition, NotFound


class ThresholdNotFound(NotFound):
    """No such threshold in the project."""

    def __init__(self, organization: str, project: str, uid: str) -> None:
        name = f"organizations/{organization}/projects/{project}/thresholds/{uid}"
        super().__init__(f"{name} does not exist, or you may not see it.", metadata={"name": name})


class TooManyThresholds(FailedPrecondition):
    """The project has as many thresholds as one may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The project has {limit} thresholds, and no project may have more; delete one first.",
            metadata={"limit": str(limit)},
        )
