"""Avatars: the picture that the store hands out as a message."""

from __future__ import annotations

from releaseregistry.v1 import organizations_pb2 as pb

from server.names import uid
from store.organizations.avatars import AvatarPicture


def avatar_message(picture: AvatarPicture) -> pb.DownloadAvatarResponse:
    """What DownloadAvatar answers."""
    return pb.DownloadAvatarResponse(
        data=picture.data,
        content_type="image/png",
        size_pixels=picture.size_pixels,
        avatar_uid=uid(picture.avatar_uid),
    )
