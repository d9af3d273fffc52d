"""The kinds of errors: what every error of the store carries, and the base class that decides its status code.

The mapping from kinds to codes lives in the server, because the store knows no gRPC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One bad field: its path in the request, and what is wrong with it in words for the caller."""

    field: str
    description: str


class RegistryError(Exception):
    """An error that the caller is told about: reason, message, and what a program can act on.

    `message` says what is wrong and what to do, and never quotes a foreign exception. `metadata` carries short text
    values for programs. `violations` names bad fields. `retry_after_seconds` is set where trying again later helps.
    """

    reason: ClassVar[str] = "INTERNAL"
    max_value_chars: ClassVar[int] = 0
    """How long a value of the metadata may get; as long as the server allows any when 0."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "reason" not in cls.__dict__:
            cls.reason = _WORD_START.sub("_", cls.__name__).upper()

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.violations: tuple[FieldViolation, ...] = tuple(violations)
        self.retry_after_seconds = retry_after_seconds


class InvalidArgument(RegistryError):
    """The request is wrong whatever the state of the registry."""


class DeadlineExceeded(RegistryError):
    """The work did not end in time."""


class OutOfRange(RegistryError):
    """The position asked for lies beyond what there is."""


class NotFound(RegistryError):
    """It is not there, or it is not the caller's: both look alike."""


class AlreadyExists(RegistryError):
    """Something else already holds that name."""


class Aborted(RegistryError):
    """Another writer was first."""


class FailedPrecondition(RegistryError):
    """The state of the registry forbids it; trying again without changing that state is useless."""


class PermissionDenied(RegistryError):
    """The caller is known and may not."""


class Unauthenticated(RegistryError):
    """The caller is not known."""


class ResourceExhausted(RegistryError):
    """A quota or limit of the caller is used up, or the disk is."""


class Unavailable(RegistryError):
    """The service cannot do it now; the same call may well succeed later."""


class DataLoss(RegistryError):
    """Stored bytes are damaged."""
