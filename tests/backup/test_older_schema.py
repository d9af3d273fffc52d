"""A backup that an older version made is brought to the schema of the program that restores it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from store.database import migrations, open_database
from tests.backup.installation import Installations
from tests.backup.site import Site, assert_sound, fill

OF_TOMORROW = """
def up(_migrator, db):
    db.execute_sql("ALTER TABLE organization ADD COLUMN of_tomorrow INTEGER NOT NULL DEFAULT 7")
"""


@contextmanager
def tomorrows_version(folder: Path) -> Iterator[None]:
    """This program, with one migration more."""
    shutil.copytree(migrations.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "0999_of_tomorrow.py").write_text(OF_TOMORROW)
    assert open_database.__kwdefaults__ is not None
    with (
        patch.object(migrations, "FOLDER", folder),
        patch.dict(open_database.__kwdefaults__, migrations_folder=folder),
    ):
        yield


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_an_older_backup_is_restored_to_todays_schema_and_todays_is_refused_by_yesterdays(
    installations: Installations, tmp_path: Path
) -> None:
    site = Site(installations.make("origin"))
    with site.server:
        fill(site)
        assert site.run("backup", str(tmp_path / "older")).returncode == 0
    restored = Site(installations.make("restored"))
    with tomorrows_version(tmp_path / "migrations"):
        done = restored.run("restore", str(tmp_path / "older"))
        assert done.returncode == 0, done.stderr
        assert_sound(restored.run("check"))
        done = restored.run("backup", str(tmp_path / "newer"))
        assert done.returncode == 0, done.stderr
    assert '"0999_of_tomorrow"' in (tmp_path / "newer" / "manifest.json").read_text()
    refused = Site(installations.make("yesterday")).run("restore", str(tmp_path / "newer"))
    assert refused.returncode == 69
    assert "was made by a newer version, 0.1.0 (0999_of_tomorrow is not known here)" in refused.stderr
