"""SetCommits beside its peers, in one run, on both databases.

    python -m bench.set_commits [--commits 10000] [--files 5] [--peer-commits 1000] [--rounds 3] [--sqlite-only]

Rivals write commits, authors, changed files and the list of a release, each into a database of its own, in turns:

* *bare SQL*: the driver alone; ids known, values ready, one executemany a table, one transaction. New rows only.
* *store*: `store.commits.set.set_commits`, from drafts to the committed transaction.
* *RPC*: a server process; from ready messages to the answer.
* *get_or_create*: Peewee models as one would write it, a get_or_create a row, one transaction; on `--peer-commits`
  commits, because all of them take minutes: rows a second are compared.

Each list is set on a new release, then once more on the same ("again"). The best of the rounds counts. Databases are
durable (synchronous=FULL, fsync=on). A row is a commit, a changed file or a place in the list.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import peewee
import psycopg
from playhouse.apsw_ext import APSWDatabase
from playhouse.postgres_ext import Psycopg3Database
from releaseregistry.v1 import commits_pb2, organizations_pb2, release_service_pb2_grpc, releases_pb2
from releaseregistry.v1 import organizations_pb2_grpc as organizations_grpc

from bench.databases import fresh_databases, opened
from bench.figures import tell
from bench.rounds import timed
from store.commits.drafts import CommitDraft
from store.commits.mentions import references_in
from store.commits.models import (
    Commit,
    CommitAuthor,
    CommitFile,
    CommitReference,
    ReleaseAuthor,
    ReleaseCommit,
    ReleaseHead,
    ReleaseReference,
)
from store.commits.set import set_commits
from store.database import Engine, new_id
from store.database.dialect import POSTGRESQL_TYPES, SQLITE_TYPES
from store.organizations.models import Repository
from tests.contract.acme import Acme
from tests.server_process import ServerProcess

NOW = 1_700_000_000_000_000
MESSAGE_COMMITS = 2_500
Rival = Callable[[Sequence[CommitDraft]], list[float]]
"""Sets a list on a release of its own and, if it can, once more; the seconds of each."""

PEER_MODELS: list[Any] = [Repository, CommitAuthor, Commit, CommitFile, ReleaseCommit]
INSERTS = {
    "repository": (
        Repository,
        "id organization_id display_name active_name url provider state create_time update_time",
    ),
    "author": (CommitAuthor, "id organization_id email display_name folded_email folded_name"),
    "commit": (
        Commit,
        "id organization_id repository_id key author_id author_name message commit_time changed_file_count",
    ),
    "file": (CommitFile, "commit_id path change_type"),
    "place": (ReleaseCommit, "release_id position commit_id"),
    "reference": (CommitReference, "commit_id position reference folded_reference"),
    "release reference": (ReleaseReference, "release_id reference commit_id organization_id folded_reference"),
    "head": (ReleaseHead, "release_id repository_id commit_id from_ref"),
    "release author": (ReleaseAuthor, "release_id email author_id"),
}


def drafts(count: int, files: int, *, seed: int) -> list[CommitDraft]:
    """Commits as a git history has them: 50 authors, messages of two lines, of which every fifth says what it fixes,
    paths of some 35 characters."""
    source = random.Random(seed)
    return [
        CommitDraft(
            id=f"{source.getrandbits(160):040x}",
            repository="acme/web",
            author_name=f"Author {index % 50}",
            author_email=f"author-{index % 50}@example.com",
            message=f"Change thing {index}\n\nIt was {source.random()}, which nobody could have meant."
            + ("" if index % 5 else f"\n\nFixes WEB-{index}"),
            commit_time=NOW + index * 60_000_000,
            changed_files={
                f"src/package_{source.randrange(40)}/module_{source.randrange(200)}_{place}.py": 3
                for place in range(files)
            },
        )
        for index in range(count)
    ]


# --- The store ---------------------------------------------------------------------------------------------------


@contextmanager
def store(url: str) -> Iterator[Rival]:
    with opened(url) as database:
        acme = Acme(database, "web")

        def run(commits: Sequence[CommitDraft]) -> list[float]:
            version = commits[0].id
            acme.release(version, "web")
            return [timed(partial(set_commits, database, acme.everybody, "acme", version, commits)) for _ in range(2)]

        yield run


# --- The service -------------------------------------------------------------------------------------------------


@contextmanager
def rpc(url: str | None, folder: Path) -> Iterator[Rival]:
    with ServerProcess(folder, database=url) as server, server.channel() as channel:
        organizations = organizations_grpc.OrganizationServiceStub(channel)
        stub = release_service_pb2_grpc.ReleaseServiceStub(channel)
        parent = "organizations/acme"
        organizations.CreateOrganization(
            organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="acme")),
            metadata=server.metadata,
        )
        project = organizations_pb2.CreateProjectRequest(parent=parent, project=organizations_pb2.Project(slug="web"))
        organizations.CreateProject(project, metadata=server.metadata)

        def run(commits: Sequence[CommitDraft]) -> list[float]:
            release = releases_pb2.Release(version=commits[0].id, projects=[f"{parent}/projects/web"])
            request = releases_pb2.CreateReleaseRequest(parent=parent, release=release)
            name = stub.CreateRelease(request, metadata=server.metadata).release.name
            sent = messages(name, commits)
            return [timed(lambda: stub.SetCommits(iter(sent), metadata=server.metadata)) for _ in range(2)]

        yield run


def messages(name: str, commits: Sequence[CommitDraft]) -> list[commits_pb2.SetCommitsRequest]:
    sent = []
    for start in range(0, len(commits), MESSAGE_COMMITS):
        request = commits_pb2.SetCommitsRequest(name=name)
        for draft in commits[start : start + MESSAGE_COMMITS]:
            commit = request.commits.add(
                id=draft.id,
                repository=draft.repository,
                author_name=draft.author_name,
                author_email=draft.author_email,
                message=draft.message,
                changed_files=[
                    commits_pb2.ChangedFile(path=path, change_type=commits_pb2.CHANGE_TYPE_MODIFIED)
                    for path in draft.changed_files
                ],
            )
            commit.commit_time.FromMicroseconds(draft.commit_time or 0)
        sent.append(request)
    sent[-1].finish = True
    sent[-1].commit_count = len(commits)
    return sent


# --- Bare SQL ----------------------------------------------------------------------------------------------------


@contextmanager
def bare(engine: Engine, url: str) -> Iterator[Rival]:
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

    def run(commits: Sequence[CommitDraft]) -> list[float]:
        rows = ready_rows(commits)
        return [timed(lambda: write(rows))]

    try:
        yield run
    finally:
        connection.close()


def ready_rows(commits: Sequence[CommitDraft]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that a list of new commits comes to, by table, in the order in which each table likes them."""
    organization_id, repository_id, release_id = new_id(), new_id(), new_id()
    authors = {commit.author_email: (new_id(), commit.author_name) for commit in commits}
    rows: dict[str, list[tuple[Any, ...]]] = {
        "repository": [(repository_id, organization_id, "acme/web", "acme/web", "", "", 1, NOW, NOW)],
        "author": [
            (id_, organization_id, email, name, email, (name or "").lower())
            for email, (id_, name) in sorted(authors.items())
        ],
        "release author": [(release_id, email, id_) for email, (id_, _) in sorted(authors.items())],
        "commit": [],
        "file": [],
        "reference": [],
    }
    ids: dict[str, bytes] = {}
    for commit in sorted(commits, key=lambda commit: commit.id):
        commit_id = ids[commit.id] = new_id()
        known = (organization_id, repository_id, commit.id, authors[commit.author_email][0])
        said = (commit.author_name, commit.message, commit.commit_time, len(commit.changed_files))
        rows["commit"].append((commit_id, *known, *said))
        found = references_in(commit.message)
        rows["reference"] += [(commit_id, place, text, text.lower()) for place, text in enumerate(found)]
        rows["file"] += [(commit_id, path, kind) for path, kind in sorted(commit.changed_files.items())]
    rows["place"] = [(release_id, place, ids[commit.id]) for place, commit in enumerate(reversed(commits))]
    rows["release reference"] = sorted(
        (release_id, text, commit_id, organization_id, folded) for commit_id, _, text, folded in rows["reference"]
    )
    rows["head"] = [(release_id, repository_id, ids[commits[-1].id], False)]
    return rows


# --- A get_or_create per row --------------------------------------------------------------------------------------


@contextmanager
def peer(engine: Engine, url: str) -> Iterator[Rival]:
    with opened(url):
        pass
    database: peewee.Database
    if engine == "sqlite":
        pragmas = {"journal_mode": "wal", "synchronous": "full"}
        database = APSWDatabase(url.removeprefix("sqlite://"), pragmas=pragmas, field_types=SQLITE_TYPES)
    else:
        database = Psycopg3Database(url, field_types=POSTGRESQL_TYPES)
    database.connect()

    def run(commits: Sequence[CommitDraft]) -> list[float]:
        with database.bind_ctx(PEER_MODELS, bind_refs=False, bind_backrefs=False):
            organization_id, release_id = new_id(), new_id()
            return [timed(lambda: peer_set(database, organization_id, release_id, commits)) for _ in range(2)]

    try:
        yield run
    finally:
        database.close()


def get_or_create(model: Any, **keys: Any) -> Any:
    return model.get_or_create(**keys)[0]


def peer_set(
    database: peewee.Database, organization_id: bytes, release_id: bytes, commits: Sequence[CommitDraft]
) -> None:
    with database.atomic():
        texts = {"display_name": "acme/web", "url": "", "provider": ""}
        repository = get_or_create(
            Repository,
            organization_id=organization_id,
            active_name="acme/web",
            defaults={"id": new_id(), "state": 1, "create_time": NOW, "update_time": NOW, **texts},
        )
        ReleaseCommit.delete().where(ReleaseCommit.release_id == release_id).execute()
        authors: dict[str | None, CommitAuthor] = {}
        for place, draft in enumerate(sorted(commits, key=lambda commit: -(commit.commit_time or 0))):
            if draft.author_email not in authors:
                authors[draft.author_email] = get_or_create(
                    CommitAuthor,
                    organization_id=organization_id,
                    email=draft.author_email,
                    defaults={
                        "id": new_id(),
                        "display_name": draft.author_name,
                        "folded_email": draft.author_email,
                        "folded_name": (draft.author_name or "").lower(),
                    },
                )
            commit = get_or_create(
                Commit,
                repository_id=repository.id,
                key=draft.id,
                defaults={
                    "id": new_id(),
                    "organization_id": organization_id,
                    "author_id": authors[draft.author_email].id,
                    "author_name": draft.author_name,
                    "message": draft.message,
                    "commit_time": draft.commit_time,
                    "changed_file_count": len(draft.changed_files),
                },
            )
            for path, change_type in draft.changed_files.items():
                get_or_create(CommitFile, commit_id=commit.id, path=path, defaults={"change_type": change_type})
            ReleaseCommit.create(release_id=release_id, position=place, commit_id=commit.id)


# --- The comparison ------------------------------------------------------------------------------------------------


def compare(engine: Engine, urls: Sequence[str], folder: Path, options: argparse.Namespace) -> None:
    best: dict[str, list[float]] = {}
    with ExitStack() as stack:
        rivals = {
            "bare SQL": stack.enter_context(bare(engine, urls[0])),
            "store": stack.enter_context(store(urls[1])),
            "RPC": stack.enter_context(rpc(None if engine == "sqlite" else urls[2], folder / engine)),
            "get_or_create": stack.enter_context(peer(engine, urls[3])),
        }
        for number in range(options.rounds):
            for name, rival in rivals.items():
                count = options.peer_commits if name == "get_or_create" else options.commits
                seconds = rival(drafts(count, options.files, seed=number))
                best[name] = [min(pair) for pair in zip(best.get(name, seconds), seconds, strict=True)]
    rates = {
        name: [
            (options.peer_commits if name == "get_or_create" else options.commits) * (2 + options.files) / second
            for second in seconds
        ]
        for name, seconds in best.items()
    }
    paths = options.files * options.commits
    print(f"{engine}: {options.commits:,} commits with {paths:,} paths; the best of {options.rounds}")
    for name, seconds in best.items():
        columns = [
            f"{each} {second:8.3f} s {rate:9,.0f} rows/s"
            for each, second, rate in zip(("new", "again"), seconds, rates[name], strict=False)
        ]
        label = f"{name}, {options.peer_commits:,}" if name == "get_or_create" else name
        print(f"  {label:22}{'   '.join(columns)}")
    bare_new = best["bare SQL"][0]
    tell(f"  SetCommits, store / bare SQL, time, {engine}", best["store"][0] / bare_new, at_most=2)
    tell(f"  SetCommits, RPC / bare SQL, time, {engine}", best["RPC"][0] / bare_new, at_most=3.5)
    faster = [ours / theirs for ours, theirs in zip(rates["store"], rates["get_or_create"], strict=True)]
    for ratio, said in zip(faster, ("new", "again"), strict=True):
        tell(f"  SetCommits, store / get_or_create, speed, {said}, {engine}", ratio, at_least=15)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.set_commits", description="SetCommits beside its peers.")
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=5, help="changed files of each commit")
    parser.add_argument("--peer-commits", type=int, default=1_000, help="commits for the get_or_create per row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sqlite-only", action="store_true")
    options = parser.parse_args(arguments)
    for engine, urls, folder in fresh_databases(4, sqlite_only=options.sqlite_only):
        compare(engine, urls, folder, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
