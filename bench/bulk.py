"""Large histories, written past the product: rows of its models, by executemany on SQLite and by COPY on PostgreSQL."""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import grpc
import psycopg
from psycopg import sql

from bench.figures import tell
from store.commits.models import (
    Commit,
    CommitAuthor,
    CommitFile,
    CommitReference,
    ReleaseAuthor,
    ReleaseCommit,
    ReleaseReference,
)
from store.database import Database, Engine, id_at, new_id, open_database
from store.errors import OrganizationNotFound, ProjectNotFound
from store.organizations.lookup import find_organization, find_project
from store.organizations.models import Repository
from store.organizations.rows import OrganizationRow, ProjectDetails
from store.releases.models import Release, ReleaseProject
from store.releases.version import parse_version
from store.text import folded_key
from tests.contract.callers import OPERATOR, new_organization, new_project
from tests.postgres_server import running
from tests.server_process import ServerProcess

SLUG: Final = "bench"
PARENT: Final = f"organizations/{SLUG}"
"""The name of the organization."""
NOW: Final = 1_700_000_000_000_000
MINUTE: Final = 60_000_000

Row = tuple[Any, ...]


class Installation:
    """Data with an organization and its projects: opened here by `database`, or served by a process of its own. What is
    there already is taken as it is."""

    def __init__(self, engine: Engine, folder: Path, url: str | None, projects: Sequence[str]) -> None:
        self.engine: Final = engine
        self._server: Final = ServerProcess(folder, database=url)
        self._server.data.mkdir(exist_ok=True)
        self.url: Final = url or f"sqlite://{self._server.data / 'registry.db'}"
        self.metadata: Final = self._server.metadata
        with self.database() as database:
            database.migrate()
            self.organization: Final = _organization(database)
            self.projects: Final = {slug: _project(database, self.organization, slug).id for slug in projects}

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The database, which on SQLite nobody serves meanwhile."""
        database = open_database(self.url)
        try:
            yield database
        finally:
            database.close()

    @contextmanager
    def served(self) -> Iterator[grpc.Channel]:
        """A channel to a server of it."""
        with self._server as server, server.channel() as channel:
            yield channel

    def insert(self, model: Any, columns: str, rows: Iterable[Row]) -> None:
        """Writes rows of these columns; blanks stand between their names."""
        names, table = columns.split(), model._meta.table_name
        if self.engine == "sqlite":
            connection = apsw.Connection(self.url.removeprefix("sqlite://"))
            connection.set_busy_timeout(60_000)
            marks = ", ".join("?" * len(names))
            with connection:
                connection.executemany(f'INSERT INTO "{table}" ({", ".join(names)}) VALUES ({marks})', rows)
            connection.close()
            return
        listed = sql.SQL(", ").join(map(sql.Identifier, names))
        copying = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), listed)
        with psycopg.connect(self.url) as other, other.cursor().copy(copying) as copy:
            for row in rows:
                copy.write_row(row)

    def settle(self) -> None:
        """Has PostgreSQL know what its tables hold, as it does by itself after a minute."""
        if self.engine == "postgresql":
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")


def _organization(database: Database) -> OrganizationRow:
    try:
        return database.read(lambda reader: find_organization(reader, OPERATOR, SLUG))
    except OrganizationNotFound:
        return new_organization(database, SLUG)


def _project(database: Database, organization: OrganizationRow, slug: str) -> ProjectDetails:
    try:
        return database.read(lambda reader: find_project(reader, OPERATOR, organization, slug))
    except ProjectNotFound:
        return new_project(database, organization, slug)


@contextmanager
def installations(
    engine: Engine, count: int, *, projects: Sequence[str], folder: str | None
) -> Iterator[list[Installation]]:
    """So many of them, each with data of its own."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=folder)))
        urls: list[str | None] = [None] * count
        if engine == "postgresql":
            postgres = stack.enter_context(running())
            urls = [stack.enter_context(postgres.fresh_database()) for _ in range(count)]
        yield [Installation(engine, place / str(number), url, projects) for number, url in enumerate(urls)]


class History:
    """Commits of one repository with their authors, changed files and references, and releases that hold them."""

    def __init__(self, target: Installation, *, files: int, authors: int, references_each: int = 5) -> None:
        self._target = target
        self._files = files
        self._references_each = references_each
        self._organization_id = target.organization.id
        self._repository_id = new_id()
        self._random = random.Random(1)
        self._rows: dict[Any, list[Row]] = {model: [] for model in _COLUMNS}
        self._numbers = itertools.count()
        self._releases = itertools.count()
        self._rows[Repository].append(
            (self._repository_id, self._organization_id, "acme/web", "acme/web", "", "", 1, NOW, NOW)
        )
        self._authors = [(f"author-{number:06}@example.com", new_id()) for number in range(authors)]
        self._rows[CommitAuthor] += [
            (author_id, self._organization_id, email, f"Author {email}", email, folded_key(f"Author {email}"))
            for email, author_id in self._authors
        ]
        self._said: dict[bytes, tuple[int, str | None]] = {}

    def commits(self, count: int) -> list[tuple[bytes, str]]:
        """So many new ones, newest first: id and key of each. Every `references_each`-th says what it fixes."""
        made = []
        for number in itertools.islice(self._numbers, count):
            commit_id, key = new_id(), f"{self._random.getrandbits(160):040x}"
            author = number % len(self._authors)
            reference = None if number % self._references_each else f"WEB-{number}"
            message = f"Change thing {number}\n\nIt was {self._random.random()}, which nobody could have meant."
            self._rows[Commit].append(
                (
                    commit_id,
                    self._organization_id,
                    self._repository_id,
                    key,
                    self._authors[author][1],
                    f"Author {author}",
                    message if reference is None else f"{message}\n\nFixes {reference}",
                    NOW + number * MINUTE,
                    self._files,
                )
            )
            for place in range(self._files):
                path = f"src/package_{number % 40}/module_{self._random.randrange(200)}_{place}.py"
                self._rows[CommitFile].append((commit_id, path, 1 + number % 3))
            if reference is not None:
                self._rows[CommitReference].append((commit_id, 0, reference, folded_key(reference)))
            self._said[commit_id] = author, reference
            made.append((commit_id, key))
        return made[::-1]

    def release(self, version: str, commit_ids: Sequence[bytes], *, project: str, file_count: int = 0) -> bytes:
        """A release with these commits, newest first; its id."""
        parsed = parse_version(version)
        time_us = NOW + next(self._releases) * MINUTE
        release_id = id_at(time_us)
        said = [self._said[commit_id] for commit_id in commit_ids]
        authors = sorted({author for author, _ in said})
        organization_id, count = self._organization_id, len(commit_ids)
        last_commit_id = commit_ids[0] if commit_ids else None
        keys = time_us, parsed.sort_key, parsed.build_key
        contents = count, len(authors), 0, file_count, 0, last_commit_id, 0
        said_of_it = version, folded_key(version), 1, "", "", "", "", "", time_us, time_us, 1
        of_version = parsed.package, parsed.build_code
        self._rows[Release].append((release_id, organization_id, *said_of_it, *keys, *of_version, 1, *contents))
        project_id = self._target.projects[project]
        self._rows[ReleaseProject].append((project_id, release_id, organization_id, 1, *keys, version, count, 0))
        self._rows[ReleaseCommit] += [(release_id, place, commit_id) for place, commit_id in enumerate(commit_ids)]
        self._rows[ReleaseAuthor] += [(release_id, *self._authors[author]) for author in authors]
        self._rows[ReleaseReference] += [
            (release_id, reference, commit_id, organization_id, folded_key(reference))
            for commit_id, (_, reference) in zip(commit_ids, said, strict=True)
            if reference is not None
        ]
        return release_id

    def write(self) -> None:
        """Writes what was made since the last time, table by table, in the order of each one's key."""
        for model, columns in _COLUMNS.items():
            self._target.insert(model, columns, sorted(self._rows[model], key=lambda row: row[:3]))
            self._rows[model] = []


_COLUMNS: Final = {
    Repository: "id organization_id display_name active_name url provider state create_time update_time",
    CommitAuthor: "id organization_id email display_name folded_email folded_name",
    Commit: "id organization_id repository_id key author_id author_name message commit_time changed_file_count",
    CommitFile: "commit_id path change_type",
    CommitReference: "commit_id position reference folded_reference",
    Release: (
        "id organization_id version folded_version status ref url owner folded_owner user_agent create_time "
        "update_time revision sort_time version_key build_key package build_code project_count commit_count "
        "author_count head_count file_count label_count last_commit_id deploy_count"
    ),
    ReleaseProject: (
        "project_id release_id organization_id status sort_time version_key build_key version commit_count deploy_count"
    ),
    ReleaseCommit: "release_id position commit_id",
    ReleaseAuthor: "release_id email author_id",
    ReleaseReference: "release_id reference commit_id organization_id folded_reference",
}


class Times:
    """Seconds of calls that take turns, by name; by this clock."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[str, list[float]] = {}

    def call(self, name: str, work: Callable[[], Any]) -> Any:
        """Does the work, and answers what it answers."""
        started = self._clock()
        answer = work()
        self._seconds.setdefault(name, []).append(self._clock() - started)
        return answer

    def at(self, name: str, share: float) -> float:
        """How long the quickest so large a share of the calls took at most."""
        ordered = sorted(self._seconds[name])
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    def tell(self) -> None:
        """Prints medians and 99th percentiles."""
        width = max(map(len, self._seconds))
        for name, seconds in self._seconds.items():
            middle, late = self.at(name, 0.5) * 1000, self.at(name, 0.99) * 1000
            print(f"  {name:{width}}  p50 {middle:8.2f} ms  p99 {late:8.2f} ms  ({len(seconds)} calls)", flush=True)

    def tell_growth(self, what: str, name: str, base: str, *, at_most: float) -> None:
        """Prints how many times as long as one call the other took, at the median and at the 99th percentile."""
        tell(f"  {what}, p50", self.at(name, 0.5) / self.at(base, 0.5), at_most=at_most)
        tell(f"  {what}, p99", self.at(name, 0.99) / self.at(base, 0.99), at_most=at_most)
