"""A server of two processes on a PostgreSQL of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.postgres_server import PostgresServer
from tests.processes.serving import lines, wait_for
from tests.server_process import ServerProcess, own_port


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A migrated, empty database."""
    with postgres_server.recycled_database(postgres_template) as url:
        yield url


@pytest.fixture
def pair(postgres_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """A running server of two workers, which logs every call."""
    settings = {"RELEASES_WORKERS": "2", "RELEASES_LOG_LEVEL": "debug", "RELEASES_DRAIN_SECONDS": "600"}
    with ServerProcess(tmp_path / "server", database=postgres_url, environment=settings) as process:
        try:
            wait_for(process, message="all workers serve")
            yield process
        finally:
            process.kill()
            end_workers(process)


@pytest.fixture(scope="module")
def shared_pair(
    postgres_server: PostgresServer, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """One like `pair` for all tests of a file that leave it as it is."""
    metrics = f"127.0.0.1:{own_port()}"
    settings = {"RELEASES_WORKERS": "2", "RELEASES_LOG_LEVEL": "debug", "RELEASES_METRICS_LISTEN": metrics}
    folder = tmp_path_factory.mktemp("pair")
    with (
        postgres_server.recycled_database(postgres_template) as url,
        ServerProcess(folder / "server", database=url, environment=settings) as process,
    ):
        try:
            wait_for(process, message="all workers serve")
            yield process
        finally:
            process.kill()
            end_workers(process)


def end_workers(process: ServerProcess) -> None:
    """What a killed supervisor leaves drains; a test does not wait for that."""
    for line in lines(process, logger="server.worker", message="serving"):
        with suppress(ProcessLookupError):
            os.kill(line["pid"], signal.SIGKILL)
