"""What an organization of the probes has, and the like of it that nobody has."""

from __future__ import annotations

import random
import uuid
from typing import Any, Final

from google.protobuf.message import Message
from releaseregistry.v1 import (
    commits_pb2,
    files_pb2,
    organizations_pb2,
    releases_pb2,
    sessions_pb2,
    thresholds_pb2,
    tokens_pb2,
)
from releaseregistry.v1 import uploads_pb2 as pb

from tests.clocks import START_US
from tests.rpc.fast_door import plain
from tests.rpc.sending import data, digest_of
from tests.tenants.doors import Door
from tests.tenants.tenants import OPERATOR

COLLECTIONS: Final = (
    "organizations",
    "projects",
    "releases",
    "files",
    "uploads",
    "tokens",
    "repositories",
    "thresholds",
)


class Things:
    """What an organization has, by the kind of name that it goes by."""

    def __init__(self, organization: str, names: dict[str, str]) -> None:
        self.organization = organization
        self.names = names

    def absent(self, chance: random.Random) -> Things:
        """The same kinds of things that nobody has, of as many characters."""
        taken: dict[str, str] = {}

        def other(text: str) -> str:
            parts = text.split("/")
            for part in parts:
                if part not in taken:
                    taken[part] = part if part in COLLECTIONS else _like(part, chance)
            return "/".join(taken[part] for part in parts)

        return Things(other(self.organization), {kind: other(name) for kind, name in self.names.items()})


def _like(part: str, chance: random.Random) -> str:
    if len(part) == 64:
        return chance.randbytes(32).hex()
    try:
        uuid.UUID(part)
    except ValueError:
        return "".join(chance.choice("abcdefgh") if char.isalpha() else char for char in part)
    return str(uuid.UUID(bytes=chance.randbytes(16)))


def settle(
    door: Door, slug: str, web: str, version: str, file_name: str, repository: str, *, content: bytes, chunk: bytes
) -> Things:
    """An organization with one of everything."""

    def made(method: str, *requests: Message) -> Any:
        answer = door.call(method, requests, OPERATOR)
        assert answer.code == "OK", (method, answer)
        return answer.read(method)[0]

    organization = organizations_pb2.Organization(slug=slug)
    name = made("CreateOrganization", organizations_pb2.CreateOrganizationRequest(organization=organization))
    parent = name.organization.name
    project = made(
        "CreateProject",
        organizations_pb2.CreateProjectRequest(parent=parent, project=organizations_pb2.Project(slug=web)),
    ).project.name
    release = made(
        "CreateRelease",
        releases_pb2.CreateReleaseRequest(
            parent=parent, release=releases_pb2.Release(version=version, projects=[project])
        ),
    ).release.name
    made(
        "SetCommits",
        commits_pb2.SetCommitsRequest(
            name=release, commits=[commits_pb2.Commit(id="c1", repository=repository)], finish=True, commit_count=1
        ),
    )
    repositories = made("ListRepositories", organizations_pb2.ListRepositoriesRequest(parent=parent))
    header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=release, file_name=file_name)
    file = made(
        "UploadReleaseFile",
        files_pb2.UploadReleaseFileRequest(header=header),
        data(content, 0),
        files_pb2.UploadReleaseFileRequest(
            finish=files_pb2.UploadFinish(size_bytes=len(content), sha256=digest_of(content))
        ),
    ).file.name
    made("UploadChunks", pb.UploadChunksRequest(parent=parent, chunks=[plain(chunk)], finish=True, chunk_count=1))
    open_header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=release, file_name="open")
    upload = made("StartUpload", pb.StartUploadRequest(header=open_header)).upload.name
    token = tokens_pb2.Token(display_name="one", scopes=["release:read"], all_projects=True)
    request = tokens_pb2.CreateTokenRequest(parent=parent, token=token, request_id=str(uuid.uuid4()))
    session = sessions_pb2.SessionUpdate(
        session_id=str(uuid.uuid4()), version=version, project=project, status=sessions_pb2.SESSION_STATUS_CRASHED
    )
    session.start_time.FromMicroseconds(START_US)
    recorded = made("RecordSessions", sessions_pb2.RecordSessionsRequest(parent=parent, updates=[session])).recorded
    assert recorded.recorded_count == 1
    threshold = thresholds_pb2.Threshold(metric="THRESHOLD_METRIC_FAILURE_RATE", trigger="THRESHOLD_TRIGGER_OVER")
    threshold.window.FromSeconds(3600)
    return Things(
        parent,
        {
            "organization": parent,
            "project": project,
            "release": release,
            "repository": repositories.repositories[0].name,
            "file": file,
            "upload": upload,
            "token": made("CreateToken", request).token.name,
            "threshold": made(
                "CreateThreshold", thresholds_pb2.CreateThresholdRequest(parent=project, threshold=threshold)
            ).threshold.name,
            "slug": slug,
            "version": version,
            "upload_id": upload.rpartition("/")[2],
            "uid": file.rpartition("/")[2],
            "content": digest_of(content),
            "chunk": digest_of(chunk),
            "text": file_name,
        },
    )
