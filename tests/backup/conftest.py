"""Installations to back up and restore, once on each database with each place of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backup.installation import Installations
from tests.postgres_server import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def installations(request: pytest.FixtureRequest, engine: str, place: str, tmp_path: Path) -> Iterator[Installations]:
    postgres: PostgresServer | None = None
    if engine == "postgresql":
        postgres = request.getfixturevalue("postgres_server")
    s3 = request.getfixturevalue("s3_server") if place == "bucket" else None
    with ExitStack() as stack:
        yield Installations(tmp_path, stack, postgres=postgres, s3=s3)
