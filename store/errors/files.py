"""Errors of the files of releases."""

from __future__ import annotations

from store.errors.kinds import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, OutOfRange


class FileNotFound(NotFound):
    """No such file, or not yours."""

    def __init__(self, organization: str, version: str, uid: str) -> None:
        name = f"organizations/{organization}/releases/{version}/files/{uid}"
        super().__init__(f"{name} does not exist, or you may not see it.", metadata={"name": name})


class FileExists(AlreadyExists):
    """The release has a file of this name, project and dist with other content, whose SHA-256 is told."""

    def __init__(self, file_name: str, sha256: str) -> None:
        super().__init__(
            "The release has a file of this name, project and dist with other content; rename it or replace it.",
            metadata={"file_name": file_name, "sha256": sha256},
        )


class FileTooLarge(InvalidArgument):
    """The file is larger than this server takes."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"A file has at most {max_bytes} bytes here.", metadata={"max_bytes": str(max_bytes)})


class ReadOutOfRange(OutOfRange):
    """The read begins beyond the end of the file."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"The read begins beyond the end of the file, which has {size_bytes} bytes.",
            metadata={"size_bytes": str(size_bytes)},
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
