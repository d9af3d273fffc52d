"""The log never holds up the service: not when its reader is gone, not when it is slow, not when the disk is full."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from server.telemetry.call_tags import CallTags, Named, tags_of_call
from server.telemetry.log_sink import LineSink, SinkHandler
from server.telemetry.logs import JsonFormatter, start_logging

WAIT = 30.0


def dropped() -> float:
    return REGISTRY.get_sample_value("release_registry_log_dropped_lines_total") or 0.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The end that is read, and the end that is written to."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        with suppress(OSError):
            os.close(end)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    found_out = {
        name: getattr(logging, name) for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing")
    }
    try:
        yield logger
    finally:
        for name, value in found_out.items():
            setattr(logging, name, value)
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logging.captureWarnings(capture=False)


def read_until(end: int, last: bytes) -> list[bytes]:
    data = b""
    while not data.endswith(last):
        data += os.read(end, 1 << 16)
    return data.splitlines()


def read_lines(end: int, count: int) -> list[bytes]:
    data = b""
    while data.count(b"\n") < count:
        data += os.read(end, 1 << 16)
    return data.splitlines()


def test_lines_come_in_their_order(pipe: tuple[int, int]) -> None:
    sink = LineSink(pipe[1])
    for number in range(100):
        sink.put(b"%d\n" % number)
    assert sink.flush(WAIT)
    assert read_lines(pipe[0], 100) == [b"%d" % number for number in range(100)]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_lines_come_though_at_first_there_was_no_room_for_a_thread(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def no_room(_: threading.Thread) -> None:
        raise error("no room")

    sink = LineSink(pipe[1])
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_room)
        sink.put(b"first\n")
    sink.put(b"second\n")
    assert sink.flush(WAIT)
    assert read_lines(pipe[0], 2) == [b"first", b"second"]


def test_lines_for_a_reader_that_is_gone_are_dropped_and_counted(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    before = dropped()
    sink = LineSink(pipe[1])
    for _ in range(3):
        sink.put(b"nobody reads this\n")
    assert sink.flush(WAIT)
    assert dropped() - before == 3


def test_a_reader_that_does_not_read_holds_up_nobody(pipe: tuple[int, int]) -> None:
    before = dropped()
    sink = LineSink(pipe[1], most_bytes=1 << 20)
    line = b"x" * 1023 + b"\n"
    for _ in range(3000):  # the pipe takes 64 of them
        sink.put(line)
    lost = dropped() - before
    assert 3000 - 1024 - 64 - 64 <= lost < 3000
    kept = 3000 - int(lost)
    assert len(read_lines(pipe[0], kept)) == kept
    assert sink.flush(WAIT)


def test_whoever_reads_on_is_told_how_many_lines_are_missing(pipe: tuple[int, int]) -> None:
    before = dropped()
    sink = LineSink(pipe[1], most_bytes=1 << 17, tell_dropped=lambda count: b"missing %d\n" % count)
    line = b"x" * 1023 + b"\n"
    while dropped() == before:
        sink.put(line)
    lost = int(dropped() - before)
    seen: list[bytes] = []
    reader = threading.Thread(target=lambda: seen.extend(read_until(pipe[0], b"the last\n")))
    reader.start()
    assert sink.flush(WAIT)
    sink.put(b"the last\n")
    reader.join(WAIT)
    missing = [int(found.split()[1]) for found in seen if found.startswith(b"missing")]
    assert sum(missing) == int(dropped() - before) >= lost


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    before = dropped()
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        sink = LineSink(full)
        sink.put(b"no room\n")
        assert sink.flush(WAIT)
    finally:
        os.close(full)
    assert dropped() - before == 1


def test_a_descriptor_that_does_not_block_gets_all_lines(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    sink = LineSink(pipe[1])
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.extend(read_lines(pipe[0], 500)))
    for number in range(500):
        sink.put(b"%d %s\n" % (number, b"x" * 1000))
    reader.start()
    assert sink.flush(WAIT)
    reader.join(WAIT)
    assert [int(line.split()[0]) for line in found] == list(range(500))


def test_a_record_that_cannot_be_formatted_is_dropped_and_counted(pipe: tuple[int, int]) -> None:
    before = dropped()
    handler = SinkHandler(LineSink(pipe[1]))
    handler.handle(logging.LogRecord("test", logging.INFO, "", 0, "%d", ("no number",), None))
    assert dropped() - before == 1


def test_every_line_has_the_worker_and_the_tags_of_the_call(pipe: tuple[int, int], root: logging.Logger) -> None:
    start_logging("info", worker=3, fd=pipe[1])
    tags = CallTags("a-request", "ReleaseService/GetRelease")
    tags.token_id = "12ab"
    tags.name(lambda: Named("acme", ("web",), ("organizations/acme/projects/web",)))
    token = tags_of_call.set(tags)
    try:
        logging.getLogger("store.files").info("in the middle of it")
    finally:
        tags_of_call.reset(token)
    line: dict[str, Any] = json.loads(read_lines(pipe[0], 1)[0])
    assert line.pop("time")
    assert line == {
        "level": "info",
        "logger": "store.files",
        "message": "in the middle of it",
        "worker": 3,
        "request_id": "a-request",
        "method": "ReleaseService/GetRelease",
        "token_id": "12ab",
        "organization": "acme",
        "projects": ["web"],
    }


def test_without_workers_and_calls_a_line_has_none_of_these() -> None:
    record = logging.LogRecord("test", logging.INFO, "", 0, "said", (), None)
    # In a context of its own: this thread may have worked for a call.
    line = contextvars.Context().run(JsonFormatter().format, record)
    assert json.loads(line).keys() == {"time", "level", "logger", "message"}


def test_the_log_goes_to_a_file_as_well(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        sink = LineSink(file.fileno())
        sink.put(b"kept\n")
        assert sink.flush(WAIT)
    assert path.read_bytes() == b"kept\n"
