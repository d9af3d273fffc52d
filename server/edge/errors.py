"""Errors of the edge, and how every error becomes a gRPC status.

The base class of an error decides its code, the error itself its reason and details. Whatever is no `RegistryError`
is a defect of ours: it answers INTERNAL with an id that stands in the log, and never its text. See behaviour.md,
Errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from store.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    InvalidField,
    NotFound,
    OutOfRange,
    PermissionDenied,
    RegistryError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)

DOMAIN: Final = "releaseregistry.dev"

# Metadata is limited to 8 KiB by default in other languages, and the details travel there as base64 next to the
# message (percent-encoded, so up to three times its bytes) and our own headers.
MAX_DETAIL_BYTES: Final = 4096
MAX_MESSAGE_BYTES: Final = 600
MAX_VIOLATIONS: Final = 20
MAX_VALUE_CHARS: Final = 300


class Internal(RegistryError):
    """A defect of the server. `error_id` stands in the log, beside what really happened."""

    def __init__(self, error_id: str) -> None:
        super().__init__(
            f"The server failed. Its operator finds the cause in the log under {error_id}.",
            metadata={"error_id": error_id},
        )


class InvalidFields(InvalidField):
    """Several fields hold what they may not. `omitted` counts violations that are not listed."""

    reason: ClassVar[str] = InvalidField.reason

    def __init__(self, violations: Sequence[FieldViolation], *, omitted: int = 0) -> None:
        first = violations[0]
        super().__init__(first.field, first.description)
        more = len(violations) - 1 + omitted
        if more:
            self.message = f"{self.message.rstrip('.')}; and {'at least ' if omitted else ''}{more} more"
        if omitted:
            self.metadata["violations_omitted"] = str(omitted)
        self.violations = tuple(violations)


class InvalidName(InvalidArgument):
    """A resource name does not have the expected form, such as `organizations/{organization}`."""

    def __init__(self, field: str, expected: str, *, why: str = "") -> None:
        text = why.rstrip(".") or f"must have the form {expected}"
        super().__init__(
            f"{field}: {text}.",
            metadata={"field": field, "expected": expected},
            violations=(FieldViolation(field=field, description=text),),
        )


class InvalidMask(InvalidArgument):
    """update_mask names a path that does not exist or cannot be changed."""

    def __init__(self, path: str, *, allowed: Iterable[str], field: str = "update_mask") -> None:
        words = ", ".join(allowed)
        text = f"cannot change {cut(path, 100)!r}; allowed are {words}, or *"
        super().__init__(
            f"{field}: {text}.",
            metadata={"path": path, "allowed": words},
            violations=(FieldViolation(field=field, description=text),),
        )


class MessageMalformed(InvalidArgument):
    """The bytes of a request are no message of the type that the method takes."""

    def __init__(self, message_type: str) -> None:
        super().__init__(
            f"The request is no {message_type}: its bytes cannot be decoded, or its text is not UTF-8.",
            metadata={"type": message_type},
        )


class CredentialsMissing(Unauthenticated):
    """The call carries no token, and no certificate whose names stand for somebody."""

    def __init__(self, *, has_certificate: bool = False) -> None:
        beside = ", or have the operator let a name in your certificate stand for you: none does"
        super().__init__(
            f"Send a token as metadata `authorization: Bearer {{secret}}`{beside if has_certificate else ''}."
        )


class MetadataTooLarge(ResourceExhausted):
    """The call brings more metadata than one may."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The call brings more than {limit} bytes of metadata. Send less.", metadata={"limit": str(limit)}
        )


class TooManyMessages(ResourceExhausted):
    """The stream brought more messages than one may, for what little is in them."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The stream brought more than {limit} messages with next to nothing in them. Send more in each.",
            metadata={"limit": str(limit)},
        )


class StreamsBusy(Unavailable):
    """All stream slots of the server are taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"All {limit} stream slots of the server are taken. Try again.",
            metadata={"limit": str(limit)},
            retry_after_seconds=1.0,
        )


class CallsBusy(Unavailable):
    """All call slots of the server are taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"All {limit} call slots of the server are taken. Try again.",
            metadata={"limit": str(limit)},
            retry_after_seconds=0.25,
        )


class OrganizationBusy(Unavailable):
    """The organization has its share of the server's slots. `kind` is `calls` or `streams`."""

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(
            f"The organization has {limit} {kind} running on this server, as many as one may. Try again.",
            metadata={"kind": kind, "limit": str(limit)},
            retry_after_seconds=1.0 if kind == "streams" else 0.25,
        )


class Draining(Unavailable):
    """The server is shutting down."""

    def __init__(self) -> None:
        super().__init__("The server is shutting down. Try again.", retry_after_seconds=1.0)


class CallEnded(Exception):
    """The caller is gone: it cancelled, its deadline passed, or its connection broke. Nobody reads an answer."""


CODES: Final[Mapping[type[RegistryError], grpc.StatusCode]] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    Aborted: grpc.StatusCode.ABORTED,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DataLoss: grpc.StatusCode.DATA_LOSS,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Internal: grpc.StatusCode.INTERNAL,
}


def code_of(error: RegistryError) -> grpc.StatusCode:
    """The status code of an error, by its kind; INTERNAL for an error without a kind."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return grpc.StatusCode.INTERNAL


class CallStatus(NamedTuple):
    """A status as `ServicerContext.abort_with_status` takes it."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def to_status(error: RegistryError, *, request_id: str) -> CallStatus:
    """The status of an error: its code and message, and its details in at most `MAX_DETAIL_BYTES`.

    Long values, messages and lists of violations are cut; `violations_omitted` in the metadata counts what is
    missing. The request id goes along as RequestInfo and as trailing metadata.
    """
    code = code_of(error)
    message = cut_bytes(error.message, MAX_MESSAGE_BYTES)
    violations = [
        FieldViolation(field=cut(violation.field, 200), description=cut(violation.description, MAX_VALUE_CHARS))
        for violation in error.violations[:MAX_VIOLATIONS]
    ]
    before = int(error.metadata.get("violations_omitted", "0"))
    omitted = before + len(error.violations) - len(violations)
    value_chars = error.max_value_chars or MAX_VALUE_CHARS
    while True:
        status = _rich_status(error, message, violations, omitted, value_chars, request_id)
        if status.ByteSize() <= MAX_DETAIL_BYTES:
            break
        if violations:
            kept = len(violations) * 3 // 4
            omitted += len(violations) - kept
            violations = violations[:kept]
        else:
            value_chars //= 2
    trailing: tuple[tuple[str, str | bytes], ...] = (
        ("grpc-status-details-bin", status.SerializeToString()),
        ("x-request-id", request_id),
    )
    return CallStatus(code, message, trailing)


def cut(text: str, limit: int) -> str:
    """The text, its end replaced by an ellipsis where it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut_bytes(text: str, limit: int) -> str:
    """The text, cut at a character so that it takes at most `limit` bytes of UTF-8."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - 3].decode(errors="ignore") + "…"


def _rich_status(
    error: RegistryError,
    message: str,
    violations: list[FieldViolation],
    omitted: int,
    value_chars: int,
    request_id: str,
) -> Any:
    metadata = {key: cut(value, value_chars) for key, value in error.metadata.items()}
    if omitted:
        metadata["violations_omitted"] = str(omitted)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata),
    ]
    if violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=item.field, description=item.description)
                    for item in violations
                ]
            )
        )
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after_seconds * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    details.append(error_details_pb2.RequestInfo(request_id=request_id))
    return status_pb2.Status(
        code=code_of(error).value[0], message=message, details=[_packed(detail) for detail in details]
    )


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
