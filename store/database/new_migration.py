"""Write the migration that takes the schema from where the migrations leave it to what the models say.

    python -m store.database.new_migration NAME

New tables and their indexes are written out as SQL, one list a database, because a migration must not change when a
model does. Other differences are rendered by Peewee; what it cannot work out is told here, and written by hand.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peewee
from playhouse.migrations import template
from playhouse.schema_diff import SchemaDiff, diff_models

from store.database import migrations
from store.database.dialect import POSTGRESQL, SQLITE, Dialect
from store.database.fields import DenseBytesField
from store.database.sqlite_file import SqliteFile

_CREATING = '''"""{title}."""

from __future__ import annotations

from typing import Any

from peewee import SqliteDatabase

SQLITE = [
{sqlite}]

POSTGRESQL = [
{postgresql}]


def up(_migrator: Any, db: Any) -> None:
    """Create the tables, in the order of their references."""
    for statement in SQLITE if isinstance(db, SqliteDatabase) else POSTGRESQL:
        db.execute_sql(statement)
'''


def difference(models: Sequence[type[peewee.Model]], folder: Path) -> Any:
    """What the migrations of the folder lack to add up to the models; false when nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        file = SqliteFile(f"{scratch}/schema.db")
        try:
            with migrations.on_sqlite(file.connect) as database:
                if migrations.has_migrations(folder):
                    migrations.apply(database, folder)
                return diff_models(database, list(models))
        finally:
            file.release()


def creation(model: type[peewee.Model], dialect: Dialect) -> list[str]:
    """The statements that create the model's table and its indexes."""
    manager: Any = peewee.SchemaManager(model, dialect.generator)
    contexts = [manager._create_table(safe=False), *manager._create_indexes(safe=False)]
    statements = [str(context.query()[0]) for context in contexts]
    if dialect is POSTGRESQL:  # Peewee would tell PostgreSQL, too
        statements[0] = statements[0].removesuffix(" WITHOUT ROWID")
        statements += [
            f'ALTER TABLE "{model._meta.table_name}" ALTER COLUMN "{field.column_name}" SET STORAGE EXTERNAL'
            for field in model._meta.sorted_fields
            if isinstance(field, DenseBytesField)
        ]
    return statements


def render(diff: Any, name: str) -> list[tuple[str, str]]:
    """Names and texts of the migrations that the difference needs: one that creates, one for everything else."""
    files = []
    if diff.create_tables:
        files.append((name, _creating(diff.create_tables, name)))
    rest = SchemaDiff([], *diff[1:])
    if rest:
        files.append((f"{name}_changes" if files else name, template(rest)))
    return files


def _creating(models: Sequence[type[peewee.Model]], name: str) -> str:
    # An index is called after its model and columns, and might so be called like another model's table.
    tables = [f'INDEX "{model._meta.table_name}" ON' for model in models]
    lists = {
        dialect.name: "".join(
            f'    """{_folded(_renamed(statement, tables))}""",\n'
            for model in models
            for statement in creation(model, dialect)
        )
        for dialect in (SQLITE, POSTGRESQL)
    }
    return _CREATING.format(title=name.replace("_", " ").capitalize(), **lists)


def _renamed(statement: str, tables: Sequence[str]) -> str:
    for table in tables:
        statement = statement.replace(table, table.replace('" ON', '_index" ON'))
    return statement


def _folded(statement: str) -> str:
    """The statement with a line a column, so that it can be read."""
    if not statement.startswith("CREATE TABLE"):
        return statement.replace(" ON ", "\n        ON ", 1).replace(" WHERE ", "\n        WHERE ", 1)
    head, _, rest = statement.partition(" (")
    columns, _, tail = rest.rpartition(")")
    return f"{head} (\n        " + _split(columns) + f"\n    ){tail}"


def _split(columns: str) -> str:
    depth, parts = 0, [""]
    for character in columns:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return ",\n        ".join(part.strip() for part in parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files into store/migrations and say which; 1 when there is nothing to write."""
    from store.schema import MODELS

    parser = argparse.ArgumentParser(description="Write the migration that the models need.")
    parser.add_argument("name", help="what it does, in snake_case")
    name = parser.parse_args(arguments).name
    number = max((int(path.name[:4]) for path in migrations.FOLDER.glob("[0-9]*.py")), default=0)
    files = render(difference(MODELS, migrations.FOLDER), name)
    for offset, (title, text) in enumerate(files, start=1):
        path = migrations.FOLDER / f"{number + offset:04d}_{title}.py"
        path.write_text(text)
        sys.stdout.write(f"{path}\n")
        if "# TODO" in text:
            sys.stdout.write("  Peewee could not work out everything: see the comments in it.\n")
    return 0 if files else 1


if __name__ == "__main__":
    sys.exit(main())
