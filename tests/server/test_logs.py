"""The log is one JSON object a line, whatever a caller makes us write."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.telemetry.logs import JsonFormatter

HOSTILE = [
    "\n",
    "\r\n",
    "\x00",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "\u202e",
    '"}\n{"level":"error',
    "\udc80",
]


def logged(text: str) -> str:
    stream = io.StringIO()
    logger = logging.Logger("test")  # noqa: LOG001 - of this test alone
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.warning("said %s", text, extra={"fields": {"field": text}})
    return stream.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_in_its_line(text: str) -> None:
    check(text)


@given(st.text())
def test_any_text_stays_in_its_line(text: str) -> None:
    check(text)


def check(text: str) -> None:
    line = logged(text)
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert line.removesuffix("\n").isprintable()
    parsed = json.loads(line)
    assert parsed["message"] == f"said {text}"
    assert parsed["field"] == text


def test_an_exception_is_part_of_its_line() -> None:
    record = logging.LogRecord("test", logging.ERROR, "", 0, "failed", (), None)
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: first\nsecond" in json.loads(line)["exception"]
