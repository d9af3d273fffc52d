"""One setting: a row of the table that makes the flags, their help, `docs/settings.md` and the checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

PREFIX: Final = "RELEASES_"


class SettingWrong(Exception):
    """A setting cannot be used; the text is one line that names it, without the value of a secret one."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: `parse` turns text into the value or raises ValueError with what is expected."""

    name: str
    default: str
    unit: str
    doc: str
    parse: Callable[[str], Any]
    is_secret: bool = False

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str | None:
        """Its flag; None for a secret, which every process of the machine could read there."""
        return None if self.is_secret else "--" + self.name.replace("_", "-")
