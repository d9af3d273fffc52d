"""A restore that ended early, at each of its last steps: the same call goes on, and nothing else is taken for ours."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from store.backup import restoring
from store.backup.errors import BackupRefused
from store.backup.restoring import UNFINISHED
from store.database import CannotOpen
from tests.backup.installation import Installations, check
from tests.postgres_server import PostgresServer
from tests.rpc.sending import download, upload

CONTENT = b"content" * 9_000


class Killed(BaseException):
    """Ends a restore where it is raised, as a signal would."""


def kill(*_: object, **__: object) -> None:
    raise Killed


pytestmark = pytest.mark.parametrize("place", ["folder"], indirect=True)


@pytest.fixture
def file(installations: Installations, tmp_path: Path) -> str:
    """The name of the one file of an installation, of which there is a backup at `backup`."""
    origin = installations.make("origin")
    with origin.serving() as server:
        server.make_organization(projects=["web"])
        server.make_release("organizations/acme", "app@1.0.0", "web")
        name = upload(server, CONTENT).file.name
        origin.back_up(server, tmp_path / "backup")
    return name


@pytest.mark.parametrize("step", ["packs", "unused rows", "end"])
def test_what_was_cut_off_goes_on(
    file: str, installations: Installations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    elsewhere = installations.make("elsewhere")
    mark = elsewhere.read.data / UNFINISHED
    with monkeypatch.context() as patched:
        match step:
            case "packs":
                patched.setattr(restoring, "copy_back", kill)
            case "unused rows":  # on PostgreSQL the tables are there, committed
                patched.setattr(restoring, "forget_unused", kill)
            case _:
                unlink: Callable[..., None] = Path.unlink

                def but_not_the_mark(path: Path, **more: Any) -> None:
                    if path == mark:
                        raise Killed
                    unlink(path, **more)

                patched.setattr(Path, "unlink", but_not_the_mark)
        with pytest.raises(Killed):
            elsewhere.restore(tmp_path / "backup")
    assert mark.exists()
    with pytest.raises(BackupRefused, match="did not end: run it again"):
        restoring.refuse_unfinished(elsewhere.read.data)
    elsewhere.restore(tmp_path / "backup")
    assert not mark.exists()
    with elsewhere.serving() as server:
        assert download(server, file)[1] == CONTENT
        assert (check(server).findings, check(server).unknown_packs) == ([], 0)


@pytest.mark.usefixtures("file")
def test_an_installation_that_refuses_a_restore_is_left_as_it_was(
    installations: Installations, tmp_path: Path, postgres_server: PostgresServer, engine: str
) -> None:
    other = installations.make("other")
    with other.serving() as server:
        server.make_organization("other")
    with pytest.raises(BackupRefused, match=r"is there already|is not empty"):
        other.restore(tmp_path / "backup")
    assert not (other.read.data / UNFINISHED).exists(), "the server there would start no more"
    with ExitStack() as stack:
        if engine == "sqlite":
            empty = f"sqlite://{tmp_path}/empty/registry.db"
        else:
            empty = stack.enter_context(postgres_server.fresh_database())
        with pytest.raises(CannotOpen, match="belongs to another registry"):
            replace(other, database_url=empty).restore(tmp_path / "backup")
    assert not (other.read.data / UNFINISHED).exists(), "the server there would start no more"
