"""Uploads against a model: any splits, cuts, resumptions, repetitions, wrong frames and crashes, in any order.

A file exists exactly when a finish was answered, with exactly the bytes that were to be sent; what is committed never
goes down, and never exceeds what came. The same programs run on both databases. Chunks, groups and blocks are small,
so that an upload of some kilobytes has many of each.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from store.blobs.blobs import Blobs, open_blobs
from store.database import Database
from store.errors import (
    DigestMismatch,
    OffsetMismatch,
    RegistryError,
    SizeMismatch,
    UploadClosed,
    UploadNotFound,
    UploadTakenOver,
)
from store.files.rows import UploadDraft, UploadedFile
from store.uploads.rows import UploadRow
from store.uploads.streams import FileUpload, open_upload
from store.uploads.uploads import cancel_upload, get_upload, register_upload
from tests.contract.acme import Acme
from tests.contract.shelf import Shelf
from tests.model.conftest import KIB, runs

_SIZES = (7, 16 * KIB, 16 * KIB + 1, 60_000, 150_000, 150_000, 150_000, 150_000, 150_000)
_FRAMES = (1, 999, 5000, 10 * KIB, 16 * KIB + 1, 30_000, 60_000)
_EARLY = (0, 0, 1, 5000, 30_000)
_ENDS = (
    "cut",
    "cut",
    "cut",
    "none",
    "none",
    "none",
    "none",
    "none",
    "none",
    "finish",
    "crash",
    "gap",
    "wrong_size",
    "wrong_digest",
)
_SEEDS = st.integers(0, 2**32)
"""What a rule does is drawn evenly from these; left to itself, Hypothesis prefers what is small and first."""

_NUMBERS = itertools.count(1)


@dataclass
class Sent:
    """An upload as its client knows it."""

    draft: UploadDraft
    content: bytes
    came: int = 0
    """How far any stream of it got."""
    committed: int = 0
    """What was last seen committed."""
    answer: UploadedFile | None = None
    is_closed: bool = False
    streams: list[Stream] = field(default_factory=list)


@dataclass
class Stream:
    """One stream of an upload. It ends with the first error, as a call does."""

    sent: Sent
    upload: FileUpload
    position: int | None = None
    wrote: bool = False
    is_over: bool = False

    def end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.upload.__exit__(None, None, None)

    @property
    def is_last(self) -> bool:
        return self.sent.streams[-1] is self


class Uploads(RuleBasedStateMachine):
    """One organization and its release."""

    database: Database
    folder: Path
    uploads = Bundle("uploads")
    streams = Bundle("streams")

    @initialize(target=uploads, seed=_SEEDS)
    def begin(self, seed: int) -> Any:
        number = next(_NUMBERS)
        self.acme = Acme(self.database, "web", slug=f"acme-{number}")
        self.acme.release("app@1.0.0", "web")
        self.shelf = Shelf(self.acme, self.folder)
        self.all: list[Sent] = []
        # Contents begin alike, so that they share chunks; of some the bytes repeat within themselves.
        chosen = random.Random(seed)
        of = bytes(max(_SIZES)) if seed % 4 == 0 else chosen.randbytes(max(_SIZES))
        for size in chosen.sample(_SIZES, 2):
            content = of[:size]
            self.all.append(Sent(self.shelf.draft(f"{len(self.all)}.bin"), content))
        return multiple(*self.all)

    @property
    def blobs(self) -> Blobs:
        return self.shelf.blobs

    @rule(sent=uploads)
    def register(self, sent: Sent) -> None:
        row = register_upload(self.shelf.db, self.blobs, self.acme.everybody, sent.draft)
        self._check(sent, row)

    @rule(target=streams, sent=uploads, seed=_SEEDS)
    def send(self, sent: Sent, seed: int) -> Any:
        """A stream of the upload that begins at what is committed, or before it, and then `go_on`."""
        try:
            upload = open_upload(self.shelf.db, self.blobs, self.acme.everybody, sent.draft)
        except UploadClosed:
            assert sent.is_closed
            return multiple()
        assert upload.finished == sent.answer
        if upload.finished is not None:
            return multiple()
        assert not sent.is_closed
        assert sent.committed <= upload.committed_bytes <= sent.came
        stream = Stream(sent, upload)
        sent.streams.append(stream)
        return self._go_on(stream, random.Random(seed))

    @rule(target=streams, stream=consumes(streams), seed=_SEEDS)
    def go_on(self, stream: Stream, seed: int) -> Any:
        """Some frames, and then an end, unless the stream stays open."""
        return multiple() if stream.is_over else self._go_on(stream, random.Random(seed))  # a crash ended it

    def _go_on(self, stream: Stream, chosen: random.Random) -> Any:
        frames, end = chosen.choices(_FRAMES, k=chosen.randrange(7)), chosen.choice(_ENDS)
        if frames and stream.position is None:
            stream.position = max(0, stream.upload.committed_bytes - chosen.choice(_EARLY))
        for size in frames:
            self._write(stream, size)
            if stream.is_over:
                return multiple()
        if end == "none":
            return stream
        getattr(self, f"_{end}")(stream)
        stream.end()
        return multiple()

    def _write(self, stream: Stream, size: int) -> None:
        sent, first = stream.sent, stream.position is None
        if stream.position is None:
            stream.position = stream.upload.committed_bytes
        start = stream.position
        data = sent.content[start : start + size]
        sent.came = max(sent.came, start + len(data))
        stream.position += len(data)
        says = first or size % 2 == 0 or not stream.wrote
        stream.wrote = True
        self._try(stream, lambda: stream.upload.write(data, offset=start if says else None))

    def _gap(self, stream: Stream) -> None:
        """A frame that leaves a gap ends its stream, and nothing of it is kept."""
        at = stream.upload.committed_bytes if stream.position is None else stream.position
        with pytest.raises(OffsetMismatch) as raised:
            stream.upload.write(b"x", offset=at + 1)
        assert int(raised.value.metadata["committed_bytes"]) <= stream.sent.came

    def _cut(self, stream: Stream) -> None:
        """The client is gone, or closes without a finish."""

    def _crash(self, _: Stream) -> None:
        """The process dies with all its streams: nothing more is committed, and another one goes on."""
        for sent in self.all:
            for stream in sent.streams:
                stream.upload._over = True
                stream.end()
        old = self.shelf.blobs
        self.shelf.blobs = open_blobs(self.shelf.db, self.folder)
        old.close()

    def _finish(self, stream: Stream) -> None:
        sent = stream.sent
        start = stream.upload.committed_bytes if stream.position is None else stream.position
        size, digest = len(sent.content), hashlib.sha256(sent.content).digest()
        sent.came = size

        def send_rest() -> UploadedFile:
            stream.upload.write(sent.content[start:], offset=start)
            return stream.upload.finish(size_bytes=size, sha256=digest)

        answer = self._try(stream, send_rest)
        if answer is not None:
            assert sent.answer in (None, answer)
            assert not sent.is_closed
            sent.answer = answer

    def _wrong_digest(self, stream: Stream) -> None:
        self._finish_wrongly(stream, more=0)

    def _wrong_size(self, stream: Stream) -> None:
        self._finish_wrongly(stream, more=1)

    def _finish_wrongly(self, stream: Stream, *, more: int) -> None:
        """A wrong end makes no file; an upload of which this was the last stream begins anew."""
        sent = stream.sent
        size = max(stream.upload.committed_bytes, stream.position or 0)
        try:
            stream.upload.finish(size_bytes=size + more, sha256=hashlib.sha256(b"something else").digest())
        except (SizeMismatch, DigestMismatch):
            if stream.is_last and self._row(sent) is None:
                sent.committed = 0
        except (UploadTakenOver, UploadClosed, UploadNotFound):
            assert not stream.is_last or sent.is_closed or sent.answer is not None
        else:
            raise AssertionError("a wrong end was taken")

    @rule(sent=uploads, seed=_SEEDS)
    def cancel(self, sent: Sent, seed: int) -> None:
        """Seldom: nothing happens to an upload afterwards."""
        if random.Random(seed).random() < 0.8:
            return
        try:
            row = cancel_upload(
                self.shelf.db, self.acme.everybody, organization=self.acme.slug, upload_id=sent.draft.upload_id
            )
        except UploadNotFound:
            assert sent.answer is None
        except UploadClosed:
            assert sent.answer is not None
        else:
            assert row.state == "cancelled"
            sent.is_closed = True

    @invariant()
    def uploads_are_as_their_clients_know_them(self) -> None:
        for sent in self.all:
            row = self._row(sent)
            if row is None:
                assert (sent.answer, sent.committed) == (None, 0)
            else:
                self._check(sent, row)

    def _check(self, sent: Sent, row: UploadRow) -> None:
        assert row.committed_bytes >= sent.committed
        assert row.committed_bytes <= sent.came
        sent.committed = row.committed_bytes
        expected = "finished" if sent.answer else "cancelled" if sent.is_closed else "open"
        assert row.state == expected
        assert row.file == (None if sent.answer is None else sent.answer.file)

    @invariant()
    def files_are_those_that_were_answered(self) -> None:
        answered = sorted(sent.draft.file_name for sent in self.all if sent.answer is not None)
        assert self.shelf.names() == answered

    def teardown(self) -> None:
        if not hasattr(self, "shelf"):
            return
        for sent in self.all:
            for stream in sent.streams:
                stream.end()
        for sent in self.all:
            if sent.answer is not None:
                assert self.shelf.download(sent.answer.file) == sent.content
        self.shelf.blobs.close()

    def _row(self, sent: Sent) -> UploadRow | None:
        try:
            return get_upload(
                self.shelf.db, self.acme.everybody, organization=self.acme.slug, upload_id=sent.draft.upload_id
            )
        except UploadNotFound:
            return None

    def _try(self, stream: Stream, act: Any) -> Any:
        """What it answers; None when the stream may no longer go on, which only what happened since can cause."""
        sent = stream.sent
        try:
            return act()
        except (UploadTakenOver, UploadClosed, UploadNotFound):
            assert len(sent.streams) > 1 or sent.is_closed or sent.answer is not None
        except RegistryError as error:
            raise AssertionError(f"an honest client was told {error.reason}") from error
        stream.end()
        return None


@pytest.mark.usefixtures("small")
@pytest.mark.timeout(120 + 2 * runs(30))
def test_uploads_behave_as_the_model_says(database: Database, tmp_path: Path) -> None:
    class OnDatabase(Uploads):
        pass

    OnDatabase.database, OnDatabase.folder = database, tmp_path / "blobs"
    run_state_machine_as_test(
        OnDatabase,
        settings=settings(
            max_examples=runs(30),
            phases=[Phase.explicit, Phase.generate],  # shrinking an upload takes minutes and tells little more
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
