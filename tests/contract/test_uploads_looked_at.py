"""Streams of uploads that are asked whether they may go on, just while they end their uploads (behaviour.md, Files)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from store import crashpoints
from store.crashpoints import at_crashpoints
from store.errors import DigestMismatch, UploadClosed, UploadNotFound, UploadTakenOver
from store.uploads.assemble import Assembly
from store.uploads.streams import FileUpload
from store.uploads.uploads import cancel_upload
from tests.contract.chunks import Sender, cut, digest, refs
from tests.contract.shelf import Shelf, content_of

CONTENT = content_of(2**20)
Finish = Callable[[], object]
Begin = Callable[[Sender], FileUpload | Assembly]


@pytest.fixture
def at() -> Iterator[Callable[[str, Callable[[], object]], None]]:
    """`at(point, act)`: act when this crash point is passed."""

    def hang(point: str, act: Callable[[], object]) -> None:
        def passed(name: str) -> None:
            if name == point:
                act()

        at_crashpoints(passed)

    yield hang
    at_crashpoints(crashpoints._nothing)


def stream(sender: Sender) -> FileUpload:
    begun = sender.shelf.open_upload(sender.shelf.draft())
    begun.write(CONTENT, offset=0)
    return begun


def assembly(sender: Sender) -> Assembly:
    pieces = cut(CONTENT)
    sender.send_plain(pieces)
    begun = sender.assembly(sender.start())
    begun.add(refs(pieces))
    return begun


def later(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """The next read asks the database only after the act."""
    read = shelf.db.read

    def delayed(*arguments: Any, **options: Any) -> Any:
        monkeypatch.undo()
        act()
        return read(*arguments, **options)

    monkeypatch.setattr(shelf.db, "read", delayed)


BOTH = pytest.mark.parametrize(("begin", "point"), [(stream, "upload.finished"), (assembly, "assembly.finished")])


@BOTH
def test_a_stream_whose_file_is_there_is_not_told_that_its_upload_is_closed(
    sender: Sender, begin: Begin, point: str, at: Callable[[str, Callable[[], object]], None]
) -> None:
    looks: list[str] = []

    def look() -> None:
        begun.look()
        looks.append(point)

    with begin(sender) as begun:
        at(point, look)
        file = begun.finish(size_bytes=len(CONTENT), sha256=digest(CONTENT)).file
        begun.look()
    assert looks == [point]
    assert sender.shelf.download(file) == CONTENT


@BOTH
def test_a_look_that_began_before_the_end_and_asks_after_it_finds_nothing_wrong(
    sender: Sender, begin: Begin, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert point
    with begin(sender) as begun:
        later(sender.shelf, monkeypatch, lambda: begun.finish(size_bytes=len(CONTENT), sha256=digest(CONTENT)))
        begun.look()
    assert sender.shelf.names() == ["app.js"]


def test_a_stream_that_is_wrong_is_told_so_and_not_that_its_upload_is_gone(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        with pytest.raises(DigestMismatch):
            begun.finish(size_bytes=len(CONTENT), sha256=hashlib.sha256(b"another").digest())

    with stream(sender) as begun:
        later(sender.shelf, monkeypatch, fail)
        begun.look()
    assert sender.shelf.names() == []


@pytest.mark.parametrize("begin", [stream, assembly])
def test_a_stream_under_way_is_told_what_became_of_its_upload(sender: Sender, begin: Begin) -> None:
    with begin(sender) as begun:
        begun.look()
        upload_id = begun._turn.upload_id  # type: ignore[union-attr]
        with sender.assembly(upload_id), pytest.raises(UploadTakenOver):
            begun.look()
    with begin(sender) as begun:
        upload_id = begun._turn.upload_id  # type: ignore[union-attr]
        cancel_upload(sender.shelf.db, sender.access, organization="acme", upload_id=upload_id)
        with pytest.raises((UploadClosed, UploadNotFound)):
            begun.look()
