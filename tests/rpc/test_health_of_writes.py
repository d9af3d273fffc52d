"""Health of `writes`: whether what was last written was taken. The server as a whole serves on, for reads do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from store.errors import ReadOnly
from tests.postgres_server import PostgresServer
from tests.rpc.sending import MIB, content_of, upload
from tests.rpc.wire import Served, raises_reason

Status = health_pb2.HealthCheckResponse
SERVING, NOT_SERVING = Status.SERVING, Status.NOT_SERVING


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web"])
    server.make_release("organizations/acme", "app@1.0.0", "web")
    return server


def health_of(server: Served, service: str = "writes") -> int:
    stub = health_pb2_grpc.HealthStub(server.channel)
    return int(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status)


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def refuse_an_upload(server: Served, number: int, call: str = "store.blobs.local_sink.os.pwrite") -> None:
    reason, code = {errno.ENOSPC: ("STORAGE_FULL", "RESOURCE_EXHAUSTED")}.get(number, ("READ_ONLY", "UNAVAILABLE"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(call, failing(number))
        with raises_reason(reason, code):
            upload(server, content_of(MIB))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_packs_that_took_no_write_are_told_until_they_take_one(acme: Served, number: int) -> None:
    assert health_of(acme) == SERVING

    refuse_an_upload(acme, number)
    assert (health_of(acme), health_of(acme, "")) == (NOT_SERVING, SERVING)
    acme.make_project("organizations/acme", "api")  # the database takes writes, which says nothing of packs
    assert health_of(acme) == NOT_SERVING

    upload(acme, content_of(MIB))
    assert (health_of(acme), health_of(acme, "")) == (SERVING, SERVING)


def test_a_refused_write_is_told_for_a_minute(acme: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_an_upload(acme, errno.ENOSPC)
    assert health_of(acme) == NOT_SERVING

    monkeypatch.setattr("store.last_writes.REFUSED_SECONDS", 0.0)
    assert health_of(acme) == SERVING


def test_after_a_failed_sync_no_minute_brings_writes_back(acme: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_an_upload(acme, errno.EIO, "store.blobs.local.os.fsync")

    monkeypatch.setattr("store.last_writes.REFUSED_SECONDS", 0.0)
    assert (health_of(acme), health_of(acme, "")) == (NOT_SERVING, SERVING)


def test_who_watches_writes_is_told_when_they_fail_and_when_they_are_back(acme: Served) -> None:
    stub = health_pb2_grpc.HealthStub(acme.channel)
    watcher = stub.Watch(health_pb2.HealthCheckRequest(service="writes"), timeout=60)
    assert next(watcher).status == SERVING
    refuse_an_upload(acme, errno.ENOSPC)
    assert next(watcher).status == NOT_SERVING
    upload(acme, content_of(MIB))
    assert next(watcher).status == SERVING
    acme.server.drain(seconds=0)
    assert next(watcher).status == NOT_SERVING
    assert health_of(acme) == NOT_SERVING
    watcher.cancel()


def test_a_full_sqlite_is_told_until_it_takes_a_write(edge: Served) -> None:
    edge.make_organization(projects=["web"])
    internals: Any = edge.database
    connection = internals._writer._connection
    connection.pragma("max_page_count", connection.pragma("page_count"))
    with raises_reason("STORAGE_FULL", "RESOURCE_EXHAUSTED"):
        for number in range(1000):
            edge.make_project("organizations/acme", f"project-{number}")
    assert (health_of(edge), health_of(edge, "")) == (NOT_SERVING, SERVING)

    connection.pragma("max_page_count", 2**30)
    edge.make_project("organizations/acme", "at-last")
    assert health_of(edge) == SERVING


def test_an_sqlite_that_writes_no_more_is_told_until_a_restart(edge: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    edge.database.file.unlink()
    with pytest.raises(ReadOnly):  # not by a call: a thread that never read could not open the file for its token
        edge.database.write(lambda tx: None)

    monkeypatch.setattr("store.last_writes.REFUSED_SECONDS", 0.0)
    assert (health_of(edge), health_of(edge, "")) == (NOT_SERVING, SERVING)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_postgresql_that_turns_read_only_is_told_until_it_takes_a_write(
    server: Served, database_url: str, postgres_server: PostgresServer
) -> None:
    server.make_organization(projects=["web"])
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    internals: Any = server.database

    def turn(read_only: str) -> None:
        with postgres_server.admin() as admin:
            admin.execute(f'ALTER DATABASE "{name}" {read_only}'.encode())
        internals._pool.discard_idle()

    turn("SET default_transaction_read_only = on")
    try:
        with raises_reason("READ_ONLY", "UNAVAILABLE"):
            server.make_project("organizations/acme", "api")
        server.database.write(lambda tx: None)  # what changes nothing succeeds, and is no proof
        assert (health_of(server), health_of(server, "")) == (NOT_SERVING, SERVING)
    finally:
        turn("RESET default_transaction_read_only")
    server.make_project("organizations/acme", "api")
    assert health_of(server) == SERVING
