"""Migrations: safe to race, never backwards, and the models are what they add up to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import peewee
import psycopg
import pytest

from store.database import CannotOpen, CountField, Database, IdField, open_database
from store.database.fields import DenseBytesField
from store.database.migrations import FOLDER
from store.database.new_migration import difference, render
from store.schema import MODELS
from tests.database.conftest import Crowd, things_at
from tests.database.things import MIGRATIONS, add, names

ROOT = Path(__file__).parents[2]


def test_the_models_are_what_the_migrations_add_up_to() -> None:
    assert str(difference(MODELS, FOLDER)) == "", "write one: python -m store.database.new_migration NAME"


def test_both_databases_get_the_same_tables(database: Database) -> None:
    """Column by column and index by index; the SQL of the two differs in types only."""
    from playhouse.schema_diff import diff_models

    from store.database import migrations

    internals: object = database
    if database.engine == "sqlite":
        context = migrations.on_sqlite(internals._file.connect)  # type: ignore[attr-defined]
    else:
        context = migrations.on_postgresql(internals._pool.dial)  # type: ignore[attr-defined]
    with context as view:
        assert str(diff_models(view, MODELS)) == ""


def test_every_text_column_sorts_by_code_point_whatever_the_locale(postgres_url: str) -> None:
    database = open_database(postgres_url)
    try:
        database.migrate()
    finally:
        database.close()
    with psycopg.connect(postgres_url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'text'"
        ).fetchall()
    assert len(columns) > 20
    assert [column for column in columns if column[2] != "C"] == []


def test_postgresql_does_not_try_to_compress_what_is_dense(postgres_url: str) -> None:
    dense = {
        (model._meta.table_name, field.column_name)
        for model in MODELS
        for field in model._meta.sorted_fields
        if isinstance(field, DenseBytesField)
    }
    database = open_database(postgres_url)
    try:
        database.migrate()
    finally:
        database.close()
    with psycopg.connect(postgres_url) as connection:
        uncompressed = connection.execute(
            "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE attstorage = 'e' AND relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchall()
    assert dense == set(uncompressed) != set()


def test_migrating_again_does_nothing(empty_url: str) -> None:
    database = open_database(empty_url, migrations_folder=MIGRATIONS)
    try:
        assert database.pending_migrations() == ["0001_things"]
        assert database.migrate() == ["0001_things"]
        assert database.pending_migrations() == []
        assert database.migrate() == []
    finally:
        database.close()


def test_twelve_simultaneous_migrations_all_succeed(empty_url: str, crowd: Crowd) -> None:
    shared = open_database(empty_url, migrations_folder=MIGRATIONS)

    def migrate() -> list[str]:
        if shared.engine == "sqlite":  # one process has the file, so its threads are all that can race
            return shared.migrate()
        own = open_database(empty_url, migrations_folder=MIGRATIONS, wait_seconds=60)
        try:
            return own.migrate()
        finally:
            own.close()

    try:
        applied = [migration.result() for migration in [crowd.start(migrate) for _ in range(12)]]
        assert sorted(applied) == [[]] * 11 + [["0001_things"]]
        add(shared, "a")
        assert names(shared) == ["a"]
    finally:
        shared.close()


def test_processes_that_start_together_all_succeed(empty_url: str) -> None:
    program = """
import sys
from store.database import open_database
from tests.database.things import MIGRATIONS
database = open_database(sys.argv[1], migrations_folder=MIGRATIONS, lock_wait_seconds=60)
database.migrate()
database.close()
"""
    processes = [subprocess.Popen([sys.executable, "-c", program, empty_url], cwd=ROOT) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4


def test_a_schema_newer_than_the_code_is_refused(empty_url: str, tmp_path: Path) -> None:
    """An older server on a newer schema would write rows that the newer one cannot read."""
    with things_at(empty_url):
        pass
    older = tmp_path / "older"
    older.mkdir()
    (older / "0000_before.py").write_text("def up(migrator, db):\n    pass\n")
    database = open_database(empty_url, migrations_folder=older)
    try:
        for call in (database.migrate, database.pending_migrations):
            with pytest.raises(CannotOpen, match="0001_things"):
                call()
    finally:
        database.close()


@pytest.mark.parametrize("exists", [True, False])
def test_a_program_without_migrations_does_not_start(empty_url: str, tmp_path: Path, exists: bool) -> None:
    """A package built without them would serve a database without tables."""
    folder = tmp_path / "migrations"
    if exists:
        folder.mkdir()
    database = open_database(empty_url, migrations_folder=folder)
    try:
        for call in (database.migrate, database.pending_migrations):
            with pytest.raises(CannotOpen, match="no migrations") as refused:
                call()
            assert "\n" not in str(refused.value)
    finally:
        database.close()


def test_a_failed_migration_leaves_nothing_behind(empty_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "0001_broken.py").write_text(
        "def up(migrator, db):\n    db.execute_sql('CREATE TABLE half (id INTEGER)')\n    raise KeyError('broken')\n"
    )
    database = open_database(empty_url, migrations_folder=folder)
    try:
        for _ in range(2):
            with pytest.raises(KeyError, match="broken"):
                database.migrate()
            assert database.pending_migrations() == ["0001_broken"]
    finally:
        database.close()


def test_a_new_migration_creates_what_is_missing(empty_url: str, tmp_path: Path) -> None:
    class Part(peewee.Model):
        id = IdField(primary_key=True)
        size = CountField(index=True)

        class Meta:
            table_name = "part"

    class PartSize(peewee.Model):
        """Its table is called as Peewee calls the index above."""

        id = IdField(primary_key=True)
        size = CountField()

        class Meta:
            table_name = "part_size"
            indexes = ((("size", "id"), True),)
            without_rowid = True

    PartSize.add_index(PartSize.index(PartSize.size, name="zero_parts", where=(PartSize.size == 0)))
    [(name, text)] = render(difference([Part, PartSize], tmp_path), "parts")
    (tmp_path / f"0001_{name}.py").write_text(text)
    assert not difference([Part, PartSize], tmp_path)
    database = open_database(empty_url, migrations_folder=tmp_path)
    try:
        assert database.migrate() == ["0001_parts"]
        assert database.read(lambda reader: reader.fetch(Part.select())) == []
        assert database.read(lambda reader: reader.fetch(PartSize.select())) == []
    finally:
        database.close()
