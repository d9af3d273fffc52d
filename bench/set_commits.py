"""SetCommits beside its peers, in one run: bare SQL that writes the same rows, and a get_or_create per row.

    python -m bench.set_commits [--commits 10000] [--files 5] [--peer-commits 1000] [--rounds 3] [--sqlite-only]

Three rivals write the same commits, authors, changed files and list into databases of their own:

* *bare SQL*: the driver alone, ids known, values ready, one executemany a table, one transaction. New rows only.
* *get_or_create*: Peewee models as an ORM user writes it, a get_or_create a row, one transaction; on `--peer-commits`
  commits, because the whole takes minutes. Rows a second are compared.
* *store*: `store.commits.set.set_commits`, from drafts to the committed transaction.

Both databases are durable (synchronous=FULL, fsync=on). A row is a commit, a changed file or a place in the list.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import peewee
import psycopg
from playhouse.apsw_ext import APSWDatabase
from playhouse.postgres_ext import Psycopg3Database

from store.access import Access
from store.commits.drafts import ChangedFileDraft, CommitDraft
from store.commits.models import Commit, CommitAuthor, CommitFile, ReleaseAuthor, ReleaseCommit, ReleaseHead
from store.commits.set import set_commits
from store.database import Database, Engine, new_id, open_database
from store.database.dialect import POSTGRESQL_TYPES, SQLITE_TYPES
from store.organizations.models import Organization, OrganizationSlug, Project, Repository
from store.releases.models import Release, ReleaseProject
from tests.postgres_server import PostgresServer, running

NOW = 1_700_000_000_000_000
PEER_MODELS: list[Any] = [Repository, CommitAuthor, Commit, CommitFile, ReleaseCommit]
INSERTS = {
    "repository": (
        Repository,
        "id organization_id display_name active_name url provider state create_time update_time",
    ),
    "author": (CommitAuthor, "id organization_id email display_name"),
    "commit": (
        Commit,
        "id organization_id repository_id key author_id message commit_time changed_file_count",
    ),
    "file": (CommitFile, "commit_id path change_type"),
    "place": (ReleaseCommit, "release_id position commit_id"),
    "head": (ReleaseHead, "release_id repository_id commit_id"),
    "release author": (ReleaseAuthor, "release_id email author_id"),
}


def drafts(count: int, files: int, *, seed: int) -> list[CommitDraft]:
    """Commits as a git history has them: 50 authors, messages of two lines, paths of some 35 characters."""
    source = random.Random(seed)
    return [
        CommitDraft(
            id=f"{source.getrandbits(160):040x}",
            repository="acme/web",
            author_name=f"Author {index % 50}",
            author_email=f"author-{index % 50}@example.com",
            message=f"Change thing {index}\n\nIt was {source.random()}, which nobody could have meant.",
            commit_time=NOW + index * 60_000_000,
            changed_files=tuple(
                ChangedFileDraft(f"src/package_{source.randrange(40)}/module_{source.randrange(200)}_{place}.py", 3)
                for place in range(files)
            ),
        )
        for index in range(count)
    ]


def timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


# --- The store ---------------------------------------------------------------------------------------------------


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = open_database(url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


def with_releases(database: Database, versions: Sequence[str]) -> Access:
    organization_id, project_id = new_id(), new_id()

    def write(tx: Any) -> None:
        same = {"display_name": "", "create_time": NOW, "update_time": NOW}
        tx.execute(Organization.insert(id=organization_id, slug="acme", open_membership=True, **same))
        tx.execute(OrganizationSlug.insert(slug="acme", organization_id=organization_id))
        tx.execute(Project.insert(id=project_id, organization_id=organization_id, slug="web", platform="", **same))
        for version in versions:
            release_id = new_id()
            counts = {"commit_count": 0, "version_key": b"\0"}
            tx.execute(
                Release.insert(
                    id=release_id,
                    organization_id=organization_id,
                    version=version,
                    status=1,
                    ref="",
                    url="",
                    owner="",
                    user_agent="",
                    create_time=NOW,
                    update_time=NOW,
                    revision=1,
                    project_count=1,
                    author_count=0,
                    file_count=0,
                    **counts,
                )
            )
            tx.execute(
                ReleaseProject.insert(
                    project_id=project_id,
                    release_id=release_id,
                    organization_id=organization_id,
                    status=1,
                    create_time=NOW,
                    sort_time=NOW,
                    **counts,
                )
            )

    database.write(write)
    return Access(
        token_id=new_id(),
        organization_id=organization_id,
        scopes=frozenset(),
        all_projects=True,
        project_ids=frozenset(),
    )


def store_seconds(url: str, lists: Sequence[Sequence[CommitDraft]]) -> tuple[list[float], list[float]]:
    """Seconds for new commits and for the same once more, a list each."""
    new: list[float] = []
    again: list[float] = []
    with opened(url) as database:
        access = with_releases(database, [str(index) for index in range(len(lists))])
        for index, commits in enumerate(lists):
            for seconds in (new, again):
                seconds.append(timed(partial(set_commits, database, access, "acme", str(index), commits)))
    return new, again


# --- Bare SQL ----------------------------------------------------------------------------------------------------


def ready_rows(commits: Sequence[CommitDraft]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that a set of new commits comes to, by table, in the order in which each table likes them."""
    organization_id, repository_id, release_id = new_id(), new_id(), new_id()
    rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in INSERTS}
    rows["repository"] = [(repository_id, organization_id, "acme/web", "acme/web", "", "", 1, NOW, NOW)]
    authors = {commit.author_email: (new_id(), commit.author_name) for commit in commits}
    rows["author"] = [(id_, organization_id, email, name) for email, (id_, name) in sorted(authors.items())]
    rows["release author"] = [(release_id, email, id_) for email, (id_, _) in sorted(authors.items())]
    ids: dict[str, bytes] = {}
    for commit in sorted(commits, key=lambda commit: commit.id):
        commit_id = ids[commit.id] = new_id()
        files = sorted(dict(commit.changed_files).items())
        author_id = authors[commit.author_email][0]
        rows["commit"].append(
            (
                commit_id,
                organization_id,
                repository_id,
                commit.id,
                author_id,
                commit.message,
                commit.commit_time,
                len(files),
            )
        )
        rows["file"] += [(commit_id, path, change_type) for path, change_type in files]
    rows["place"] = [(release_id, place, ids[commit.id]) for place, commit in enumerate(reversed(commits))]
    rows["head"] = [(release_id, repository_id, ids[commits[-1].id])]
    return rows


def bare_seconds(engine: Engine, url: str, lists: Sequence[Sequence[CommitDraft]]) -> list[float]:
    with opened(url):
        pass
    connection: Any
    if engine == "sqlite":
        connection = apsw.Connection(url.removeprefix("sqlite://"))
        connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    else:
        connection = psycopg.connect(url, autocommit=True)
    cursor = connection.cursor()
    mark = "?" if engine == "sqlite" else "%s"

    def write(rows: dict[str, list[tuple[Any, ...]]]) -> None:
        cursor.execute("BEGIN")
        for table, (model, columns) in INSERTS.items():
            names = columns.split()
            marks = ", ".join([mark] * len(names))
            text = f'INSERT INTO "{model._meta.table_name}" ({", ".join(names)}) VALUES ({marks})'
            cursor.executemany(text, rows[table])
        cursor.execute("COMMIT")

    seconds = []
    for commits in lists:
        rows = ready_rows(commits)
        seconds.append(timed(partial(write, rows)))
    connection.close()
    return seconds


# --- A get_or_create per row --------------------------------------------------------------------------------------


def peer_seconds(engine: Engine, url: str, commits: Sequence[CommitDraft]) -> tuple[float, float]:
    with opened(url):
        pass
    database: peewee.Database
    if engine == "sqlite":
        database = APSWDatabase(
            url.removeprefix("sqlite://"),
            pragmas={"journal_mode": "wal", "synchronous": "full"},
            field_types=SQLITE_TYPES,
        )
    else:
        database = Psycopg3Database(url, field_types=POSTGRESQL_TYPES)
    with database.bind_ctx(PEER_MODELS, bind_refs=False, bind_backrefs=False):
        database.connect()
        organization_id, release_id = new_id(), new_id()
        seconds = [timed(lambda: peer_set(database, organization_id, release_id, commits)) for _ in range(2)]
        database.close()
    return seconds[0], seconds[1]


def get_or_create(model: Any, **keys: Any) -> tuple[Any, bool]:
    row: tuple[Any, bool] = model.get_or_create(**keys)
    return row


def peer_set(
    database: peewee.Database, organization_id: bytes, release_id: bytes, commits: Sequence[CommitDraft]
) -> None:
    with database.atomic():
        repository, _ = get_or_create(
            Repository,
            organization_id=organization_id,
            active_name="acme/web",
            defaults={
                "id": new_id(),
                "display_name": "acme/web",
                "url": "",
                "provider": "",
                "state": 1,
                "create_time": NOW,
                "update_time": NOW,
            },
        )
        ReleaseCommit.delete().where(ReleaseCommit.release_id == release_id).execute()
        authors: dict[str | None, CommitAuthor] = {}
        for place, draft in enumerate(sorted(commits, key=lambda commit: -(commit.commit_time or 0))):
            author = authors.get(draft.author_email)
            if author is None:
                author, _ = get_or_create(
                    CommitAuthor,
                    organization_id=organization_id,
                    email=draft.author_email,
                    defaults={"id": new_id(), "display_name": draft.author_name},
                )
                authors[draft.author_email] = author
            commit, _ = get_or_create(
                Commit,
                repository_id=repository.id,
                key=draft.id,
                defaults={
                    "id": new_id(),
                    "organization_id": organization_id,
                    "author_id": author.id,
                    "message": draft.message,
                    "commit_time": draft.commit_time,
                    "changed_file_count": len(draft.changed_files),
                },
            )
            for file in draft.changed_files:
                get_or_create(
                    CommitFile, commit_id=commit.id, path=file.path, defaults={"change_type": file.change_type}
                )
            ReleaseCommit.create(release_id=release_id, position=place, commit_id=commit.id)


# --- The comparison ------------------------------------------------------------------------------------------------


def compare(engine: Engine, place: Callable[[], str], options: argparse.Namespace) -> None:
    lists = [drafts(options.commits, options.files, seed=seed) for seed in range(options.rounds)]
    rows = options.commits * (2 + options.files)
    peer_rows = options.peer_commits * (2 + options.files)
    peer_new, peer_again = peer_seconds(engine, place(), drafts(options.peer_commits, options.files, seed=99))
    bare = statistics.median(bare_seconds(engine, place(), lists))
    new, again = (statistics.median(seconds) for seconds in store_seconds(place(), lists))
    peer = peer_rows / peer_new, peer_rows / peer_again
    paths = options.files * options.commits
    print(f"{engine}: {options.commits:,} commits with {paths:,} paths, median of {options.rounds}")
    print(f"  {'':24}{'new':>10} {'rows/s':>10}   {'again':>9} {'rows/s':>10}")
    print(f"  {'bare SQL':24}{bare:>9.3f}s {rows / bare:>10,.0f}")
    print(f"  {'store':24}{new:>9.3f}s {rows / new:>10,.0f}   {again:>8.3f}s {rows / again:>10,.0f}")
    label = f"get_or_create, {options.peer_commits:,}"
    print(f"  {label:24}{peer_new:>9.3f}s {peer[0]:>10,.0f}   {peer_again:>8.3f}s {peer[1]:>10,.0f}")
    print(f"  store / bare SQL: {new / bare:.2f} x the time (goal: at most 2)")
    print(
        f"  store / get_or_create: {rows / new / peer[0]:.0f} x as fast new, {rows / again / peer[1]:.0f} x again"
        " (goal: at least 15)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.set_commits", description="SetCommits beside its peers.")
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=5, help="changed files of each commit")
    parser.add_argument("--peer-commits", type=int, default=1_000, help="commits for the get_or_create per row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sqlite-only", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-set-commits-") as folder:
        files = (f"sqlite://{Path(folder) / f'{name}.db'}" for name in ("peer", "bare", "store"))
        compare("sqlite", lambda: next(files), options)
    if not options.sqlite_only:
        with running() as server:
            on_postgresql(server, options)
    return 0


def on_postgresql(server: PostgresServer, options: argparse.Namespace) -> None:
    with server.admin() as connection:
        connection.execute("ALTER SYSTEM SET fsync = on")  # off for tests
        connection.execute("SELECT pg_reload_conf()")
    with server.fresh_database() as peer, server.fresh_database() as bare, server.fresh_database() as store:
        urls = iter((peer, bare, store))
        compare("postgresql", lambda: next(urls), options)


if __name__ == "__main__":
    sys.exit(main())
