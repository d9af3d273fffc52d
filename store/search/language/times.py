"""Times and periods of the search language, and how they are written."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from store.search.language.limits import MAX_PERIOD_MINUTES
from store.search.language.tree import Ago, Moment, Precision

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_UNITS: Final = {"w": 7 * 1440, "d": 1440, "h": 60, "m": 1}
"""Minutes of each unit, the longest first."""

_TIMESPECS: Final = {Precision.MINUTE: "minutes", Precision.SECOND: "seconds", Precision.MICROSECOND: "microseconds"}

_PERIOD: Final = re.compile(r"([+-])([0-9]{1,8})([wdhm])")
_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))?)?"
)


def read_period(text: str) -> tuple[str, Ago] | None:
    """The sign and the instant of a period such as `-3d`; None when the text is none, or longer than 36,500 days."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        return None
    minutes = int(match[2]) * _UNITS[match[3]]
    return (match[1], Ago(minutes)) if minutes <= MAX_PERIOD_MINUTES else None


def read_time(text: str) -> Moment | None:
    """The day, minute, second or microsecond that is written so, UTC where no offset is; None when the text is none.

    Of a fraction of a second six digits count.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _zulu, sign, offset_hours, offset_minutes = match.groups()
    try:
        written = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
            tzinfo=UTC,
        )
        if sign is not None:
            if int(offset_hours) > 23 or int(offset_minutes) > 59:
                return None
            offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
            written = written - offset if sign == "+" else written + offset
    except (ValueError, OverflowError):
        return None
    precision = (
        Precision.MICROSECOND
        if fraction is not None
        else Precision.SECOND
        if second is not None
        else Precision.MINUTE
        if hour is not None
        else Precision.DAY
    )
    return Moment((written - _EPOCH) // _MICROSECOND, precision)


def time_text(moment: Moment) -> str:
    """How a moment is written, its `around` left out."""
    at = (_EPOCH + moment.at * _MICROSECOND).replace(tzinfo=None)
    if moment.precision is Precision.DAY:
        return at.date().isoformat()
    return at.isoformat(timespec=_TIMESPECS[moment.precision]) + "Z"


def period_text(ago: Ago) -> str:
    """How a period is written without its sign, in the longest unit that it is whole in."""
    unit, minutes = next((unit, minutes) for unit, minutes in _UNITS.items() if ago.minutes % minutes == 0)
    return f"{ago.minutes // minutes}{unit}"
