"""What callers hear of a database that has no time for them, or is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from releaseregistry.v1 import organizations_pb2, tokens_pb2

from store.database import Transaction
from store.organizations.models import OrganizationSlug
from tests.postgres_server import pauses
from tests.rpc.wire import Served, raises_reason

# With the SQLite that the server has: another one in its process would let go of its locks.
LOCKER = """
import sys
import apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


def test_a_write_that_does_not_get_its_turn_is_told_busy_and_changes_nothing(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, done = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        tx.execute(OrganizationSlug.insert(slug="acme", organization_id=bytes(16)))
        begun.set()
        assert done.wait(60)
        raise InterruptedError

    create = organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="acme"))
    monkeypatch.setattr(server.database, "_wait_seconds", 1.0)
    with ThreadPoolExecutor(1) as other, pauses():
        holding: Future[None] = other.submit(server.database.write, hold)
        assert begun.wait(60)
        try:
            with raises_reason("DATABASE_BUSY", "UNAVAILABLE") as refusal:
                server.organizations.CreateOrganization(create, metadata=server.operator, timeout=60)
        finally:
            done.set()
    assert isinstance(holding.exception(), InterruptedError)
    monkeypatch.undo()
    assert refusal.retry_seconds
    assert server.organizations.CreateOrganization(create, metadata=server.operator).organization.slug == "acme"


def test_a_database_that_is_gone_is_told_down(server: Served) -> None:
    server.database.close()
    with raises_reason("DATABASE_DOWN", "UNAVAILABLE") as refusal:
        server.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=server.operator, timeout=60)
    assert refusal.retry_seconds


def test_while_another_program_has_locked_the_file_writes_are_busy_and_then_go_on_by_themselves(
    edge: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, globex = (
        organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug=slug))
        for slug in ("acme", "globex")
    )
    edge.organizations.CreateOrganization(acme, metadata=edge.operator)
    monkeypatch.setattr(edge.database, "_wait_seconds", 0.5)
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(tmp_path / "registry.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as locker:
        assert locker.stdout is not None
        assert locker.stdout.readline() == "locked\n"
        with raises_reason("DATABASE_BUSY", "UNAVAILABLE") as refusal:
            edge.organizations.CreateOrganization(globex, metadata=edge.operator, timeout=60)
        look = organizations_pb2.GetOrganizationRequest(name="organizations/acme")
        assert edge.organizations.GetOrganization(look, metadata=edge.operator).organization.slug == "acme"
        locker.communicate()
    assert refusal.retry_seconds
    monkeypatch.undo()
    assert edge.organizations.CreateOrganization(globex, metadata=edge.operator).organization.slug == "globex"
