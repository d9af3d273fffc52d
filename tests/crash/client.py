"""A good client of one organization: every call of files, repeated as the contract says when its answer was lost."""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from releaseregistry.v1 import (
    activities_pb2,
    admin_pb2,
    admin_pb2_grpc,
    deploy_service_pb2,
    deploy_service_pb2_grpc,
    files_pb2,
    health_pb2,
    organizations_pb2,
    release_health_service_pb2_grpc,
    releases_pb2,
    sessions_pb2,
    uploads_pb2,
    uploads_pb2_grpc,
)

from tests.crash.workload import reason_of
from tests.server_process import ServerProcess, Stubs

__all__ = ["Client", "bytes_of", "new_id", "reason_of", "sha256_of"]

MIB = 2**20
SECONDS = 60.0


def bytes_of(size: int, seed: object) -> bytes:
    """Random bytes, the same for the same seed."""
    return random.Random(f"{seed}").randbytes(size)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def new_id() -> str:
    return str(uuid.uuid4())


class Client:
    """Calls `server` over a channel of its own."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel) -> None:
        self._stubs = Stubs(channel)
        self._uploads = uploads_pb2_grpc.UploadServiceStub(channel)
        self._admin = admin_pb2_grpc.AdminServiceStub(channel)
        self._deploys = deploy_service_pb2_grpc.DeployServiceStub(channel)
        self._health = release_health_service_pb2_grpc.ReleaseHealthServiceStub(channel)
        self._options: dict[str, Any] = {"metadata": server.metadata, "timeout": SECONDS}

    # --- organizations ------------------------------------------------------------------------------------------------

    def make_organization(self, slug: str, *projects: str) -> str:
        """Its name; fine when it is there."""
        request = organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug=slug))
        name: str = self._stubs.organizations.CreateOrganization(request, **self._options).organization.name
        for project in projects:
            made = organizations_pb2.CreateProjectRequest(parent=name, project=organizations_pb2.Project(slug=project))
            self._stubs.organizations.CreateProject(made, **self._options)
        return name

    def make_release(self, organization: str, version: str, *projects: str) -> str:
        """Its name."""
        named = [f"{organization}/projects/{project}" for project in projects]
        release = releases_pb2.Release(version=version, projects=named)
        request = releases_pb2.CreateReleaseRequest(parent=organization, release=release)
        made: str = self._stubs.releases.CreateRelease(request, **self._options).release.name
        return made

    def delete_release(self, name: str, *, force: bool = False) -> None:
        self._stubs.releases.DeleteRelease(releases_pb2.DeleteReleaseRequest(name=name, force=force), **self._options)

    def delete_project(self, name: str) -> None:
        request = organizations_pb2.DeleteProjectRequest(name=name, force=True)
        self._stubs.organizations.DeleteProject(request, **self._options)

    def delete_organization(self, name: str) -> None:
        request = organizations_pb2.DeleteOrganizationRequest(name=name, force=True)
        self._stubs.organizations.DeleteOrganization(request, **self._options)

    def bulk(self, organization: str, query: str, **fields: Any) -> None:
        """Changes all that the query finds, call after call."""
        token = ""
        while True:
            request = releases_pb2.BulkUpdateReleasesRequest(
                parent=organization, query=query, page_token=token, **fields
            )
            token = self._stubs.releases.BulkUpdateReleases(request, **self._options).next_page_token
            if not token:
                return

    def told_of(self, project: str, kind: activities_pb2.ActivityKind) -> list[str]:
        """What the activities of this kind in the project happened to."""
        request = activities_pb2.ListActivityRequest(
            parent=project.partition("/projects/")[0], projects=[project], page_size=1000
        )
        answer = self._stubs.organizations.ListActivity(request, **self._options)
        return [activity.subject for activity in answer.activities if activity.kind == kind]

    def versions(self, organization: str, *statuses: releases_pb2.ReleaseStatus, query: str = "") -> list[str]:
        """Newest first; of open releases unless statuses say otherwise."""
        request = releases_pb2.ListReleasesRequest(parent=organization, statuses=statuses, query=query, page_size=1000)
        return [release.version for release in self._stubs.releases.ListReleases(request, **self._options).releases]

    def upload_avatar(self, organization: str, picture: bytes) -> str:
        """The avatar_uid of the picture."""

        def frames() -> Iterator[organizations_pb2.UploadAvatarRequest]:
            yield organizations_pb2.UploadAvatarRequest(header=organizations_pb2.AvatarHeader(name=organization))
            for start in range(0, len(picture), MIB):
                yield organizations_pb2.UploadAvatarRequest(data=picture[start : start + MIB])
            finish = organizations_pb2.AvatarFinish(size_bytes=len(picture), sha256=sha256_of(picture))
            yield organizations_pb2.UploadAvatarRequest(finish=finish)

        uid: str = self._stubs.organizations.UploadAvatar(frames(), **self._options).organization.avatar_uid
        return uid

    def avatar(self, organization: str) -> bytes:
        """The picture in its largest size."""
        request = organizations_pb2.DownloadAvatarRequest(name=organization)
        data: bytes = self._stubs.organizations.DownloadAvatar(request, **self._options).data
        return data

    # --- health -------------------------------------------------------------------------------------------------------

    def deploy(self, organization: str, version: str, *environments: str) -> None:
        """The release is deployed, once for each environment."""
        request = deploy_service_pb2.CreateDeployRequest(
            parent=f"{organization}/releases/{version}", environments=environments, request_id=new_id()
        )
        self._deploys.CreateDeploy(request, **self._options)

    def count_sessions(self, project: str, version: str, count: int, environment: str) -> None:
        """So many sessions that began now and ended well."""
        counts = sessions_pb2.SessionCounts(
            counts_id=new_id(), exited_count=count, version=version, environment=environment, project=project
        )
        counts.start_time.GetCurrentTime()
        request = sessions_pb2.RecordSessionsRequest(parent=project.partition("/projects/")[0], counts=[counts])
        recorded = self._health.RecordSessions(request, **self._options).recorded
        assert recorded.recorded_count == 1, recorded

    def tell(self, project: str, version: str, days: Sequence[int], *, environment: str = "") -> None:
        """A session that began so many days ago for each of these; told again it is the same."""
        updates = []
        for number, ago in enumerate(days):
            update = sessions_pb2.SessionUpdate(
                session_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{project} {version} {ago} {number}")),
                distinct_user_id=f"user {number}",
                sequence=1,
                status=sessions_pb2.SESSION_STATUS_EXITED,
                version=version,
                environment=environment,
                project=project,
            )
            update.start_time.FromSeconds(int(time.time()) - ago * 86_400)
            updates.append(update)
        request = sessions_pb2.RecordSessionsRequest(parent=project.partition("/projects/")[0], updates=updates)
        recorded = self._health.RecordSessions(request, **self._options).recorded
        assert recorded.refused_count == 0, recorded

    def record(self, organization: str, updates: Sequence[sessions_pb2.SessionUpdate]) -> None:
        """All of these updates in one call."""
        request = sessions_pb2.RecordSessionsRequest(parent=organization, updates=updates)
        recorded = self._health.RecordSessions(request, **self._options).recorded
        assert recorded.refused_count == 0, recorded

    def stream(self, organization: str, messages: Sequence[Sequence[sessions_pb2.SessionUpdate]]) -> None:
        """The updates of each message, in one stream."""
        sent = [sessions_pb2.StreamSessionsRequest(parent=organization, updates=updates) for updates in messages]
        sent[-1].finish = True
        recorded = self._health.StreamSessions(iter(sent), **self._options).recorded
        assert recorded.refused_count == 0, recorded

    def figures(self, release: str, period: health_pb2.HealthPeriod) -> health_pb2.HealthFigures:
        """The figures of a release of one project."""
        answer = self._health.GetReleaseHealth(
            health_pb2.GetReleaseHealthRequest(name=release, period=period), **self._options
        )
        (project,) = answer.projects
        figures: health_pb2.HealthFigures = project.figures
        return figures

    def session_count(self, release: str, period: health_pb2.HealthPeriod) -> int:
        """How many sessions the release had in the period."""
        answer = self._health.GetReleaseHealth(
            health_pb2.GetReleaseHealthRequest(name=release, period=period), **self._options
        )
        return sum(project.figures.session_count for project in answer.projects)

    def run_adoption(self) -> None:
        self._admin.RunAdoption(admin_pb2.RunAdoptionRequest(), **self._options)

    def adoption(self, organization: str, version: str) -> health_pb2.ReleaseAdoption:
        """How far the release has come in the one environment in which it is."""
        request = health_pb2.GetAdoptionRequest(name=f"{organization}/releases/{version}")
        (told,) = self._health.GetAdoption(request, **self._options).adoptions
        adoption: health_pb2.ReleaseAdoption = told.adoption
        return adoption

    # --- files --------------------------------------------------------------------------------------------------------

    def upload(
        self, release: str, file_name: str, content: bytes, *, upload_id: str, unfinished: bool = False, **fields: Any
    ) -> str:
        """The file's name; goes on where an earlier stream of the same id was cut. `unfinished` sends no end."""
        start = self.committed(release, upload_id)
        header = files_pb2.UploadHeader(upload_id=upload_id, parent=release, file_name=file_name, **fields)

        def frames() -> Iterator[files_pb2.UploadReleaseFileRequest]:
            yield files_pb2.UploadReleaseFileRequest(header=header)
            for at in range(start, len(content), MIB):
                data = files_pb2.UploadData(offset=at, data=content[at : at + MIB])
                yield files_pb2.UploadReleaseFileRequest(data=data)
            if not unfinished:
                finish = files_pb2.UploadFinish(size_bytes=len(content), sha256=sha256_of(content))
                yield files_pb2.UploadReleaseFileRequest(finish=finish)

        name: str = self._stubs.releases.UploadReleaseFile(frames(), **self._options).file.name
        return name

    def committed(self, release: str, upload_id: str) -> int:
        """How many bytes of the upload are safe; 0 before it is known."""
        name = f"{release.partition('/releases/')[0]}/uploads/{upload_id}"
        try:
            answer = self._uploads.GetUpload(uploads_pb2.GetUploadRequest(name=name), **self._options)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return 0
            raise
        return int(answer.upload.committed_bytes)

    def send_chunks(self, organization: str, pieces: Sequence[bytes]) -> None:
        """Sends those that are missing."""
        request = uploads_pb2.FindMissingChunksRequest(parent=organization, sha256=[sha256_of(each) for each in pieces])
        missing = set(self._uploads.FindMissingChunks(request, **self._options).missing_sha256)
        chunks = [
            uploads_pb2.ChunkData(sha256=sha256_of(piece), size_bytes=len(piece), data=piece)
            for piece in dict.fromkeys(pieces)
            if sha256_of(piece) in missing
        ]

        def messages() -> Iterator[uploads_pb2.UploadChunksRequest]:
            yield uploads_pb2.UploadChunksRequest(parent=organization)
            for start in range(0, len(chunks), 8):
                yield uploads_pb2.UploadChunksRequest(chunks=chunks[start : start + 8])
            yield uploads_pb2.UploadChunksRequest(finish=True, chunk_count=len(chunks))

        self._uploads.UploadChunks(messages(), **self._options)

    def assemble(self, release: str, file_name: str, pieces: Sequence[bytes], *, upload_id: str) -> str:
        """The name of the file of these chunks, which are there."""
        header = files_pb2.UploadHeader(upload_id=upload_id, parent=release, file_name=file_name)
        started = self._uploads.StartUpload(uploads_pb2.StartUploadRequest(header=header), **self._options)
        refs = [uploads_pb2.ChunkRef(sha256=sha256_of(piece), size_bytes=len(piece)) for piece in pieces]
        content = b"".join(pieces)
        finish = files_pb2.UploadFinish(size_bytes=len(content), sha256=sha256_of(content))
        messages = [
            uploads_pb2.AssembleUploadRequest(name=started.upload.name, chunks=refs),
            uploads_pb2.AssembleUploadRequest(finish=finish),
        ]
        name: str = self._uploads.AssembleUpload(iter(messages), **self._options).file.name
        return name

    def claim(self, release: str, file_name: str, content: bytes) -> str:
        """The name of a file of content that the organization has."""
        file = files_pb2.ReleaseFile(file_name=file_name, sha256=sha256_of(content))
        request = files_pb2.CreateReleaseFileRequest(parent=release, file=file)
        name: str = self._stubs.releases.CreateReleaseFile(request, **self._options).file.name
        return name

    def delete_file(self, name: str) -> None:
        self._stubs.releases.DeleteReleaseFile(files_pb2.DeleteReleaseFileRequest(name=name), **self._options)

    def files(self, release: str) -> dict[str, str]:
        """The names of the release's files by their file names."""
        request = files_pb2.ListReleaseFilesRequest(parent=release, page_size=1000)
        found = self._stubs.releases.ListReleaseFiles(request, **self._options).files
        return {file.file_name: file.name for file in found}

    def download(self, name: str) -> bytes:
        request = files_pb2.DownloadReleaseFileRequest(name=name)
        return b"".join(each.data for each in self._stubs.releases.DownloadReleaseFile(request, **self._options))

    # --- the operator's -----------------------------------------------------------------------------------------------

    def collect(self, *, dry: bool = False) -> admin_pb2.CollectGarbageResponse:
        request = admin_pb2.CollectGarbageRequest(validate_only=dry)
        answer: admin_pb2.CollectGarbageResponse = self._admin.CollectGarbage(request, **self._options)
        return answer

    def check(self, *, repair: bool = False) -> admin_pb2.CheckStorageResponse:
        request = admin_pb2.CheckStorageRequest(percent=100, repair=repair)
        answer: admin_pb2.CheckStorageResponse = self._admin.CheckStorage(request, **self._options)
        return answer
