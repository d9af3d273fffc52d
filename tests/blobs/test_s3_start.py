"""What a bucket's service may refuse when a registry starts (behaviour.md, Files)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.blobs.s3 import BucketRefused, S3Packs
from store.blobs.s3_client import Bucket, Retries
from store.database import new_id
from tests.blobs.s3_proxy import Fault, Request, S3Proxy
from tests.s3_server import SECRET, S3Server

OURS = new_id()


def refusal_of(bucket: Bucket, *, expected: bool = False) -> str:
    with pytest.raises(BucketRefused) as refused:
        S3Packs(bucket, registry_id=OURS, expected=expected, streams=1, retries=Retries(0, 1))
    text = str(refused.value)
    assert "\n" not in text
    assert SECRET not in text
    return text


def test_a_bucket_that_does_not_exist_is_refused_at_start(bucket: Bucket) -> None:
    assert "there is no such bucket" in refusal_of(replace(bucket, name="not-there"))


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (400, "AuthorizationHeaderMalformed", "RELEASES_S3_REGION"),
        (301, "PermanentRedirect", "RELEASES_S3_REGION"),
        (403, "InvalidAccessKeyId", "access key"),
        (403, "SignatureDoesNotMatch", "secret of the access key is wrong"),
        (403, "AccessDenied", "rights"),
        (403, "RequestTimeTooSkewed", "clock"),
        (418, "Teapot", "418 (Teapot)"),
        (500, "InternalError", "500"),
    ],
)
def test_what_a_service_refuses_at_start_is_told_in_one_line(
    bucket: Bucket, proxy: S3Proxy, status: int, code: str, told: str
) -> None:
    proxy.fault = lambda _request: Fault(status=status, code=code)

    assert told in refusal_of(bucket)


def test_a_service_that_is_not_there_is_told_at_start(bucket: Bucket) -> None:
    assert "cannot be reached" in refusal_of(replace(bucket, endpoint="http://127.0.0.1:1"))


def test_a_prefix_with_something_else_in_it_is_refused(bucket: Bucket, s3_server: S3Server) -> None:
    s3_server.put(bucket, "holiday.jpg", b"picture")

    assert "holds something else" in refusal_of(bucket)
    S3Packs(replace(bucket, prefix="elsewhere"), registry_id=OURS, expected=False).close()


def test_of_two_registries_that_start_at_once_one_gets_the_prefix(
    bucket: Bucket, proxy: S3Proxy, s3_server: S3Server
) -> None:
    def claim_first(request: Request) -> Fault | None:
        if request.method == "PUT":
            s3_server.put(bucket, "registry", f"{new_id().hex()}\n".encode())
        return None

    proxy.fault = claim_first
    assert "belongs to another registry" in refusal_of(bucket)


def test_a_service_without_conditions_will_do(bucket: Bucket, proxy: S3Proxy) -> None:
    proxy.fault = lambda request: (
        Fault(status=501, code="NotImplemented") if "if-none-match" in request.headers else None
    )

    S3Packs(bucket, registry_id=OURS, expected=False).close()
    S3Packs(bucket, registry_id=OURS, expected=True).close()
