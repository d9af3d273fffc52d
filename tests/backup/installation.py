"""An installation to back up, and an empty one to restore it to: each database with each place of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.app import open_settings_packs
from server.settings import Settings
from store.backup.restoring import Restored, restore_backup
from store.backup.taking import Taken, database_writer, take_backup
from store.blobs.check import Checked, check_storage
from store.database import open_database
from tests.clocks import ManualClock
from tests.conftest import opened
from tests.postgres_server import PostgresServer
from tests.rpc.serving import served, settings_of
from tests.rpc.wire import Served
from tests.s3_server import S3Server
from tests.s3_server import settings_of as settings_of_bucket

FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a server has its database and its bytes. The grace time of the settings is not what tests collect with."""

    folder: Path
    database_url: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def read(self) -> Settings:
        """Its settings."""
        return settings_of(self.folder, database=self.database_url, **self.settings)

    @contextmanager
    def serving(self) -> Iterator[Served]:
        """A server on it."""
        self.folder.mkdir(exist_ok=True)
        with opened(self.database_url) as database:
            database.migrate()
            with served(database, ManualClock(), self.folder, **dict[str, Any](self.settings)) as server:
                yield server

    def back_up(self, server: Served, target: Path, *, previous: Path | None = None) -> Taken:
        """A backup, taken beside the server in its own process."""
        settings = self.read
        return take_backup(
            target,
            write_database=database_writer(server.database, self.database_url, print),
            open_packs=lambda registry_id, expected: open_settings_packs(
                settings, registry_id=registry_id, expected=expected
            ),
            in_bucket=settings.bucket is not None,
            previous=previous,
            program="0.1.0",
            tell=print,
        )

    def restore(self, backup: Path) -> Restored:
        """The backup, restored to this empty installation."""
        settings = self.read
        return restore_backup(
            backup,
            data=settings.data,
            database_url=settings.database,
            open_postgres=lambda: open_database(settings.database),
            open_packs=lambda registry_id: open_settings_packs(settings, registry_id=registry_id, expected=False),
            in_bucket=settings.bucket is not None,
            tell=print,
        )


def check(server: Served) -> Checked:
    """Everything, whatever its age."""
    return check_storage(server.database, server.server.store.blobs.packs, cutoff=FOREVER)


class Installations:
    """Makes installations of one kind, each empty."""

    def __init__(self, folder: Path, stack: ExitStack, *, postgres: PostgresServer | None, s3: S3Server | None) -> None:
        self._folder, self._stack, self._postgres, self._s3 = folder, stack, postgres, s3

    def make(self, name: str) -> Installation:
        """An empty one."""
        folder = self._folder / name
        folder.mkdir()
        if self._postgres is None:
            (folder / "data").mkdir(mode=0o700)
            url = f"sqlite://{folder}/data/registry.db"
        else:
            url = self._stack.enter_context(self._postgres.fresh_database())
        settings = {} if self._s3 is None else settings_of_bucket(self._s3.fresh_bucket())
        return Installation(folder, url, {name: str(value) for name, value in settings.items()})
