"""The pictures of organizations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

import grpc
from releaseregistry.v1 import organizations_pb2 as messages
from releaseregistry.v1.organizations_pb2 import DownloadAvatarResponse, Organization, UploadAvatarRequest
from releaseregistry.v1.organizations_pb2_grpc import OrganizationServiceStub

from relctl.connection import Connection, repeat_while_busy
from relctl.errors import LocalError, decode_error
from relctl.names import organization_name

FRAME_BYTES: Final = 256 * 1024
MAX_AVATAR_BYTES: Final = 5_000_000
UPLOAD_DEADLINE_SECONDS: Final = 120.0


class Avatars:
    """The part of OrganizationService that is about pictures. Every method raises RegistryError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = OrganizationServiceStub(connection.channel)

    def upload(self, organization: str, picture: bytes) -> Organization:
        """Make this the picture that stands for the organization, and answer the organization as it now is.

        A square PNG, JPEG, GIF or WEBP of 256 to 1,024 pixels a side, at most 5,000,000 bytes; LocalError for more of
        them. Repeats itself while the server is UNAVAILABLE: the result is the same.
        """
        if len(picture) > MAX_AVATAR_BYTES:
            raise LocalError(f"a picture has at most {MAX_AVATAR_BYTES:,} bytes, not {len(picture):,}")
        name = organization_name(organization)

        def send() -> Organization:
            try:
                answer = self._stub.UploadAvatar(
                    _frames(name, picture), timeout=UPLOAD_DEADLINE_SECONDS, metadata=self._connection.metadata
                )
            except grpc.RpcError as error:
                raise decode_error(error) from None
            return answer.organization

        return repeat_while_busy(send)

    def download(self, organization: str, *, size_pixels: int = 0) -> DownloadAvatarResponse:
        """Answer the picture of an organization as PNG, in the size nearest to the one asked for; 0 is the largest."""
        request = messages.DownloadAvatarRequest(name=organization_name(organization), size_pixels=size_pixels)
        return self._connection.call(self._stub.DownloadAvatar, request)


def _frames(name: str, picture: bytes) -> Iterator[UploadAvatarRequest]:
    yield UploadAvatarRequest(header=messages.AvatarHeader(name=name))
    for start in range(0, len(picture), FRAME_BYTES):
        yield UploadAvatarRequest(data=picture[start : start + FRAME_BYTES])
    digest = hashlib.sha256(picture).hexdigest()
    yield UploadAvatarRequest(finish=messages.AvatarFinish(size_bytes=len(picture), sha256=digest))
