"""What the store sees of a database: reads of one snapshot, and writes that happen wholly or not at all."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from store.clock import Clock
from store.database.dialect import Dialect, Engine
from store.database.query import BoundRows, Query, Row, Statement, table_of
from store.database.terms import PLAIN, M, R, Terms
from store.last_writes import LastWrites

log = logging.getLogger("store.database")

T = TypeVar("T")
Effect = Callable[[], None]
Configured = dict[type[Any], Any]


@dataclass(frozen=True, slots=True)
class QueryEvent:
    """One executed statement: its text without values, how long it took, rows read or changed, what it raised."""

    sql: str
    seconds: float
    rows: int
    error: BaseException | None


Hook = Callable[[QueryEvent], None]


class FetchedCursor:
    """Rows already read, in the shape in which Peewee's row wrappers take them."""

    def __init__(self, description: Sequence[Any], rows: list[tuple[Any, ...]]) -> None:
        self.description = description
        self._rows: Iterator[tuple[Any, ...]] = iter(rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None at the end."""
        return next(self._rows, None)

    def close(self) -> None:
        """Nothing is held."""


class Reader(ABC):
    """Reads of one consistent snapshot; good only inside the function it was handed to."""

    def __init__(self, dialect: Dialect, hooks: list[Hook]) -> None:
        self._dialect = dialect
        self._hooks = hooks

    @property
    def engine(self) -> Engine:
        """Which database is read, for queries that are written in its own way."""
        return self._dialect.name

    def rows(self, query: Query[Row], /, **params: Any) -> list[Row]:
        """All rows of a compiled query."""
        compiled = query.compiled(self._dialect)
        return compiled.rows(self._run(self._read, compiled.sql, compiled.bind(params)))

    def row(self, query: Query[Row], /, **params: Any) -> Row | None:
        """The first row of a compiled query, or None."""
        compiled = query.compiled(self._dialect)
        rows: list[Row] = compiled.rows(self._run(self._read_first, compiled.sql, compiled.bind(params)))
        return rows[0] if rows else None

    def rows_of_one(self, query: Query[Row], /, **params: Any) -> list[Row]:
        """All rows of a query that was made for one call: it is compiled, but the database keeps nothing of it."""
        compiled = query.compiled(self._dialect)
        rows: list[Row] = compiled.rows(
            self._run(lambda sql, values: self._describe(sql, values)[1], compiled.sql, compiled.bind(params))
        )
        return rows

    def fetch(self, query: Any) -> list[Any]:
        """All rows of an ordinary Peewee query, shaped as it says: models, dicts, tuples or named tuples."""
        sql, values = self._dialect.ordinary(query)
        cursor = FetchedCursor((), [])

        def read(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
            nonlocal cursor
            description, rows = self._describe(sql, values)
            cursor = FetchedCursor(description, rows)
            return rows

        self._run(read, sql, values)
        # Not query.execute(): it would keep the rows in the query and look for a bound database.
        return list(query._get_cursor_wrapper(cursor))

    @abstractmethod
    def _read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a compiled text."""

    def _read_first(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The first row of a compiled text, if any."""
        return self._read(sql, values)[:1]

    @abstractmethod
    def _describe(self, sql: str, values: Sequence[Any]) -> tuple[Sequence[Any], list[tuple[Any, ...]]]:
        """Column descriptions and all rows of a text that is not repeated."""

    def _run(self, execute: Callable[[str, Any], T], sql: str, values: Any) -> T:
        if not self._hooks:
            return execute(sql, values)
        started = time.perf_counter()
        rows, error = 0, None
        try:
            result = execute(sql, values)
            rows = result if isinstance(result, int) else len(result) if isinstance(result, list) else len(values)
            return result
        except BaseException as raised:
            error = raised
            raise
        finally:
            event = QueryEvent(sql, time.perf_counter() - started, rows, error)
            for hook in self._hooks:
                hook(event)


class Transaction(Reader):
    """One attempt at a write; good only inside the function it was handed to.

    An error of the database ends the attempt: whoever catches it inside the function gets it again at the next
    statement, on both databases (PostgreSQL would refuse further statements, SQLite would take them).
    """

    def __init__(self, dialect: Dialect, hooks: list[Hook], now: int, configured: Configured) -> None:
        super().__init__(dialect, hooks)
        self.configured = configured
        """See `Database.configured`."""
        self.is_alone = dialect.name == "sqlite"
        """Whether nobody else writes before this transaction ends."""
        self.now = now
        """Microseconds since 1970-01-01 UTC, the same throughout the attempt."""
        self.written: set[str] = set()
        """The tables of which it may have changed rows."""
        self._effects: list[Effect] = []
        self._last_steps: dict[type[LastStep], LastStep] = {}

    def run(self, statement: Statement, /, **params: Any) -> int:
        """Execute a compiled INSERT, UPDATE or DELETE; the number of affected rows."""
        self.written.add(statement.table)
        compiled = statement.compiled(self._dialect)
        return self._run(self._write, compiled.sql, compiled.bind(params))

    def run_many(self, statement: Statement, items: Sequence[Mapping[str, Any]]) -> int:
        """Execute a compiled statement once an item; the number of affected rows, all together.

        The caller sorts the items by key: two transactions that touch the same rows in opposite order deadlock.
        """
        if not items:
            return 0
        self.written.add(statement.table)
        compiled = statement.compiled(self._dialect)
        return self._run(self._write_many, compiled.sql, compiled.bind_many(items))

    def run_columns(self, statement: Statement, columns: Mapping[str, list[Any]]) -> None:
        """Like `run_many`, for tens of thousands of items: a list of values for each parameter, all equally long."""
        if any(columns.values()):
            self.written.add(statement.table)
            compiled = statement.compiled(self._dialect)
            self._run(self._write_many, compiled.sql, compiled.bind_columns(columns))

    def execute(self, query: Any) -> int:
        """Execute an ordinary Peewee INSERT, UPDATE or DELETE; the number of affected rows."""
        self.written.add(table_of(query))
        sql, values = self._dialect.ordinary(query)
        return self._run(self._write_rarely, sql, values)

    def lock(self, query: Query[Row], /, **params: Any) -> Row | None:
        """Like `row`, and nobody else changes that row until this transaction ends.

        FOR UPDATE on PostgreSQL; on SQLite there is one writer anyway. An operation locks its parent row first.
        Raises `LockTimeout` when another transaction holds the row for as long as the write may wait.
        """
        compiled = query.compiled(self._dialect, locking="FOR UPDATE")
        rows: list[Row] = compiled.rows(self._run(self._read_first, compiled.sql, compiled.bind(params)))
        return rows[0] if rows else None

    def lock_all(self, query: Query[Row], /, **params: Any) -> list[Row]:
        """Like `rows`, and nobody else changes those rows until this transaction ends; otherwise as `lock`.

        The query is sorted by key: two transactions that lock the same rows in opposite order deadlock.
        """
        compiled = query.compiled(self._dialect, locking="FOR UPDATE")
        rows: list[Row] = compiled.rows(self._run(self._read, compiled.sql, compiled.bind(params)))
        return rows

    def share(self, query: Query[Row], /, **params: Any) -> list[Row]:
        """Like `rows`, and nobody deletes or locks those rows until this transaction ends; others may share them, too.

        FOR KEY SHARE on PostgreSQL; on SQLite there is one writer anyway. A row that somebody deletes just now is
        waited for, and left out. The query is sorted by key. Raises `LockTimeout` as `lock` does.
        """
        compiled = query.compiled(self._dialect, locking="FOR KEY SHARE")
        rows: list[Row] = compiled.rows(self._run(self._read, compiled.sql, compiled.bind(params)))
        return rows

    def after_commit(self, effect: Effect) -> None:
        """Do it once the transaction is durable; dropped when this attempt is rolled back or retried.

        It must not fail the write: what it raises is logged.
        """
        self._effects.append(effect)

    def last_step(self, kind: type[StepT]) -> StepT:
        """The one step of this kind that is done last in this transaction; made when it is first asked for.

        For rows that many transactions change: whoever changes them last holds them for the shortest time, and waits
        for nothing else while it does.
        """
        step = self._last_steps.get(kind)
        if not isinstance(step, kind):
            step = self._last_steps[kind] = kind()
        return step

    def conclude(self) -> None:
        """Do the last steps: the database does, when the write's function has returned."""
        for step in self._last_steps.values():
            step.carry_out(self)

    @abstractmethod
    def _write(self, sql: str, values: Sequence[Any]) -> int:
        """Execute a compiled text; affected rows."""

    @abstractmethod
    def _write_many(self, sql: str, values: BoundRows) -> int:
        """Execute a compiled text once an element of `values`; affected rows."""

    @abstractmethod
    def _write_rarely(self, sql: str, values: Sequence[Any]) -> int:
        """Execute a text that is not repeated; affected rows."""


class LastStep(ABC):
    """What a transaction does last, gathered up to then."""

    @abstractmethod
    def carry_out(self, tx: Transaction) -> None:
        """Do it. What it raises rolls the transaction back, and comes out of the write."""


StepT = TypeVar("StepT", bound=LastStep)


class Database(ABC):
    """A database with the registry's schema. Safe to use from any number of threads.

    `hooks` are called after every statement, on the thread that executed it; an empty list costs nothing.
    """

    engine: Engine

    def __init__(self, clock: Clock, *, wait_seconds: float) -> None:
        self.clock = clock
        self.hooks: list[Hook] = []
        self.last_writes = LastWrites()
        self.configured: Configured = {}
        """What parts of the store were told for this database, by its type; its transactions have it, too."""
        self._wait_seconds = wait_seconds
        self._inside = threading.local()

    @abstractmethod
    def read(self, fn: Callable[[Reader], R]) -> R:
        """What `fn` makes of one consistent snapshot. `fn` only reads, and may run again on another connection.

        Raises `DatabaseBusy` when no connection comes free in time, `DatabaseDown` when there is none.
        """

    @abstractmethod
    def rows(self, query: Query[Row], /, **params: Any) -> list[Row]:
        """All rows of one compiled query, its own snapshot: the cheapest read. Raises what `read` raises."""

    @abstractmethod
    def row(self, query: Query[Row], /, **params: Any) -> Row | None:
        """The first row of one compiled query, or None; like `rows`."""

    @abstractmethod
    def write(
        self,
        fn: Callable[[Transaction], R],
        terms: Terms[R, M] = PLAIN,
        *,
        wait_seconds: float | None = None,
        long: bool = False,
    ) -> M:
        """Carry out `fn` wholly or not at all; when this returns, its effect is on stable storage.

        The only way to write. `fn` may run several times, so it reads what it decides on inside, through the
        transaction, and touches nothing else; what it raises rolls everything back and comes out here. It writes at
        most some 5,000 rows or takes 50 ms, or says `long`. `wait_seconds` bounds the waiting for a turn and for
        locks; a write that did start is not cut short by it.

        Raises `DatabaseBusy` (nothing changed), `LockTimeout`, `StorageFull`, `ReadOnly`, `DatabaseDown` (outcome
        unknown, unless the terms have a request id: then it is looked up), `RequestIdReused`.
        """

    @property
    def takes_writes(self) -> bool:
        """Whether it took the last write, as far as it was one that only a full or read-only database refuses."""
        return self.last_writes.went_well

    @abstractmethod
    def stamp(self, *tables: str) -> Hashable:
        """Something that differs once a write of these tables was answered, or None, where others may write, too.

        What was read after the stamp was taken is still true while it is the same.
        """

    def now_us(self) -> int:
        """The time by the clock that rows are written with, in microseconds since 1970-01-01 UTC.

        Raises `DatabaseBusy`, `DatabaseDown` where the database itself is asked.
        """
        return self.clock.now_us()

    @abstractmethod
    def migrate(self) -> list[str]:
        """Bring the schema up to this code; the names of the migrations that were applied. Safe to race.

        Raises `CannotOpen` when the schema is newer than this code, or this installation lacks its migrations.
        """

    @abstractmethod
    def pending_migrations(self) -> list[str]:
        """The names of the migrations that the schema lacks. Raises what `migrate` raises."""

    @property
    @abstractmethod
    def file(self) -> Path:
        """Where the database lies, an SQLite file. Raises `DatabaseNotAFile` on PostgreSQL."""

    @abstractmethod
    def copy_file(self, target: Path, *, between: Callable[[], object] = lambda: None) -> None:
        """Write the database as it is now, an SQLite file, to `target`, which does not exist yet, and sync it.

        Reads and writes go on meanwhile. `between` is called between two steps; what it raises ends the copy. Raises
        `DatabaseNotAFile` on PostgreSQL, `StorageFull`, `DatabaseDown`.
        """

    @abstractmethod
    def gauges(self) -> Mapping[str, float]:
        """What metrics tell of it just now, by the end of the figure's name."""

    @abstractmethod
    def close(self) -> None:
        """Finish what is queued and let go of everything. Again is nothing; using it afterwards is an error."""

    @staticmethod
    def _nested() -> RuntimeError:
        # A read inside a write would see another snapshot, and a write inside a write waits for itself for ever.
        return RuntimeError("db.read and db.write do not nest: pass the reader or the transaction down")


def run_effects(effects: list[Effect]) -> None:
    """Run what was to happen after the commit; the write has happened, so nothing that they raise may come out."""
    for effect in effects:
        try:
            effect()
        except Exception:
            log.exception("an effect after commit failed")
