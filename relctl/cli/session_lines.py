"""Lines of JSON that tell of sessions, made into what the server takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError
from releaseregistry.v1.sessions_pb2 import SessionCounts, SessionStatus, SessionUpdate

from relctl.names import project_name
from relctl.sessions import SessionItem

MAX_LINE_BYTES: Final = 65_536
LONGEST_SECONDS: Final = 1e11
"""What a message of a duration can hold; the server allows less."""
SHOWN_CHARS: Final = 200
_STATUS: Final = "SESSION_STATUS_"
_OF_COUNTS: Final = frozenset(SessionCounts.DESCRIPTOR.fields_by_name) - set(SessionUpdate.DESCRIPTOR.fields_by_name)
_KINDS: Final = {
    "start_time": "time such as 2026-01-31T12:00:00Z",
    "duration": "number of seconds",
    "status": "word or number of a status",
}
STATUSES: Final = {name.removeprefix(_STATUS).lower(): number for name, number in SessionStatus.items() if number}


class BadLine(ValueError):
    """The line tells of no session; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What is meant where a line does not say it; empty: nothing. The organization's slug is that of projects."""

    organization: str
    project: str = ""
    version: str = ""
    environment: str = ""


def read_line(line: bytes, usual: Usual) -> SessionItem:
    """The item of a line: a SessionUpdate, or SessionCounts where it has a `counts_id`, as proto JSON.

    Beyond proto JSON a project may be its slug, a status `ok`, `exited`, `abnormal` or `crashed`, and a duration a
    number of seconds. Raises BadLine.
    """
    if len(line) > MAX_LINE_BYTES:
        raise BadLine(f"the line is longer than {MAX_LINE_BYTES:,} bytes")
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLine("this is no JSON") from None
    if not isinstance(values, dict):
        raise BadLine("this is no JSON object")
    item: SessionItem = SessionCounts() if "counts_id" in values else SessionUpdate()
    known = tuple(item.DESCRIPTOR.fields_by_name)  # a descriptor's own map fails of a key that is no Unicode
    for key in values:
        if key not in known:
            counts = ", and of counts a counts_id" if key in _OF_COUNTS else ""
            raise BadLine(f"there is no field {_cut(repr(key))}; there are {', '.join(known)}{counts}")
    plain = _plain(values, usual)
    try:
        ParseDict(plain, item)
    except ParseError:
        raise BadLine(_wrong(plain, values)) from None
    return item


def _wrong(plain: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Which value cannot be, and what would be one."""
    for key, value in plain.items():
        try:
            ParseDict({key: value}, SessionCounts() if key in _OF_COUNTS else SessionUpdate())
        except ParseError:
            kind = _KINDS.get(key, "whole number" if key == "sequence" or key.endswith("_count") else "text")
            return f"{key} is {_cut(repr(values.get(key, value)))}, and no {kind}"
    return "this tells of no session"


def _plain(values: Mapping[str, Any], usual: Usual) -> dict[str, Any]:
    """The values as proto JSON has them. Raises BadLine for a word that it cannot have."""
    plain = {
        "project": usual.project,
        "version": usual.version,
        "environment": usual.environment,
        **{key: value for key, value in values.items() if value is not None},
    }
    project, status, duration = plain["project"], plain.get("status"), plain.get("duration")
    if isinstance(project, str) and project and "/" not in project:
        plain["project"] = project_name(usual.organization, project)
    if isinstance(status, str):
        word = status.lower().removeprefix(_STATUS.lower())
        if word not in STATUSES:
            raise BadLine(f"status is {_cut(repr(status))}, and none of {', '.join(STATUSES)}")
        plain["status"] = STATUSES[word]
    if isinstance(duration, (int, float)) and not isinstance(duration, bool) and abs(duration) < LONGEST_SECONDS:
        plain["duration"] = f"{duration:.9f}s"
    return plain


def _cut(text: str) -> str:
    """The text as far as a line of a terminal has room for it."""
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
