"""What can go wrong with a call, decoded into one typed error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN: Final = "releaseregistry.dev"
DETAILS: Final = "grpc-status-details-bin"
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of the request that holds what it may not, and why."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The parts of a failed call. Times are seconds; what the server did not say is empty or None."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    retry_after_seconds: float | None = None
    request_id: str = ""


class RegistryError(Exception):
    """A call failed.

    `reason` is a word of `ErrorReason` without its prefix, such as `RELEASE_NOT_FOUND`, and the variable parts of the
    message stand in `metadata`. Where no answer of the server exists (it cannot be reached, the deadline passed), the
    reason is the name of the status code, such as `UNAVAILABLE`. `request_id` finds the call in the server's log.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.reason}: {refusal.message}")
        self.code = refusal.code
        self.reason = refusal.reason
        self.message = refusal.message
        self.metadata = refusal.metadata
        self.violations = refusal.violations
        self.retry_after_seconds = refusal.retry_after_seconds
        self.request_id = refusal.request_id

    @property
    def is_unavailable(self) -> bool:
        """Whether the server could not be reached, or cannot do it now."""
        return self.code is grpc.StatusCode.UNAVAILABLE

    @property
    def is_worth_repeating(self) -> bool:
        """Whether the very same call may well succeed soon: the server cannot do it now, or others were first.

        Of the latter the server says itself whether to come again: COMMITS_BUSY yes, ETAG_MISMATCH no. STORAGE_FULL
        is not among them: its retry time is for when its operator has made space.
        """
        return self.is_unavailable or (self.code is grpc.StatusCode.ABORTED and self.retry_after_seconds is not None)


class LocalError(Exception):
    """Something on this side is not as it must be: a file, a digest, a setting. The text says what to do."""


class NothingThere(LocalError):
    """What was asked for by a word of people's, such as a file name, is not among what the server has."""


def decode_error(error: grpc.RpcError) -> RegistryError:
    """The typed error of what grpc raised. Never fails: details that cannot be read are left out.

    Where the server's own words arrived, its code counts: a proxy may reset a stream that was refused before its last
    message, and gRPC then tells CANCELLED.
    """
    call: Any = error  # every RpcError that a call raises is also its grpc.Call; the types do not know
    code: grpc.StatusCode = call.code()
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.RequestInfo()
    try:
        status = _status(call)
        for detail in status.details:
            for known in (info, bad_request, retry, request):
                # A reason of somebody else's (a proxy's, say) is no word of our contract.
                detail.Unpack(known)
    except (ValueError, DecodeError):
        # The details are no message: code and text still say what happened.
        status = status_pb2.Status()
    ours = info.domain == DOMAIN
    said = _CODES.get(status.code, code) if ours else code
    return RegistryError(
        Refusal(
            code=said,
            reason=info.reason if ours and info.reason else code.name,
            message=(status.message if ours else "") or call.details() or "no explanation was given",
            metadata=dict(info.metadata) if ours else {},
            violations=tuple(Violation(item.field, item.description) for item in bad_request.field_violations),
            retry_after_seconds=retry.retry_delay.ToTimedelta().total_seconds()
            if retry.HasField("retry_delay")
            else None,
            request_id=request.request_id,
        )
    )


def _status(call: Any) -> status_pb2.Status:
    """What stands in `grpc-status-details-bin`; empty where nothing does. Raises DecodeError."""
    for entry in call.trailing_metadata() or ():
        if entry.key == DETAILS:
            return status_pb2.Status.FromString(bytes(entry.value))
    return status_pb2.Status()
