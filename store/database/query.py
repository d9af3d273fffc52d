"""Hot queries, compiled once from Peewee expressions.

Building SQL costs Peewee some 25 times what executing it costs, so what runs often is built at import and compiled at
its first use on each database:

    FIND = Query(
        Release.select(Release.id, Release.create_time).where(Release.version == hole(Release.version)),
        row=ReleaseRow,
    )
    INSERT = Statement(Release.insert({Release.id: hole(Release.id), Release.version: hole(Release.version)}))

    reader.row(FIND, version="1.0")          # ReleaseRow | None
    tx.run(INSERT, id=new_id(), version="1.0")

Constants in such a query (`Chunk.state == "live"`) become part of its text. Where the shape varies (the number of
projects), a factory decorated with `query_shape` builds one query a shape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat, starmap
from operator import itemgetter
from typing import Any, Generic, Literal, TypeVar, overload

import peewee

from store.database.dialect import CompileContext, Dialect
from store.database.failures import BadValue
from store.database.fields import AS_READ

Row = TypeVar("Row")
Made = TypeVar("Made")
Convert = Callable[[Any], Any]


class Hole(peewee.Node):
    """A parameter of a compiled query; made by `hole`."""

    def __init__(self, field: Any, name: str, *, nullable: bool) -> None:
        self.field = field
        self.name = name
        self.nullable = nullable

    def __sql__(self, ctx: Any) -> Any:
        if not isinstance(ctx, CompileContext):
            raise TypeError(f"the query has a hole ({self.name}): make it a Query or a Statement")
        return ctx.hole(self, self.field)

    def convert(self, value: Any) -> Any:
        """The value as the driver takes it; None is refused unless the hole was declared nullable."""
        if value is None and not self.nullable:
            # `column = NULL` is never true, and says nothing: the caller forgot a value.
            raise BadValue(f"{self.name}: None for a parameter that is not nullable")
        return self.field.db_value(value)

    def convert_all(self, values: list[Any]) -> list[Any]:
        """The same of many values, checked together where the field can: a tenth of the time."""
        together = getattr(self.field, "are_db_values", None)
        if together is not None and together(values):
            return values
        if not self.nullable and None in values:
            self.convert(None)
        return list(map(self.field.db_value, values))


def hole(field: Any, name: str | None = None, *, nullable: bool = False) -> Any:
    """A parameter, converted as `field` converts; called like the field (a foreign key: like its id) unless named."""
    return Hole(field, name or getattr(field, "object_id_name", None) or field.name, nullable=nullable)


def holes_for(*fields: Any) -> dict[Any, Any]:
    """What sets each of the columns to a parameter called like it, which takes None where the column does."""
    return {field: hole(field, nullable=field.null) for field in fields}


Locking = Literal["FOR UPDATE", "FOR KEY SHARE"]
"""Against all other changes of a row, or only against its being deleted or locked."""


class BoundRows:
    """The values of a statement that is executed many times. No row is kept: a million tuples busy the collector."""

    __slots__ = ("_columns", "_count")

    def __init__(self, columns: list[Iterable[Any]], count: int) -> None:
        self._columns = columns
        self._count = count

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self._columns, strict=False)  # constants never end

    def __len__(self) -> int:
        return self._count


class Compiled:
    """A query in one dialect: its text, how parameters become values, and how columns become rows."""

    __slots__ = ("_converts", "_holes", "_names", "_row", "_template", "sql")

    def __init__(
        self, sql: str, values: list[Any], converts: tuple[Convert | None, ...], row: Callable[..., Any] | None
    ):
        self.sql = sql
        self._template = [None if isinstance(value, Hole) else value for value in values]
        self._holes = [(index, hole.name, hole) for index, hole in enumerate(values) if isinstance(hole, Hole)]
        self._names = frozenset(name for _, name, _ in self._holes)
        self._converts = [(index, convert) for index, convert in enumerate(converts) if convert is not None]
        self._row = row

    def bind(self, params: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the text; every parameter of the query is given, and no other."""
        if len(params) != len(self._names):
            raise self._wrong(params)
        values = self._template.copy()
        try:
            for index, name, hole in self._holes:
                values[index] = hole.convert(params[name])
        except KeyError:
            raise self._wrong(params) from None
        return values

    def bind_many(self, items: Sequence[Mapping[str, Any]]) -> BoundRows:
        """The same of many items, by column: binding 50,000 rows one by one takes twice what writing them takes."""
        if set(map(len, items)) != {len(self._names)}:
            raise self._wrong(next(item for item in items if len(item) != len(self._names)))
        columns: dict[str, list[Any]] = {}
        for name in self._names:
            try:
                columns[name] = list(map(itemgetter(name), items))
            except KeyError:
                raise self._wrong(next(item for item in items if name not in item)) from None
        return self.bind_columns(columns)

    def bind_columns(self, columns: Mapping[str, list[Any]]) -> BoundRows:
        """The same of rows that are given column by column, a list for each parameter."""
        if columns.keys() != self._names:
            raise self._wrong(columns)
        count = len(next(iter(columns.values())))
        if any(len(column) != count for column in columns.values()):
            raise ValueError(f"columns of different lengths, of: {self.sql}")
        places: list[Iterable[Any]] = [repeat(value) for value in self._template]
        for index, name, hole in self._holes:
            places[index] = hole.convert_all(columns[name])
        return BoundRows(places, count)

    def rows(self, fetched: list[tuple[Any, ...]]) -> list[Any]:
        """What the query promises, made of what the driver read."""
        if self._converts:
            fetched = [self._converted(columns) for columns in fetched]
        return fetched if self._row is None else list(starmap(self._row, fetched))

    def _converted(self, columns: tuple[Any, ...]) -> tuple[Any, ...]:
        changed = list(columns)
        for index, convert in self._converts:
            changed[index] = convert(changed[index])
        return tuple(changed)

    def _wrong(self, params: Mapping[str, Any]) -> TypeError:
        missing, unknown = sorted(self._names - params.keys()), sorted(params.keys() - self._names)
        return TypeError(f"parameters missing: {missing}, unknown: {unknown}, of: {self.sql}")


class Query(Generic[Row]):
    """A SELECT that is compiled once; each row is `row(*columns)`, or a tuple when no row class is given.

    Columns that the drivers do not read as their field declares them (flags, JSON) are converted first.
    """

    __slots__ = ("_compiled", "_row", "_select")

    @overload
    def __init__(self: Query[tuple[Any, ...]], select: Any) -> None: ...
    @overload
    def __init__(self, select: Any, *, row: Callable[..., Row]) -> None: ...
    def __init__(self, select: Any, *, row: Callable[..., Any] | None = None) -> None:
        self._select = select
        self._row = row
        self._compiled: dict[tuple[str, Locking | None], Compiled] = {}

    def compiled(self, dialect: Dialect, *, locking: Locking | None = None) -> Compiled:
        """This query in the dialect; `locking` is added where there is more than one writer."""
        found = self._compiled.get((dialect.name, locking))
        if found is None:  # two threads may both compile it; the result is the same
            locked = locking is not None and dialect.name == "postgresql"  # Peewee refuses them on SQLite
            select = self._select.for_update(locking) if locked else self._select
            sql, values = dialect.compiled(select)
            converts = tuple(_convert(column) for column in select._returning)
            found = self._compiled[dialect.name, locking] = Compiled(sql, values, converts, self._row)
        return found


class Statement:
    """An INSERT, UPDATE or DELETE that is compiled once."""

    __slots__ = ("_compiled", "_write", "table")

    def __init__(self, write: Any) -> None:
        _refuse_frozen_defaults(write)
        self._write = write
        self.table = table_of(write)
        self._compiled: dict[str, Compiled] = {}

    def compiled(self, dialect: Dialect) -> Compiled:
        """This statement in the dialect."""
        found = self._compiled.get(dialect.name)
        if found is None:
            sql, values = dialect.compiled(self._write)
            found = self._compiled[dialect.name] = Compiled(sql, values, (), None)
        return found


def table_of(write: Any) -> str:
    """The table that an INSERT, UPDATE or DELETE of a model writes."""
    name: str = write.model._meta.table_name
    return name


def query_shape(factory: Callable[..., Made]) -> Callable[..., Made]:
    """Keep what the factory builds, a query a shape; its arguments are the shape (counts, flags), never values."""
    return functools.lru_cache(maxsize=256)(factory)


def _convert(column: Any) -> Convert | None:
    field = column.unalias() if isinstance(column, peewee.Alias) else column
    if isinstance(field, peewee.ForeignKeyField):
        field = field.rel_field
    if isinstance(field, peewee.FieldAlias):
        field = field.field
    if not isinstance(field, peewee.Field) or isinstance(field, AS_READ):
        return None
    convert: Convert = field.python_value
    return convert


def _refuse_frozen_defaults(write: Any) -> None:
    # A callable default would run once, when the statement is compiled, and its value would be everyone's.
    values = getattr(write, "_insert", None)
    if isinstance(write, peewee.ModelInsert) and isinstance(values, Mapping):
        given = set(values)
        for field, default in write.model._meta.defaults.items():
            if callable(default) and field not in given and field.name not in given:
                raise TypeError(f"{field!r} has a callable default: give it a hole")
