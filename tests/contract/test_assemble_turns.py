"""Making files of chunks while the upload is another's, is closed, or has no release any more (behaviour.md, Files)."""

from __future__ import annotations

import pytest

from store.errors import (
    ChunksMissing,
    ReleaseNotFound,
    UploadClosed,
    UploadNotFound,
    UploadTakenOver,
)
from store.files.models import ReleaseFile
from store.releases.delete import delete_release
from store.uploads.models import OPEN, UploadChunk
from store.uploads.streams import open_upload
from store.uploads.uploads import cancel_upload
from tests.clocks import ManualClock
from tests.contract.chunks import Sender, cut, digest, refs, some_upload_id
from tests.contract.shelf import content_of

MIB = 2**20
DAY = 24 * 3600


def test_a_later_assembly_takes_over(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    content = b"".join(pieces)
    sender.send_plain(pieces)
    upload_id = sender.start()
    early, late = sender.assembly(upload_id), sender.assembly(upload_id)
    with pytest.raises(UploadTakenOver):
        early.add(refs(pieces))
    late.add(refs(pieces))
    assert late.finish(size_bytes=MIB, sha256=digest(content)).created
    after = sender.assembly(upload_id)
    assert after.finished is not None


def test_an_assembly_and_a_stream_of_one_upload_take_over_from_one_another(sender: Sender) -> None:
    content = content_of(3 * MIB)
    draft = sender.shelf.draft()
    pieces = cut(content)
    sender.send_plain(pieces)
    sender.start(upload_id=draft.upload_id)
    with open_upload(sender.shelf.db, sender.shelf.blobs, sender.access, draft) as stream:
        stream.write(content[:MIB], offset=0)
        assembly = sender.assembly(draft.upload_id)
        stream.write(content[MIB:], offset=None)
        with pytest.raises(UploadTakenOver):
            stream.finish(size_bytes=len(content), sha256=digest(content))
        assembly.add(refs(pieces))
        made = assembly.finish(size_bytes=len(content), sha256=digest(content))
    assert sender.shelf.download(made.file) == content
    assert sender.shelf.rows(UploadChunk) == [], "an upload that is finished refers to nothing"


def test_an_assembly_of_an_upload_that_streamed_bytes_leaves_them_until_it_is_finished(sender: Sender) -> None:
    content = content_of(3 * MIB)
    draft = sender.shelf.draft()
    with open_upload(sender.shelf.db, sender.shelf.blobs, sender.access, draft) as stream:
        stream.write(content[: 2 * MIB], offset=0)
    state, committed = sender.state_of(draft.upload_id)
    assert (state, committed > 0) == (OPEN, True)
    with pytest.raises(ChunksMissing):
        sender.assemble(cut(content), upload_id=draft.upload_id)
    assert sender.state_of(draft.upload_id) == (OPEN, committed), "the committed bytes never go down"
    sender.send_plain(cut(content))
    assert sender.shelf.download(sender.assemble(cut(content), upload_id=draft.upload_id).file) == content
    assert sender.shelf.rows(UploadChunk) == []


def test_an_upload_that_is_not_there_cannot_be_assembled(sender: Sender, clock: ManualClock) -> None:
    with pytest.raises(UploadNotFound):
        sender.assembly(some_upload_id())
    upload_id = sender.start()
    clock.advance(seconds=DAY + 1)
    with pytest.raises(UploadNotFound):
        sender.assembly(upload_id)


def test_a_cancelled_upload_cannot_be_assembled(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces)
    upload_id = sender.start()
    assembly = sender.assembly(upload_id)
    cancel_upload(sender.shelf.db, sender.access, organization="acme", upload_id=upload_id)
    with pytest.raises(UploadClosed):
        assembly.add(refs(pieces))
    with pytest.raises(UploadClosed):
        sender.assembly(upload_id)
    assert sender.shelf.rows(ReleaseFile) == []


def test_an_upload_of_a_release_that_the_caller_may_not_write_looks_missing(sender: Sender) -> None:
    upload_id = sender.start()
    with pytest.raises(UploadNotFound):
        Sender(sender.shelf, access=sender.shelf.acme.member_of("web")).assembly(upload_id)
    both = Sender(sender.shelf, access=sender.shelf.acme.member_of("web", "api"))
    assert both.assemble([], upload_id=upload_id).created


def test_a_release_that_is_deleted_meanwhile_gets_no_file(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces)
    assembly = sender.assembly(sender.start())
    assembly.add(refs(pieces))
    delete_release(sender.shelf.db, sender.access, "acme", "app@1.0.0")
    sender.shelf.acme.release("app@1.0.0", "web")
    with pytest.raises(ReleaseNotFound):
        assembly.finish(size_bytes=MIB, sha256=digest(b"".join(pieces)))
    assert sender.shelf.rows(ReleaseFile) == []
