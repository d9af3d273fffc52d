"""What can go wrong, said once: every error that a caller of the store may see.

An error class is named after the fact (`ReleaseNotFound`) and its `reason` is the same word in capitals
(`RELEASE_NOT_FOUND`), the word that clients read in `ErrorInfo.reason`. Its *kind*, the base class, decides the
status code; the mapping itself lives in the server, because the store knows no gRPC. See behaviour.md, Errors.

Kinds come first, then the errors, a section a concept. An error enters with the first operation that raises it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
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


# --- Kinds: one a status code, never raised themselves -----------------------------------------------------------


class InvalidArgument(RegistryError):
    """The request is wrong whatever the state of the registry."""


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


# --- Database ----------------------------------------------------------------------------------------------------


class DatabaseBusy(Unavailable):
    """The write or read waited for its turn as long as it may; nothing was changed."""

    def __init__(
        self,
        message: str = "The database is busy; nothing was changed. Try again.",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = 1.0,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)


class LockTimeout(DatabaseBusy):
    """Another transaction held the row for the whole wait.

    Operations that know which row it was translate this (SetCommits answers COMMITS_BUSY); untranslated it is
    DATABASE_BUSY, because it has no reason of its own.
    """

    reason: ClassVar[str] = "DATABASE_BUSY"


class DatabaseDown(Unavailable):
    """The database cannot be reached, or was lost while the outcome of a commit was still unknown."""

    def __init__(
        self,
        message: str = "The database cannot be reached. Try again.",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = 2.0,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)


class ReadOnly(Unavailable):
    """Writes are refused: after an I/O error until the server is restarted, or because the database is a replica."""

    def __init__(
        self,
        message: str = "The registry accepts no writes at the moment; reading works. Its operator has to act.",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = 30.0,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)


class StorageFull(ResourceExhausted):
    """The database has no space left; nothing was changed, and writing works again when there is space."""

    def __init__(
        self,
        message: str = "The registry's storage is full; nothing was changed. Its operator has to make space.",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = 30.0,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)


class RequestIdReused(FailedPrecondition):
    """The request_id was used within 24 hours by the same token and method, with another body."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "This request_id was already used with another request body; use a new UUID for a new request.",
            metadata={"request_id": request_id},
        )


# --- Requests ----------------------------------------------------------------------------------------------------


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


# --- Organizations, projects, repositories -----------------------------------------------------------------------
#
# What is missing and what is not the caller's answer the same, to the byte. See behaviour.md, Access.


class OrganizationNotFound(NotFound):
    """No such organization, or not yours."""

    def __init__(self, slug: str) -> None:
        name = f"organizations/{slug}"
        super().__init__(f"{name} does not exist, or this token may not see it.", metadata={"name": name})


class ProjectNotFound(NotFound):
    """No such project, or not yours."""

    def __init__(self, organization: str, slug: str) -> None:
        name = f"organizations/{organization}/projects/{slug}"
        super().__init__(f"{name} does not exist, or this token may not see it.", metadata={"name": name})


class RepositoryNotFound(NotFound):
    """No such repository, or not yours."""

    def __init__(self, organization: str, uid: str) -> None:
        name = f"organizations/{organization}/repositories/{uid}"
        super().__init__(f"{name} does not exist, or this token may not see it.", metadata={"name": name})


class OrganizationExists(AlreadyExists):
    """Another organization has this slug, or once had it."""

    def __init__(self, slug: str) -> None:
        super().__init__(
            f"Another organization has the slug {slug}, or once had it; choose another.", metadata={"slug": slug}
        )


class ProjectExists(AlreadyExists):
    """Another project of the organization has this slug, or once had it."""

    def __init__(self, slug: str) -> None:
        super().__init__(
            f"Another project of the organization has the slug {slug}, or once had it; choose another.",
            metadata={"slug": slug},
        )


class RepositoryExists(AlreadyExists):
    """An active repository has this display name, or the external id is taken."""

    def __init__(self, display_name: str, external_id: str | None = None) -> None:
        if external_id is None:
            text = f"Another active repository is named {display_name}; use that one, or disable it first."
            metadata = {"display_name": display_name}
        else:
            text = f"Another repository has the external id {external_id} with this provider; use that one."
            metadata = {"display_name": display_name, "external_id": external_id}
        super().__init__(text, metadata=metadata)


class HasChildren(FailedPrecondition):
    """Projects or releases belong to what is to be deleted, and force was not set; the metadata counts them."""

    def __init__(self, name: str, **counts: str) -> None:
        children = " and ".join(f"{count} {what[:-1] if count == '1' else what}" for what, count in counts.items())
        super().__init__(f"{name} has {children}; set force to delete it with them.", metadata=counts)


class AvatarNotFound(NotFound):
    """The organization has no uploaded picture."""

    def __init__(self, slug: str) -> None:
        name = f"organizations/{slug}"
        super().__init__(f"{name} has no uploaded picture.", metadata={"name": name})


class AvatarInvalid(InvalidArgument):
    """The bytes are no picture that is taken; `problem` goes on where "The picture ..." began."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The picture {problem}. Send a square PNG, JPEG, GIF or WEBP of 256 to 1,024 pixels a side.",
            metadata={"problem": problem},
        )


# --- Access ------------------------------------------------------------------------------------------------------


class CredentialsInvalid(Unauthenticated):
    """The token is malformed, unknown, expired or revoked; which of these is not told."""

    def __init__(self) -> None:
        super().__init__("The token is not valid: malformed, unknown, expired or revoked. Ask for a new one.")


class ScopeMissing(PermissionDenied):
    """The calling token lacks a scope, to call a method with or to grant to another token."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"The token lacks the scope {scope}; use one that has it, or ask for one.", metadata={"scope": scope}
        )


class ProjectForbidden(PermissionDenied):
    """Projects that were asked for are missing, inactive or not allowed to the token: all alike.

    The metadata holds their slugs as asked for (their names, where these call the organization by another slug than
    the call does), at most 20 of them, then how many more.
    """

    def __init__(self, slugs: Iterable[str]) -> None:
        named = sorted(set(slugs))
        listed = ", ".join(named[:20]) + (f" and {len(named) - 20} more" if len(named) > 20 else "")
        super().__init__(
            f"This token may not use these projects, or they do not exist: {listed}.", metadata={"projects": listed}
        )


class TokenNotFound(NotFound):
    """No such token, or not yours."""

    def __init__(self, organization: str | None, uid: str) -> None:
        name = f"tokens/{uid}" if organization is None else f"organizations/{organization}/tokens/{uid}"
        super().__init__(f"{name} does not exist, or this token may not see it.", metadata={"name": name})


# --- Releases ----------------------------------------------------------------------------------------------------


class ReleaseNotFound(NotFound):
    """No such release, or too few of its projects are yours."""

    def __init__(self, organization: str, version: str) -> None:
        name = f"organizations/{organization}/releases/{version}"
        super().__init__(f"{name} does not exist, or this token may not see it.", metadata={"name": name})


class EtagMismatch(Aborted):
    """The release changed since its etag was read; the metadata holds the etag that it has now."""

    def __init__(self, etag: str) -> None:
        super().__init__(
            "The release changed since its etag was read. Read it again and repeat.", metadata={"etag": etag}
        )


class CommitsBusy(Aborted):
    """Other calls were setting commits of this release, or of its repositories, for as long as this one could wait."""

    def __init__(self, organization: str, version: str) -> None:
        name = f"organizations/{organization}/releases/{version}"
        super().__init__(
            f"Another call is setting the commits of {name}; nothing was changed. Try again.",
            metadata={"name": name},
            retry_after_seconds=1.0,
        )


# --- Streams and files -------------------------------------------------------------------------------------------


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


class DigestMismatch(InvalidArgument):
    """The received bytes do not have the announced SHA-256; both are told as hexadecimal digits."""

    def __init__(self, *, expected: str, actual: str) -> None:
        super().__init__(
            "The received bytes do not have the announced SHA-256; nothing was stored. Send them again.",
            metadata={"expected": expected, "actual": actual},
        )


class FileTooLarge(InvalidArgument):
    """The file is larger than this server takes."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"A file has at most {max_bytes} bytes here.", metadata={"max_bytes": str(max_bytes)})


class OffsetMismatch(OutOfRange):
    """A data frame does not begin where the server's bytes end; the next stream begins at committed_bytes."""

    def __init__(self, committed_bytes: int) -> None:
        super().__init__(
            f"The data does not begin where the stored bytes end; send from offset {committed_bytes}.",
            metadata={"committed_bytes": str(committed_bytes)},
        )


class ReadOutOfRange(OutOfRange):
    """The read begins beyond the end of the file."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"The read begins beyond the end of the file, which has {size_bytes} bytes.",
            metadata={"size_bytes": str(size_bytes)},
        )


class FileNotFound(NotFound):
    """No such file, or not yours."""

    def __init__(self, organization: str, version: str, uid: str) -> None:
        name = f"organizations/{organization}/releases/{version}/files/{uid}"
        super().__init__(f"{name} does not exist, or this token may not see it.", metadata={"name": name})


class FileExists(AlreadyExists):
    """The release has a file of this name, project and dist with other content, whose SHA-256 is told."""

    def __init__(self, file_name: str, sha256: str) -> None:
        super().__init__(
            "The release has a file of this name, project and dist with other content; rename it or replace it.",
            metadata={"file_name": file_name, "sha256": sha256},
        )


class ContentUnknown(FailedPrecondition):
    """The organization has no content with this SHA-256; whether another one has it shows nowhere."""

    def __init__(self, sha256: str) -> None:
        super().__init__(
            "The organization has no content with this SHA-256; upload the file.", metadata={"sha256": sha256}
        )


class ProjectNotInRelease(FailedPrecondition):
    """The file's project is not one of the release's; one that does not exist looks the same."""

    def __init__(self, organization: str, slug: str) -> None:
        name = f"organizations/{organization}/projects/{slug}"
        super().__init__(f"{name} is not a project of this release.", metadata={"project": name})


class UploadNotFound(NotFound):
    """No such upload, or not yours, or it ended by itself; `upload_id` is its UUID as text."""

    def __init__(self, organization: str, upload_id: str) -> None:
        name = f"organizations/{organization}/uploads/{upload_id}"
        super().__init__(
            f"{name} does not exist, has ended by itself, or is not this token's to see.", metadata={"name": name}
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


class ChunkLost(DataLoss):
    """Stored bytes are damaged or gone; sha256 is that of the chunk (or small file) they belong to."""

    def __init__(self, sha256: str) -> None:
        super().__init__(
            "Stored bytes of this file are damaged or gone; upload the file again.", metadata={"sha256": sha256}
        )


class BlobsDown(Unavailable):
    """The store of the files' bytes cannot be reached."""

    def __init__(self) -> None:
        super().__init__("The store of the files' bytes cannot be reached. Try again.", retry_after_seconds=2.0)


class CollectorBusy(Aborted):
    """Another collector is at work, or took over from this one."""

    def __init__(self) -> None:
        super().__init__(
            "Another server is collecting; what it removes need not be removed again. Try later.",
            retry_after_seconds=30.0,
        )
