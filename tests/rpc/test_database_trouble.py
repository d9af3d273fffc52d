"""What callers hear of a database that has no time for them, or is gone."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from releaseregistry.v1 import organizations_pb2, tokens_pb2

from store.database import Transaction
from store.organizations.models import OrganizationSlug
from tests.postgres_server import pauses
from tests.rpc.wire import Served, raises_reason


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
