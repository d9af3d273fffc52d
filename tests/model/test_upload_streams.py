"""Uploads over the wire against a model: any split, cut, resumption, repetition, early and late frames, and the five
ways in which a client's stream is aborted: cancelled, its deadline passed, its channel closed, its process killed, and
what it sends raising.

A file exists exactly when a finish was answered, with exactly the bytes that were sent. Only of a finish that was sent
and not answered nobody knows; repeating the upload then tells. The same programs run on both databases.
"""

from __future__ import annotations

import itertools
import logging
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
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
from releaseregistry.v1 import files_pb2
from releaseregistry.v1 import uploads_pb2 as pb

from tests.model.clients import Caller, Client, Outcome, Victim
from tests.model.conftest import KIB, runs
from tests.rpc.sending import data, digest_of, download, eventually
from tests.rpc.wire import Refusal, Served

_SIZES = (7, 16 * KIB, 16 * KIB + 1, 60_000, 100_000, 100_000, 100_000)
_FRAMES = (0, 1, 999, 5000, 10 * KIB, 16 * KIB + 1, 30_000)
_EARLY = (0, 0, 1, 5000, 30_000)
_WAYS = (*["cancel", "close", "kill", "fail"] * 2, "deadline")
_ENDS = (
    *["abort", "stay"] * 5,
    *["finish"] * 2,
    *["half_close", "gap", "wrong_size", "wrong_digest", "finish_and_abort", "late_header", "late_data"],
)
_SEEDS = st.integers(0, 2**32)
"""What a rule does is drawn evenly from these and its place in the program; left to itself, Hypothesis prefers what is
small and first."""

_NUMBERS = itertools.count(1)


@dataclass
class Sent:
    """An upload as its clients know it."""

    header: files_pb2.UploadHeader
    content: bytes
    came: int = 0
    """How far any client got with handing over its bytes."""
    committed: int = 0
    """What was last seen committed."""
    answer: files_pb2.UploadReleaseFileResponse | None = None
    is_cancelled: bool = False
    is_doubtful: bool = False
    """A finish was sent and not answered."""
    was_wrong: bool = False
    """A wrong end was sent: the upload may have begun anew."""
    streams: int = 0

    @property
    def name(self) -> str:
        return f"organizations/acme/uploads/{self.header.upload_id}"


@dataclass
class Stream:
    """One stream of an upload."""

    sent: Sent
    client: Client
    way: str
    position: int
    says_offset: bool = True
    is_over: bool = field(default=False)


class Streams(RuleBasedStateMachine):
    """A release, and clients that upload to it."""

    server: Served
    uploads = Bundle("uploads")
    streams = Bundle("streams")

    @initialize(target=uploads, seed=_SEEDS)
    def begin(self, seed: int) -> Any:
        self.steps = 0
        chosen = self._chance(seed)
        self.release = self.server.make_release("organizations/acme", f"app@{next(_NUMBERS)}.0", "web").name
        of = bytes(max(_SIZES)) if seed % 4 == 0 else chosen.randbytes(max(_SIZES))
        self.all: list[Sent] = []
        self.open: list[Stream] = []
        for size in chosen.sample(_SIZES, 2):
            header = files_pb2.UploadHeader(
                upload_id=str(uuid.uuid4()), parent=self.release, file_name=f"{len(self.all)}"
            )
            self.all.append(Sent(header, of[:size]))
        return multiple(*self.all)

    @rule(sent=uploads)
    def register(self, sent: Sent) -> None:
        request = pb.StartUploadRequest(header=sent.header)
        self._check(sent, self.server.uploads.StartUpload(request, metadata=self.server.operator).upload)

    @rule(target=streams, sent=uploads, seed=_SEEDS)
    def stream(self, sent: Sent, seed: int) -> Any:
        """A stream from what is committed, or from before it, and then `go_on`."""
        return self._stream(sent, seed)

    @rule(target=streams, stream=consumes(streams), seed=_SEEDS)
    def go_on(self, stream: Stream, seed: int) -> Any:
        """Some frames, and then an end, unless the stream stays open."""
        return self._go_on(stream, self._chance(seed))

    @rule(sent=uploads, seed=_SEEDS)
    def cancel(self, sent: Sent, seed: int) -> None:
        """Seldom: nothing happens to an upload afterwards."""
        if self._chance(seed).random() < 0.9:
            return
        try:
            request = pb.CancelUploadRequest(name=sent.name)
            upload = self.server.uploads.CancelUpload(request, metadata=self.server.operator).upload
        except grpc.RpcError as error:
            reason = _reason(error)
            assert reason in ("UPLOAD_NOT_FOUND", "UPLOAD_CLOSED"), reason
            if reason == "UPLOAD_CLOSED":
                assert sent.answer is not None or sent.is_doubtful
        else:
            assert upload.state == pb.UPLOAD_STATE_CANCELLED
            assert sent.answer is None
            sent.is_cancelled, sent.is_doubtful = True, False

    @rule(target=streams, sent=uploads, seed=_SEEDS)
    def stream_beside(self, sent: Sent, seed: int) -> Any:
        """The same: most of what happens is streams, and several of one upload."""
        return self._stream(sent, seed)

    @rule(sent=uploads)
    def know(self, sent: Sent) -> None:
        """Who was not answered sends the upload again."""
        if sent.is_doubtful:
            self._finish(self._open(sent, "cancel", early=0))

    @invariant()
    def uploads_are_as_their_clients_know_them(self) -> None:
        for sent in self.all:
            try:
                request = pb.GetUploadRequest(name=sent.name)
                upload = self.server.uploads.GetUpload(request, metadata=self.server.operator).upload
            except grpc.RpcError as error:
                self._check_missing(sent, _reason(error))
            else:
                self._check(sent, upload)

    @invariant()
    def files_are_those_that_were_answered(self) -> None:
        request = files_pb2.ListReleaseFilesRequest(parent=self.release)
        files = self.server.releases.ListReleaseFiles(request, metadata=self.server.operator).files
        names = {file.file_name for file in files}
        answered = {sent.header.file_name for sent in self.all if sent.answer is not None}
        doubtful = {sent.header.file_name for sent in self.all if sent.is_doubtful}
        assert answered <= names <= answered | doubtful

    def teardown(self) -> None:
        for stream in getattr(self, "open", []):
            if not stream.is_over:
                stream.client.abort()
        for sent in getattr(self, "all", []):
            if sent.answer is not None:
                assert download(self.server, sent.answer.file.name)[1] == sent.content
        assert eventually(lambda: self.server.server.running_calls == 0)

    def _chance(self, seed: int) -> random.Random:
        self.steps += 1
        return random.Random(f"{seed} {self.steps}")

    def _stream(self, sent: Sent, seed: int) -> Any:
        chosen = self._chance(seed)
        stream = self._open(sent, chosen.choice(_WAYS), early=chosen.choice(_EARLY))
        return self._go_on(stream, chosen)

    def _open(self, sent: Sent, way: str, *, early: int) -> Stream:
        address, metadata = self.server.address, self.server.operator
        client: Client
        if way == "kill":
            client = Victim(address, metadata)
        else:
            client = Caller(address, self.server.channel, metadata, way=way)
        client.send(files_pb2.UploadReleaseFileRequest(header=sent.header))
        sent.streams += 1
        stream = Stream(sent, client, way, max(0, sent.committed - early))
        self.open.append(stream)
        return stream

    def _go_on(self, stream: Stream, chosen: random.Random) -> Any:
        for size in chosen.choices(_FRAMES, k=chosen.randrange(6)):
            self._send(stream, size, says_offset=chosen.random() < 0.5)
        end = chosen.choice(_ENDS)
        if end == "stay":
            return stream
        getattr(self, f"_{end}")(stream)
        self._ended(stream)
        return multiple()

    def _send(self, stream: Stream, size: int, *, says_offset: bool) -> None:
        start = stream.position
        piece = stream.sent.content[start : start + size]
        offset = start if says_offset or stream.says_offset else None
        stream.says_offset = False
        stream.position += len(piece)
        stream.sent.came = max(stream.sent.came, stream.position)
        stream.client.send(data(piece, offset))

    def _ended(self, stream: Stream) -> None:
        stream.is_over = True
        self.open.remove(stream)
        # What a client of which nothing is left had sent is worked on no more.
        assert eventually(lambda: self.server.server.running_calls <= len(self.open))

    def _abort(self, stream: Stream) -> None:
        stream.client.abort()

    def _half_close(self, stream: Stream) -> None:
        self._refused(stream, stream.client.half_close(), "FRAME_OUT_OF_ORDER")

    def _gap(self, stream: Stream) -> None:
        stream.client.send(data(b"x", stream.position + len(stream.sent.content) + 1))
        self._refused(stream, stream.client.half_close(), "OFFSET_MISMATCH")

    def _late_header(self, stream: Stream) -> None:
        stream.client.send(files_pb2.UploadReleaseFileRequest(header=stream.sent.header))
        self._refused(stream, stream.client.half_close(), "FRAME_OUT_OF_ORDER")

    def _late_data(self, stream: Stream) -> None:
        """A frame behind the finish: nothing of that stream is a file."""
        self._send_rest(stream)
        stream.client.send(data(b"x"))
        self._refused(stream, stream.client.half_close(), "FRAME_OUT_OF_ORDER")

    def _wrong_size(self, stream: Stream) -> None:
        self._finish_wrongly(stream, more=1)

    def _wrong_digest(self, stream: Stream) -> None:
        self._finish_wrongly(stream, more=0)

    def _finish_wrongly(self, stream: Stream, *, more: int) -> None:
        stream.sent.was_wrong = True
        stream.sent.committed = 0
        self._send(stream, 1, says_offset=True)
        finish = files_pb2.UploadFinish(size_bytes=stream.position + more, sha256=digest_of(b"something else"))
        stream.client.send(files_pb2.UploadReleaseFileRequest(finish=finish))
        self._refused(stream, stream.client.half_close(), "SIZE_MISMATCH", "DIGEST_MISMATCH")

    def _send_rest(self, stream: Stream) -> None:
        self._send(stream, len(stream.sent.content), says_offset=True)
        finish = files_pb2.UploadFinish(size_bytes=len(stream.sent.content), sha256=digest_of(stream.sent.content))
        stream.client.send(files_pb2.UploadReleaseFileRequest(finish=finish))

    def _finish(self, stream: Stream) -> None:
        sent = stream.sent
        self._send_rest(stream)
        if isinstance(stream.client, Victim) or sent.answer is None:
            sent.is_doubtful = sent.answer is None
        outcome = stream.client.half_close()
        if isinstance(outcome, files_pb2.UploadReleaseFileResponse):
            self._answered(sent, outcome)
        else:
            self._refused(stream, outcome)
            if isinstance(outcome, Refusal) and sent.streams == 1:
                sent.is_doubtful = False
        if stream in self.open and not stream.is_over and outcome is not None:
            stream.is_over = True

    def _finish_and_abort(self, stream: Stream) -> None:
        """Whether this upload has a file, nobody knows."""
        self._send_rest(stream)
        stream.sent.is_doubtful = stream.sent.answer is None
        stream.client.abort()

    def _answered(self, sent: Sent, answer: files_pb2.UploadReleaseFileResponse) -> None:
        assert not sent.is_cancelled
        assert sent.answer in (None, answer)
        assert (answer.file.size_bytes, answer.file.sha256) == (len(sent.content), digest_of(sent.content))
        sent.answer, sent.is_doubtful = answer, False

    def _refused(self, stream: Stream, outcome: Outcome, *reasons: str) -> None:
        """The stream was ended with one of the reasons, or with what only others of its upload can have caused."""
        sent = stream.sent
        if isinstance(outcome, files_pb2.UploadReleaseFileResponse):  # it was finished before
            assert sent.answer is not None or sent.is_doubtful
            self._answered(sent, outcome)
        elif outcome is not None and outcome.reason not in reasons:
            caused = {
                "UPLOAD_TAKEN_OVER": sent.streams > 1,
                "UPLOAD_CLOSED": sent.is_cancelled or sent.answer is not None or sent.is_doubtful,
                "UPLOAD_NOT_FOUND": sent.was_wrong,
                "OFFSET_MISMATCH": sent.was_wrong,
                "DATABASE_BUSY": stream.way == "deadline",  # nothing was left of its time
                "DEADLINE_PASSED": stream.way == "deadline",
            }
            assert caused.get(outcome.reason), f"an honest client was told {outcome.reason}"

    def _check_missing(self, sent: Sent, reason: str) -> None:
        assert reason == "UPLOAD_NOT_FOUND"
        assert (sent.answer, sent.is_cancelled) == (None, False)
        assert sent.committed == 0 or sent.was_wrong

    def _check(self, sent: Sent, upload: pb.Upload) -> None:
        assert upload.committed_bytes <= sent.came
        assert upload.committed_bytes >= sent.committed or sent.was_wrong
        sent.committed = upload.committed_bytes
        if sent.answer is not None:
            assert (upload.state, upload.file) == (pb.UPLOAD_STATE_FINISHED, sent.answer.file)
        elif sent.is_cancelled:
            assert upload.state == pb.UPLOAD_STATE_CANCELLED
        elif not sent.is_doubtful:
            assert upload.state == pb.UPLOAD_STATE_OPEN


def _reason(error: grpc.RpcError) -> str:
    refusal = Refusal()
    refusal.read(error)
    return refusal.reason


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # grpc logs what a client's iterator raised
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("small")
@pytest.mark.timeout(120 + 2 * runs(50))
def test_streams_that_end_in_any_way_make_files_exactly_when_they_are_answered(server: Served) -> None:
    class OnServer(Streams):
        pass

    server.make_organization(projects=["web"])
    OnServer.server = server
    run_state_machine_as_test(
        OnServer,
        settings=settings(
            max_examples=runs(50),
            phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes and tells little more
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
