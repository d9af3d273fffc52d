"""What can go wrong, said once: every error that a caller of the store may see.

An error class is named after the fact (`ReleaseNotFound`) and its `reason` is the same word in capitals
(`RELEASE_NOT_FOUND`), the word that clients read in `ErrorInfo.reason`. Its *kind*, the base class, decides the
status code. See behaviour.md, Errors.

A module holds the errors of one concept; all are imported from here. An error enters with the first operation that
raises it.
"""

from __future__ import annotations

from store.errors.access import (
    CredentialsInvalid,
    ProjectForbidden,
    ScopeMissing,
    TokenEnded,
    TokenNotFound,
)
from store.errors.blobs import (
    BlobsDown,
    ChunkLost,
    CollectorBusy,
)
from store.errors.commits import (
    CommitAmbiguous,
    CommitNotFound,
    CommitsBusy,
    RepositoryUnknown,
)
from store.errors.database import (
    DatabaseBusy,
    DatabaseDown,
    DatabaseNotAFile,
    LockTimeout,
    ReadOnly,
    StorageFull,
)
from store.errors.files import (
    ContentUnknown,
    FileExists,
    FileNotFound,
    FileTooLarge,
    ProjectNotInRelease,
    ReadOutOfRange,
)
from store.errors.health import AdoptionBusy
from store.errors.kinds import (
    Aborted,
    AlreadyExists,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    RegistryError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from store.errors.organizations import (
    AvatarInvalid,
    AvatarNotFound,
    HasChildren,
    OrganizationExists,
    OrganizationNotFound,
    ProjectExists,
    ProjectNotFound,
    RepositoryExists,
    RepositoryNotFound,
)
from store.errors.queries import QueryInvalid
from store.errors.quotas import QuotaExceeded
from store.errors.releases import (
    EtagMismatch,
    ReleaseHasHealth,
    ReleaseNotFound,
    ReleasesNotFound,
)
from store.errors.requests import (
    DeadlinePassed,
    FrameOutOfOrder,
    InvalidField,
    PageTokenInvalid,
    RequestIdReused,
    SizeMismatch,
)
from store.errors.thresholds import ThresholdNotFound, TooManyThresholds
from store.errors.uploads import (
    ChunksMissing,
    DigestMismatch,
    OffsetMismatch,
    UploadClosed,
    UploadNotFound,
    UploadTakenOver,
)

__all__ = [
    "Aborted",
    "AdoptionBusy",
    "AlreadyExists",
    "AvatarInvalid",
    "AvatarNotFound",
    "BlobsDown",
    "ChunkLost",
    "ChunksMissing",
    "CollectorBusy",
    "CommitAmbiguous",
    "CommitNotFound",
    "CommitsBusy",
    "ContentUnknown",
    "CredentialsInvalid",
    "DataLoss",
    "DatabaseBusy",
    "DatabaseDown",
    "DatabaseNotAFile",
    "DeadlineExceeded",
    "DeadlinePassed",
    "DigestMismatch",
    "EtagMismatch",
    "FailedPrecondition",
    "FieldViolation",
    "FileExists",
    "FileNotFound",
    "FileTooLarge",
    "FrameOutOfOrder",
    "HasChildren",
    "InvalidArgument",
    "InvalidField",
    "LockTimeout",
    "NotFound",
    "OffsetMismatch",
    "OrganizationExists",
    "OrganizationNotFound",
    "OutOfRange",
    "PageTokenInvalid",
    "PermissionDenied",
    "ProjectExists",
    "ProjectForbidden",
    "ProjectNotFound",
    "ProjectNotInRelease",
    "QueryInvalid",
    "QuotaExceeded",
    "ReadOnly",
    "ReadOutOfRange",
    "RegistryError",
    "ReleaseHasHealth",
    "ReleaseNotFound",
    "ReleasesNotFound",
    "RepositoryExists",
    "RepositoryNotFound",
    "RepositoryUnknown",
    "RequestIdReused",
    "ResourceExhausted",
    "ScopeMissing",
    "SizeMismatch",
    "StorageFull",
    "ThresholdNotFound",
    "TokenEnded",
    "TokenNotFound",
    "TooManyThresholds",
    "Unauthenticated",
    "Unavailable",
    "UploadClosed",
    "UploadNotFound",
    "UploadTakenOver",
]
