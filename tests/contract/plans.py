"""How the databases carry out what the store asks of them: every statement, explained with its values.

PostgreSQL plans by how large its tables are: of some thousand rows it rightly reads all, where an index costs as much.
So it plans here as if there were `TIMES` as many, which is what matters, and is the same on every run.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import apsw
import psycopg
import pytest
from psycopg import sql

from store.database import Database
from store.database.engine import Reader

Executed = dict[str, Sequence[Any]]
"""Statements with the values that they were executed with last."""

# Of a database that was made for a test, and may stay as small in a real one.
SMALL: Final = {
    "organization",
    "organization_slug",
    "project",
    "project_slug",
    "environment",
    "repository",
    "environment_project",
    "health_project",
}
SMALL_ALWAYS: Final = {"draining_project", "job_lease"}

TIMES: Final = 200
"""Of 6,000 releases this makes more than a million."""

_TABLE: Final = re.compile(r'(?:FROM|JOIN) "(\w+)" AS "(t\d+)"')
_SCAN: Final = re.compile(r"SCAN (t\d+)")
_SEARCH: Final = re.compile(r"SEARCH (t\d+) USING .*?(?:INDEX (\S+) |PRIMARY KEY )\((.*)\)")
# What all rows of an organization, or of a project, have in common.
_SHARED: Final = {"organization_id=?", "status=?", "project_id=?"}


def executed(work: Callable[[], Any]) -> Executed:
    """The statements of some work."""
    found: Executed = {}
    run = Reader._run

    def recorded(reader: Reader, execute: Any, sql: str, values: Any) -> Any:
        found[sql] = values
        return run(reader, execute, sql, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "_run", recorded)
        work()
    return found


class Plans(ABC):
    """Tells what is wrong with how a database carries out a statement: nothing may look at more than `most` rows."""

    def __init__(self, most: int) -> None:
        self.most = most

    @abstractmethod
    def problems(self, statement: str, values: Sequence[Any]) -> list[str]:
        """What is wrong, and the plan; empty when nothing is."""


@contextmanager
def plans_of(database: Database, url: str, *, most: int) -> Iterator[Plans]:
    """The plans of a database, which knows what its tables hold."""
    if database.engine == "sqlite":
        file = apsw.Connection(url.removeprefix("sqlite://"), flags=apsw.SQLITE_OPEN_READONLY)
        yield _Sqlite(file, most)
        file.close()
        return
    with psycopg.connect(url, prepare_threshold=None) as connection:
        _pretend(connection)
        yield _Postgresql(connection, most)
        connection.rollback()


def _pretend(connection: psycopg.Connection[Any]) -> None:
    """Has this connection plan as for large tables, by statistics of its own.

    Until its transaction ends nobody gathers others: autovacuum does as it likes, and would do so between two plans.
    """
    connection.execute("SET LOCAL jit = off")  # it would take seconds to compile what takes milliseconds to do
    names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    for (name,) in names:
        table = sql.Identifier(name)
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(table))
        connection.execute(sql.SQL("ANALYZE {}").format(table))
    # How many pages of a table only hold what everyone sees depends on who else had a transaction at some time.
    connection.execute(
        """
        UPDATE pg_class AS class SET reltuples = class.reltuples * %s, relallvisible = class.relpages
        FROM pg_class AS of_table LEFT JOIN pg_index ON pg_index.indrelid = of_table.oid
        WHERE class.oid IN (of_table.oid, pg_index.indexrelid) AND of_table.relname = ANY(%s) AND class.reltuples > 0
        """,
        (TIMES, [name for (name,) in names if name not in SMALL | SMALL_ALWAYS]),
    )


class _Sqlite(Plans):
    """By the plan alone: the database has no statistics, so that a plan is the same however many rows there are."""

    def __init__(self, connection: apsw.Connection, most: int) -> None:
        super().__init__(most)
        self._connection = connection

    def problems(self, statement: str, values: Sequence[Any]) -> list[str]:
        lines = [row[3] for row in self._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        tables = {alias: table for table, alias in _TABLE.findall(statement)}
        # In the order of an index, or in any order, a LIMIT ends the reading.
        ends = "LIMIT" in statement and ("USE TEMP B-TREE FOR ORDER BY" not in lines or "COMPOUND QUERY" in lines)
        wrong = []
        for line in lines:
            scan = _SCAN.match(line)
            if scan and tables.get(scan[1]) not in SMALL_ALWAYS:
                wrong.append(f"reads all of {tables.get(scan[1])}")
            search = _SEARCH.match(line)
            if search and not ends and _reads_all(tables.get(search[1]), search[3].split(" AND ")):
                wrong.append(f"reads all of one's {tables.get(search[1])}: {search[3]}")
        return wrong and [*wrong, *lines]


def _reads_all(table: str | None, bounds: list[str]) -> bool:
    """Whether a search within these bounds reads all that an organization or a project has in the table."""
    if table in SMALL:
        return False
    # Of releases a range is no bound: there are as many with a commit, say, as there are releases.
    counting = [bound for bound in bounds if "=" in bound or table not in {"release", "release_project"}]
    return set(counting) <= _SHARED


class _Postgresql(Plans):
    """By the rows that each step took, and for compiled statements also by the plan that serves all values."""

    def __init__(self, connection: psycopg.Connection[Any], most: int) -> None:
        super().__init__(most)
        self._connection = connection

    def problems(self, statement: str, values: Sequence[Any]) -> list[str]:
        found = []
        plan = self._explain(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", values)
        for node in _nodes(plan):
            removed = sum(rows for name, rows in node.items() if name.startswith("Rows Removed by "))
            looked_at = (node["Actual Rows"] + removed) * node["Actual Loops"]
            if looked_at > self.most:
                found.append(f"{node['Node Type']} of {looked_at} rows")
        if found:
            found.append(json.dumps(plan, indent=1))
        if "::" in statement:
            numbers = count(1)
            generic = re.sub("%s", lambda _: f"${next(numbers)}", statement)
            found += [
                f"reads all of {node['Relation Name']}, once it is planned for all values"
                for node in _nodes(self._explain(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {generic}", None))
                if node["Node Type"] == "Seq Scan" and node["Relation Name"] not in SMALL | SMALL_ALWAYS
            ]
        return found

    def _explain(self, text: str, values: Sequence[Any] | None) -> dict[str, Any]:
        row: Any = self._connection.execute(text.encode(), values).fetchone()
        plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
        told: dict[str, Any] = plan[0]["Plan"]
        return told


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
