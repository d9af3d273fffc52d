"""Whoever decides by what it reads writes in the same transaction, which holds what it read from its beginning."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from store.database import Database, Statement, Transaction, hole
from tests.database.conftest import Crowd
from tests.database.things import FIND, INSERT, Thing, thing

ROOT = Path(__file__).parents[2]
BEGINS = {
    "store/database/sqlite_writer.py": ["BEGIN IMMEDIATE"],
    "store/database/sqlite.py": ["BEGIN"],  # query_only
    "store/database/sqlite_copy.py": ["BEGIN"],  # query_only
    "store/database/postgres.py": ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"],
    "store/database/postgres_write.py": ["BEGIN ISOLATION LEVEL READ COMMITTED"],
    "store/backup/postgres_part.py": ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"],
}
OF_PEEWEE_AND_DRIVERS = {
    "store/database/postgres.py": ["transaction"],  # the lock of migrations, on PostgreSQL
    "store/backup/postgres_part.py": ["atomic"],  # into an empty PostgreSQL that nobody else uses
}
SET = Statement(Thing.update({Thing.count: hole(Thing.count)}).where(Thing.name == hole(Thing.name)))
THREADS, TIMES = 8, 20


def trees() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("store", "server"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def begins(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode(errors="replace")
            if text.startswith("BEGIN"):
                yield text.partition(";")[0]


def transactions(tree: ast.Module) -> Iterator[str]:
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = (each.attr for each in called if isinstance(each, ast.Attribute))
    return (name for name in names if name in {"atomic", "transaction", "savepoint", "manual_commit"})


def test_a_transaction_that_writes_to_sqlite_holds_the_lock_from_its_beginning() -> None:
    """One that takes it only when it first writes fails then, at once, if somebody wrote since it read."""
    found = {path: texts for path, tree in trees() if (texts := list(begins(tree)))}
    assert found == BEGINS


def test_nobody_begins_a_transaction_in_another_way() -> None:
    found = {path: names for path, tree in trees() if (names := list(transactions(tree)))}
    assert found == OF_PEEWEE_AND_DRIVERS


def test_writes_that_follow_what_they_read_lose_none_of_each_other(things: Database, crowd: Crowd) -> None:
    things.write(lambda tx: tx.run_many(INSERT, [{**thing("a"), "count": 0}]))

    def increment(tx: Transaction) -> None:
        row = tx.lock(FIND, name="a")
        assert row is not None
        tx.run(SET, name="a", count=row.count + 1)

    def work() -> None:
        for _ in range(TIMES):
            things.write(increment)

    for each in [crowd.start(work) for _ in range(THREADS)]:
        each.result()
    row = things.row(FIND, name="a")
    assert row is not None
    assert row.count == THREADS * TIMES
