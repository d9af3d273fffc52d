"""Fixtures for tests of files whose bytes lie in a bucket; a module that imports them has its shelf there.

On SQLite alone: what the database does is shown on both by the tests on a folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.blobs.s3_client import Bucket
from store.database import Database
from tests.contract.acme import Acme
from tests.contract.shelf import Shelf
from tests.s3_server import S3Server


@pytest.fixture(name="database_url")
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/registry.db"


@pytest.fixture(name="bucket")
def empty_bucket(s3_server: S3Server) -> Bucket:
    return s3_server.fresh_bucket()


@pytest.fixture(name="shelf")
def shelf_in_a_bucket(database: Database, bucket: Bucket) -> Iterator[Shelf]:
    """A blob store in a bucket, and the release `app@1.0.0` of the projects `web` and `api` to put files into."""
    acme = Acme(database, "web", "api", "cli")
    acme.release("app@1.0.0", "web", "api")
    shelf = Shelf(acme, bucket)
    yield shelf
    shelf.blobs.close()
