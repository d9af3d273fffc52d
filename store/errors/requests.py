"""Errors of a request or of a stream as such, whatever it is about."""

from __future__ import annotations

from store.errors.kinds import DeadlineExceeded, FailedPrecondition, FieldViolation, InvalidArgument


class InvalidField(InvalidArgument):
    """A field holds what it may not; `field` is its path in the request, such as `token.scopes`."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(
            f"{field}: {description}",
            metadata={"field": field},
            violations=(FieldViolation(field, description),),
        )


class PageTokenInvalid(InvalidArgument):
    """The page token is damaged, too old, of another caller or of another list; which of these is not told."""

    def __init__(self) -> None:
        text = "is damaged, older than 3 days, or of another list or caller; start again without a page token"
        super().__init__(
            f"The page token {text}.", violations=(FieldViolation("page_token", f"The page token {text}."),)
        )


class DeadlinePassed(DeadlineExceeded):
    """The call ran longer than its caller, or the server, allows, or nobody waits for its answer any more. What was
    under way changed nothing."""

    def __init__(self) -> None:
        super().__init__("The call did not end within its deadline. Parts that were committed remain.")


class RequestIdReused(FailedPrecondition):
    """The request_id was used within 24 hours by the same token and method, with another body."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "This request_id was already used with another request body; use a new UUID for a new request.",
            metadata={"request_id": request_id},
        )


class FrameOutOfOrder(InvalidArgument):
    """A message of a stream came where it may not, or did not come; `found` is "end" when the stream ended."""

    def __init__(self, *, expected: str, found: str) -> None:
        super().__init__(
            f"The stream needs {expected} next, and {found} came; it was ended.",
            metadata={"expected": expected, "found": found},
        )


class SizeMismatch(InvalidArgument):
    """More or fewer came than was announced; `unit` says of what: bytes, chunks or commits. `hint` says what to do."""

    def __init__(self, *, unit: str, expected: int, actual: int, hint: str = "") -> None:
        super().__init__(
            f"{expected} {unit} were announced and {actual} came; nothing was stored. {hint}".rstrip(),
            metadata={"unit": unit, "expected": str(expected), "actual": str(actual)},
        )
