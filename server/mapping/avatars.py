"""Avatars: the frames of an upload, and the picture that the store hands out as a message."""

from __future__ import annotations

from collections.abc import Iterator

from releaseregistry.v1 import organizations_pb2 as pb

from server.names import uid
from store.errors import FrameOutOfOrder
from store.organizations.avatars import AvatarPicture


class AvatarFrames:
    """The frames of a picture in the order that the contract demands: header, data, finish, and then no more.

    `header`, `data` and `finish` are called in this order, each to its end. Raises FrameOutOfOrder.
    """

    def __init__(self, requests: Iterator[pb.UploadAvatarRequest]) -> None:
        self._requests = requests
        self._finish: pb.AvatarFinish | None = None

    def header(self) -> pb.AvatarHeader:
        """The first frame."""
        request = next(self._requests, None)
        found = _frame(request)
        if request is None or found != "header":
            raise FrameOutOfOrder(expected="header", found=found)
        return request.header

    def data(self) -> Iterator[bytes]:
        """The bytes of the frames up to the finish."""
        for request in self._requests:
            found = _frame(request)
            if found == "data":
                yield request.data
            elif found == "finish":
                self._finish = request.finish
                return
            else:
                raise FrameOutOfOrder(expected="data or finish", found=found)
        raise FrameOutOfOrder(expected="data or finish", found="end")

    def finish(self) -> pb.AvatarFinish:
        """The frame that said finish, once the stream ended behind it."""
        assert self._finish is not None, "data() was not read to its end"
        found = _frame(next(self._requests, None))
        if found != "end":
            raise FrameOutOfOrder(expected="end", found=found)
        return self._finish


def avatar_message(picture: AvatarPicture) -> pb.DownloadAvatarResponse:
    """What DownloadAvatar answers."""
    return pb.DownloadAvatarResponse(
        data=picture.data,
        content_type="image/png",
        size_pixels=picture.size_pixels,
        avatar_uid=uid(picture.avatar_uid),
    )


def _frame(request: pb.UploadAvatarRequest | None) -> str:
    if request is None:
        return "end"
    return request.WhichOneof("frame") or "an empty message"
