"""Numbers of quotas, as flags of `relctl org` take them."""

from __future__ import annotations

import re
from typing import Final

import click

DEFAULT: Final = -1
"""Stands for what the server's settings say."""

_MOST: Final = 2**63 - 1
_UNITS: Final = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", start=1)},
}


class Limit(click.ParamType[int]):
    """A whole number, or `default`; of bytes also with a unit, such as `500MB` or `1.5 GiB`."""

    def __init__(self, name: str, *, has_units: bool) -> None:
        self.name = name
        self._units = _UNITS if has_units else {"": 1}

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text of a flag."""
        if isinstance(value, int):
            return value
        if value == "default":
            return DEFAULT
        found = re.fullmatch(r"([0-9]{1,19})(\.[0-9]{1,9})? ?([A-Za-z]*)", value)
        unit = None if found is None else self._units.get(found[3].lower())
        if found is None or unit is None or (found[2] and unit == 1):
            self.fail(f"{value!r} is no number of {self.name}; write {self._examples()} or default", param, ctx)
        fraction = found[2] or ""
        # In whole numbers: a float would not keep them.
        count = int(found[1]) * unit + (int(fraction[1:]) * unit // 10 ** len(fraction[1:]) if fraction else 0)
        if count > _MOST:
            self.fail(f"{value!r} is more than {_MOST:,}", param, ctx)
        return count

    def _examples(self) -> str:
        return "1000000, 500MB, 10GiB" if len(self._units) > 1 else "1000"


BYTES: Final = Limit("bytes", has_units=True)
COUNT: Final = Limit("things", has_units=False)
