"""The folder of packs: whose it is, who may read it, and what else may lie there (behaviour.md, Files)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.blobs.blobs import open_blobs
from store.blobs.local import BlobFolderRefused, LocalPacks
from store.database import CannotOpen, Database, new_id
from store.errors import BlobsDown
from tests.contract.shelf import Shelf, content_of

MIB = 2**20


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    mask = os.umask(0)
    yield tmp_path / "of" / "blobs"
    os.umask(mask)


def test_nobody_else_may_read_the_folder(folder: Path) -> None:
    packs = LocalPacks(folder, registry_id=new_id(), expected=False)
    with packs.sink() as sink:
        sink.write(b"abc")
        sink.sync()

    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert modes == {True: 0o700, False: 0o600}


def test_the_folder_of_another_registry_is_refused(folder: Path) -> None:
    LocalPacks(folder, registry_id=new_id(), expected=False)

    with pytest.raises(BlobFolderRefused, match="another registry"):
        LocalPacks(folder, registry_id=new_id(), expected=False)


def test_a_folder_of_something_else_is_refused_and_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    (folder / "thesis.txt").write_text("")

    with pytest.raises(BlobFolderRefused, match="something else"):
        LocalPacks(folder, registry_id=new_id(), expected=False)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_folder_that_others_may_write_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o777)

    with pytest.raises(CannotOpen, match="nobody else"):
        LocalPacks(folder, registry_id=new_id(), expected=False)


def test_a_folder_whose_parts_lie_on_two_file_systems_is_refused(folder: Path) -> None:
    registry_id = new_id()
    LocalPacks(folder, registry_id=registry_id, expected=False)
    elsewhere = Path("/dev/shm")
    assert elsewhere.stat().st_dev != folder.stat().st_dev
    (folder / "tmp").rmdir()
    (folder / "tmp").symlink_to(elsewhere, target_is_directory=True)

    with pytest.raises(BlobFolderRefused, match="one file system"):
        LocalPacks(folder, registry_id=registry_id, expected=False)


def test_a_link_in_the_place_of_a_pack_is_not_followed(shelf: Shelf, tmp_path: Path) -> None:
    file = shelf.upload(content_of(MIB)).file
    (pack,) = shelf.packs()
    elsewhere = tmp_path / "elsewhere"
    pack.rename(elsewhere)
    pack.symlink_to(elsewhere)

    with pytest.raises(BlobsDown):
        shelf.download(file)
    shelf.blobs.packs.remove(bytes.fromhex(pack.name))

    assert elsewhere.exists()


def test_a_link_among_packs_that_are_being_written_is_not_followed(folder: Path, tmp_path: Path) -> None:
    registry_id, elsewhere = new_id(), tmp_path / "elsewhere"
    elsewhere.write_bytes(b"not ours")
    LocalPacks(folder, registry_id=registry_id, expected=False)
    (folder / "tmp" / new_id().hex()).symlink_to(elsewhere)

    with pytest.raises(BlobFolderRefused, match="symbolic links"):
        LocalPacks(folder, registry_id=registry_id, expected=False)

    assert elsewhere.read_bytes() == b"not ours"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("")

    with pytest.raises(BlobFolderRefused, match="cannot be used"):
        LocalPacks(tmp_path / "blobs", registry_id=new_id(), expected=False)


def test_an_empty_folder_is_refused_when_the_database_has_packs(
    shelf: Shelf, database: Database, tmp_path: Path
) -> None:
    open_blobs(database, tmp_path / "new").close()
    shelf.upload(content_of(MIB))

    with pytest.raises(BlobFolderRefused, match="not mounted"):
        open_blobs(database, tmp_path / "unmounted")
    open_blobs(database, shelf.folder).close()


def test_a_marker_half_written_by_a_killed_start_does_not_matter(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    (folder / f"registry.{new_id().hex()}").write_text("")

    LocalPacks(folder, registry_id=new_id(), expected=False)
