"""kill -9 at every named point of publish, finish, deletion, collection, adoption and changes of many releases: what
was answered is there byte for byte, nothing is half done, the calls that were cut are repeated, and the collector
leaves what is live and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash.adoption_scenes import ADOPTIONS
from tests.crash.bulk_scenes import IN_BULK
from tests.crash.dying import DyingServer
from tests.crash.home import Home
from tests.crash.scenes import IN_A_BUCKET, Scene
from tests.crash.scenes import ON_A_FOLDER as ON_FILES
from tests.crash.session_scenes import SESSIONS
from tests.crash.upkeep_scenes import UPKEEP
from tests.postgres_server import PostgresServer
from tests.s3_server import S3Server, environment_of

ON_A_FOLDER = (*ON_FILES, *IN_BULK, *ADOPTIONS, *SESSIONS, *UPKEEP)
STORE = Path(__file__).parents[2] / "store"

ON_POSTGRESQL = {
    "upload.group_in_rows",
    "upload.file_in_rows",
    "upload.finished",
    "chunks.in_rows",
    "assembly.file_in_rows",
    "project.detached_in_rows",
    "bulk.in_rows",
    "collect.contents_out_of_rows",
    "collect.chunks_locked",
    "collect.pack_marked",
    "rewrite.in_rows",
    "adoption.adopted",
    "linking.in_rows",
    "sessions.in_rows",
    "sessions.recorded",
    "upkeep.days_in_rows",
    "upkeep.days_out_of_rows",
}
"""The points inside transactions, and those between a commit and what follows: the others do not ask the database."""


def named_points() -> set[str]:
    """Every point of the store."""
    found = set()
    for path in STORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "crashpoint":
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{path}: a point is named by a literal"
                found.add(str(name.value))
    return found


def test_every_point_of_the_store_is_killed_at_and_no_other() -> None:
    killed_at = {name for scene in (*ON_A_FOLDER, *IN_A_BUCKET) for name, _ in scene.points}

    assert killed_at == named_points()
    assert killed_at >= ON_POSTGRESQL


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homes]:
    with ExitStack() as stack:
        yield Homes(lambda: stack.enter_context(Home(DyingServer(tmp_path_factory.mktemp("killed")))))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scene", ON_A_FOLDER, ids=lambda scene: scene.__name__)
def test_killed_at_each_point_on_sqlite(scene: type[Scene], homes: Homes) -> None:
    homes.one().killed_at_each([(scene, point) for point in scene.points])


@pytest.mark.timeout(300)
def test_killed_in_transactions_on_postgresql(tmp_path: Path, postgres_server: PostgresServer) -> None:
    points = [(scene, point) for scene in ON_A_FOLDER for point in scene.points if point[0] in ON_POSTGRESQL]
    with postgres_server.fresh_database() as url, Home(DyingServer(tmp_path, database=url)) as home:
        home.killed_at_each(points)


@pytest.mark.timeout(300)
def test_killed_at_each_point_with_the_bytes_in_a_bucket(tmp_path: Path, s3_server: S3Server) -> None:
    points = [(scene, point) for scene in IN_A_BUCKET for point in scene.points]
    server = DyingServer(tmp_path, environment=environment_of(s3_server.fresh_bucket()))
    with Home(server, in_a_bucket=True) as home:
        home.killed_at_each(points)


class Homes:
    """One folder and one database for scene after scene, each going on with what the kills before it left; another one
    after a scene that failed."""

    def __init__(self, make: Callable[[], Home]) -> None:
        self._make = make
        self._current: Home | None = None

    def one(self) -> Home:
        """The one that is whole."""
        if self._current is None or self._current.broken:
            self._current = self._make()
        return self._current
