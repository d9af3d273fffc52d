"""Text for a terminal: times, sizes, and what others wrote, made harmless."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1.commits_pb2 import HeadCommit

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def one_line(text: str) -> str:
    """The text in one line: control characters, which may steer a terminal, become spaces."""
    return CONTROL.sub(" ", text).strip()


def subject(message: str) -> str:
    """The first line of a commit's message."""
    return one_line(message.strip().partition("\n")[0])


def local_time(holder: Timestamp, *, is_set: bool = True) -> str:
    """A time in this machine's zone, to the second; empty when it is not set."""
    if not is_set:
        return ""
    return holder.ToDatetime(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def human_bytes(count: int) -> str:
    """A size such as `12.3 MB`, in powers of 1000 as the progress bar counts."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def counted(count: int, what: str) -> str:
    """A number with its word: `1 commit`, `2,000 commits`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def head_text(head: HeadCommit) -> str:
    """Up to which commit a release holds a repository, and from which on where that is known."""
    start = f"{head.previous_commit_id[:12]}.." if head.previous_commit_id else ""
    return f"{head.repository}@{start}{head.commit_id[:12]}"


class Moment(click.ParamType[datetime]):
    """A point in time: RFC 3339 with its zone, or `now`."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the text of a flag."""
        if isinstance(value, datetime):
            return value
        if value == "now":
            return datetime.now(UTC)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-01-31T12:00:00Z or now", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no time zone; end it with Z or +01:00", param, ctx)
        return moment.astimezone(UTC)


MOMENT: Final = Moment()


class Duration(click.ParamType[timedelta]):
    """A length of time: `90s`, `30m`, `12h` or `7d`, and `0`."""

    name = "duration"
    UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the text of a flag."""
        if isinstance(value, timedelta):
            return value
        if value == "0":
            return timedelta()
        found = re.fullmatch(r"([0-9]{1,6})([smhd])", value)
        if found is None:
            self.fail(f"{value!r} is no duration; write 90s, 30m, 12h, 7d or 0", param, ctx)
        return timedelta(**{self.UNITS[found[2]]: int(found[1])})


DURATION: Final = Duration()
