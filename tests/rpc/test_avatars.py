"""UploadAvatar and DownloadAvatar over the wire."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from releaseregistry.v1 import organizations_pb2 as pb

from tests.pictures import BLUE, BOMBS, RED, bomb, is_about, moving, opened, picture
from tests.rpc.wire import Metadata, Served, bearer, raises_reason

NAME = "organizations/acme"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization()
    return server


@pytest.fixture
def edge_acme(edge: Served) -> Served:
    edge.make_organization()
    return edge


def header(name: str = NAME) -> pb.UploadAvatarRequest:
    return pb.UploadAvatarRequest(header=pb.AvatarHeader(name=name))


def data(content: bytes) -> pb.UploadAvatarRequest:
    return pb.UploadAvatarRequest(data=content)


def finish(content: bytes) -> pb.UploadAvatarRequest:
    digest = hashlib.sha256(content).hexdigest()
    return pb.UploadAvatarRequest(finish=pb.AvatarFinish(size_bytes=len(content), sha256=digest))


def frames(content: bytes, name: str = NAME, *, size: int = 100_000) -> Iterator[pb.UploadAvatarRequest]:
    yield header(name)
    for start in range(0, len(content), size):
        yield data(content[start : start + size])
    yield finish(content)


def send(
    server: Served, requests: Iterable[pb.UploadAvatarRequest], *, metadata: Metadata | None = None
) -> pb.Organization:
    answer = server.organizations.UploadAvatar(iter(requests), metadata=metadata or server.operator, timeout=60)
    return answer.organization


def upload(server: Served, content: bytes, *, metadata: Metadata | None = None) -> pb.Organization:
    return send(server, frames(content), metadata=metadata)


def download(
    server: Served, size: int = 0, *, name: str = NAME, metadata: Metadata | None = None
) -> pb.DownloadAvatarResponse:
    request = pb.DownloadAvatarRequest(name=name, size_pixels=size)
    return server.organizations.DownloadAvatar(request, metadata=metadata or server.operator, timeout=60)


def get(server: Served) -> pb.Organization:
    request = pb.GetOrganizationRequest(name=NAME)
    return server.organizations.GetOrganization(request, metadata=server.operator).organization


def test_an_uploaded_picture_stands_for_the_organization(acme: Served) -> None:
    assert (get(acme).avatar_type, get(acme).avatar_uid) == (pb.AVATAR_TYPE_LETTER, "")
    changed = upload(acme, picture("WEBP", 700))
    assert changed.avatar_type == pb.AVATAR_TYPE_UPLOAD
    assert str(uuid.UUID(changed.avatar_uid)) == changed.avatar_uid
    told = get(acme)
    told.ClearField("usage")  # which GetOrganization alone answers
    assert told == changed


@pytest.mark.parametrize(("asked", "got"), [(0, 120), (1, 20), (64, 64), (70, 64), (2**31 - 1, 120)])
def test_the_picture_comes_as_png_in_the_nearest_size(edge_acme: Served, asked: int, got: int) -> None:
    changed = upload(edge_acme, picture("GIF"))
    answer = download(edge_acme, asked)
    assert (answer.content_type, answer.size_pixels, answer.avatar_uid) == ("image/png", got, changed.avatar_uid)
    image = opened(answer.data)
    assert (image.format, image.size) == ("PNG", (got, got))
    assert is_about(image.getpixel((5, 5)), RED)


def test_a_new_picture_has_a_new_uid_and_the_same_one_again_has_not(acme: Served) -> None:
    first = upload(acme, picture())
    assert upload(acme, picture()) == first
    second = upload(acme, picture(colour=BLUE))
    assert second.avatar_uid != first.avatar_uid
    assert is_about(opened(download(acme).data).getpixel((5, 5)), BLUE)


def test_letter_and_upload_are_chosen_by_update(acme: Served) -> None:
    def choose(type_: pb.AvatarType, *paths: str) -> pb.Organization:
        request = pb.UpdateOrganizationRequest(
            organization=pb.Organization(name=NAME, avatar_type=type_), update_mask=FieldMask(paths=paths)
        )
        return acme.organizations.UpdateOrganization(request, metadata=acme.operator).organization

    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        choose(pb.AVATAR_TYPE_UPLOAD)
    assert list(refusal.violations) == ["organization.avatar_type"]
    uploaded = upload(acme, picture())
    assert choose(pb.AVATAR_TYPE_LETTER).avatar_type == pb.AVATAR_TYPE_LETTER
    assert choose(pb.AVATAR_TYPE_UPLOAD).avatar_uid == uploaded.avatar_uid
    assert choose(pb.AVATAR_TYPE_UNSPECIFIED, "avatar_type").avatar_type == pb.AVATAR_TYPE_LETTER


def test_an_organization_without_a_picture_says_so(acme: Served) -> None:
    with raises_reason("AVATAR_NOT_FOUND", "NOT_FOUND") as refusal:
        download(acme)
    assert refusal.metadata == {"name": NAME}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"GIF89a, it says", "is no PNG, JPEG, GIF or WEBP"),
        (picture("BMP"), "is no PNG, JPEG, GIF or WEBP"),
        (picture("PNG", (300, 256)), "is 300 by 256 pixels, not square or not of 256 to 1024 a side"),
        (picture("PNG", 255), "is 255 by 255 pixels, not square or not of 256 to 1024 a side"),
        (moving("PNG"), "moves, and only of a GIF the first frame is taken"),
        (picture("JPEG")[:700], "is damaged, or not finished"),
    ],
)
def test_what_is_no_picture_of_ours_is_refused_with_the_reason(edge_acme: Served, content: bytes, problem: str) -> None:
    with raises_reason("AVATAR_INVALID", "INVALID_ARGUMENT") as refusal:
        upload(edge_acme, content)
    assert refusal.metadata == {"problem": problem}
    assert get(edge_acme).avatar_uid == ""


def test_bombs_are_refused(edge_acme: Served) -> None:
    for name in BOMBS:
        with raises_reason("AVATAR_INVALID", "INVALID_ARGUMENT"):
            upload(edge_acme, bomb(name))


def test_more_than_five_million_bytes_are_refused_while_they_come(edge_acme: Served) -> None:
    upload_of_five_million = frames(bytes(5_000_000), size=2**20)
    with raises_reason("AVATAR_INVALID", "INVALID_ARGUMENT"):
        send(edge_acme, upload_of_five_million)
    with raises_reason("FILE_TOO_LARGE", "INVALID_ARGUMENT") as refusal:
        send(edge_acme, [header(), *[data(bytes(2**20))] * 5])  # and no finish
    assert refusal.metadata == {"max_bytes": "5000000"}


def test_a_frame_of_more_than_a_mebibyte_is_refused(edge_acme: Served) -> None:
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        send(edge_acme, [header(), data(bytes(2**20 + 1))])


def test_size_and_digest_are_checked(edge_acme: Served) -> None:
    content = picture()
    with raises_reason("SIZE_MISMATCH", "INVALID_ARGUMENT"):
        send(edge_acme, [header(), data(content[:-1]), finish(content)])
    with raises_reason("DIGEST_MISMATCH", "INVALID_ARGUMENT"):
        send(edge_acme, [header(), data(content[:-1] + b"x"), finish(content)])
    assert get(edge_acme).avatar_uid == ""


@pytest.mark.parametrize(
    ("requests", "expected", "found"),
    [
        ([], "header", "end"),
        ([data(b"x")], "header", "data"),
        ([finish(b"")], "header", "finish"),
        ([header()], "data or finish", "end"),
        ([header(), header()], "data or finish", "header"),
        ([header(), data(picture())], "data or finish", "end"),
        ([header(), pb.UploadAvatarRequest()], "data or finish", "an empty message"),
        ([*frames(picture()), data(b"x")], "end", "data"),
    ],
)
def test_frames_come_in_their_order(
    edge_acme: Served, requests: list[pb.UploadAvatarRequest], expected: str, found: str
) -> None:
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT") as refusal:
        send(edge_acme, requests)
    assert refusal.metadata == {"expected": expected, "found": found}
    assert get(edge_acme).avatar_uid == ""


def test_another_organization_is_told_like_one_that_is_not_there(acme: Served) -> None:
    upload(acme, picture())
    acme.make_organization("other")
    caller = bearer(acme.make_token("organizations/other", "org:write"))
    for name in (NAME, "organizations/nobody"):
        with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
            download(acme, name=name, metadata=caller)
        with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
            send(acme, [header(name)], metadata=caller)


def test_a_picture_is_set_by_who_may_write_and_seen_by_who_may_read(acme: Served) -> None:
    reader = bearer(acme.make_token(NAME, "org:read"))
    with raises_reason("SCOPE_MISSING", grpc.StatusCode.PERMISSION_DENIED):
        upload(acme, picture(), metadata=reader)
    upload(acme, picture(), metadata=bearer(acme.make_token(NAME, "org:write")))
    assert download(acme, metadata=reader).data
