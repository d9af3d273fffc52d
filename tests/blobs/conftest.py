"""A bucket of its own for each test, behind a proxy that can be told to harm what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from store.blobs.s3_client import Bucket
from tests.blobs.s3_proxy import S3Proxy, proxied
from tests.s3_server import S3Server


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    with proxied(s3_server.port) as proxy:
        yield proxy


@pytest.fixture
def bucket(proxy: S3Proxy, s3_server: S3Server) -> Bucket:
    return proxy.of(s3_server.fresh_bucket())
