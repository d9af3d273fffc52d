"""Files: messages of the contract to drafts of the store, and what the store answers to messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from releaseregistry.v1 import files_pb2 as pb

from server.mapping.masks import changed_paths
from server.mapping.projects import named_project
from server.mapping.times import to_timestamp
from server.names import file_name, parse_release, parse_uid, project_name, uid
from store.access.projects import ProjectSlugText
from store.errors import InvalidField
from store.files.change import FileChanges
from store.files.list import FileFilter
from store.files.names import FileNameIssue
from store.files.rows import FileDraft, FileKind, FileRow, UploadDraft, UploadedFile

CHANGEABLE: Final = ("file_name", "headers")

_KINDS: Final[dict[int, pb.FileKind]] = {
    FileKind.RELEASE_FILE: pb.FILE_KIND_RELEASE_FILE,
    FileKind.DEBUG_FILE: pb.FILE_KIND_DEBUG_FILE,
    FileKind.ATTACHMENT: pb.FILE_KIND_ATTACHMENT,
}
_ISSUES: Final[dict[int, pb.FileNameIssue]] = {
    FileNameIssue.PATH: pb.FILE_NAME_ISSUE_PATH,
    FileNameIssue.RESERVED: pb.FILE_NAME_ISSUE_RESERVED,
    FileNameIssue.TRAILING: pb.FILE_NAME_ISSUE_TRAILING,
    FileNameIssue.CHARACTER: pb.FILE_NAME_ISSUE_CHARACTER,
    FileNameIssue.LENGTH: pb.FILE_NAME_ISSUE_LENGTH,
    FileNameIssue.COLLISION: pb.FILE_NAME_ISSUE_COLLISION,
}


def upload_draft(header: pb.UploadHeader) -> UploadDraft:
    """The file that a header announces."""
    release = parse_release(header.parent, field="header.parent")
    return UploadDraft(
        upload_id=parse_uid(header.upload_id),
        organization=release.organization,
        version=release.version,
        file_name=header.file_name,
        project=_project(header.project, release.organization, field="header.project"),
        dist=header.dist or None,
        headers=dict(header.headers),
        kind=_kind(header.kind),
        replace=header.replace,
        size_bytes=header.size_bytes if header.HasField("size_bytes") else None,
        sha256=bytes.fromhex(header.sha256) if header.sha256 else None,
    )


def upload_message(uploaded: UploadedFile) -> pb.UploadReleaseFileResponse:
    """What UploadReleaseFile answers."""
    return pb.UploadReleaseFileResponse(file=file_message(uploaded.file), created=uploaded.created)


def file_draft(request: pb.CreateReleaseFileRequest) -> FileDraft:
    """The file that is to be created."""
    release, file = parse_release(request.parent, field="parent"), request.file
    return FileDraft(
        organization=release.organization,
        version=release.version,
        file_name=file.file_name,
        project=_project(file.project, release.organization, field="file.project"),
        dist=file.dist or None,
        headers=dict(file.headers),
        kind=_kind(file.kind),
        replace=request.replace,
    )


def content_digest(request: pb.CreateReleaseFileRequest) -> bytes:
    """The SHA-256 of the content that the file is to have."""
    if not request.file.sha256:
        raise InvalidField("file.sha256", "is required")
    return bytes.fromhex(request.file.sha256)


def created_message(created: UploadedFile) -> pb.CreateReleaseFileResponse:
    """What CreateReleaseFile answers."""
    return pb.CreateReleaseFileResponse(file=file_message(created.file), created=created.created)


def file_changes(request: pb.UpdateReleaseFileRequest) -> FileChanges:
    """What an update asks to change."""
    file = request.file
    return FileChanges(
        fields=changed_paths(file, request.update_mask, allowed=CHANGEABLE),
        file_name=file.file_name,
        headers=dict(file.headers),
    )


def updated_message(file: FileRow) -> pb.UpdateReleaseFileResponse:
    """What UpdateReleaseFile answers."""
    return pb.UpdateReleaseFileResponse(file=file_message(file))


def deleted_message(_: None) -> pb.DeleteReleaseFileResponse:
    """What DeleteReleaseFile answers."""
    return pb.DeleteReleaseFileResponse()


def file_filter(request: pb.ListReleaseFilesRequest) -> FileFilter:
    """Which files a list asks for."""
    organization = parse_release(request.parent, field="parent").organization
    projects: Iterable[ProjectSlugText | None] = (
        _project(text, organization, field=f"projects[{index}]") for index, text in enumerate(request.projects)
    )
    return FileFilter(
        contains=frozenset(request.file_name_contains),
        projects=frozenset(projects),
        dists=frozenset(request.dists),
        sha256=frozenset(map(bytes.fromhex, request.sha256)),
    )


def file_message(file: FileRow) -> pb.ReleaseFile:
    """A file of a release."""
    return pb.ReleaseFile(
        name=file_name(file.organization, file.version, file.id),
        uid=uid(file.id),
        file_name=file.file_name,
        project=None if file.project is None else project_name(file.organization, file.project),
        dist=file.dist or None,
        headers=file.headers,
        size_bytes=file.size_bytes,
        sha256=file.sha256.hex(),
        create_time=to_timestamp(file.create_time),
        kind=_KINDS[file.kind],
        file_name_issues=[_ISSUES[issue] for issue in file.name_issues],
    )


def _kind(kind: int) -> FileKind:
    return FileKind(kind or pb.FILE_KIND_RELEASE_FILE)


def _project(text: str, organization: str, *, field: str) -> ProjectSlugText | None:
    return named_project(text, organization, field=field) if text else None
