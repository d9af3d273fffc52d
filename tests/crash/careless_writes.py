"""`release-server` with careless writes, for the database drill's controls: each must be caught.

    python tests/crash/careless_writes.py lost-write|doubled-write serve

The fault is put in here, in this process; the product knows no such switch.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from store.database import postgres_write
from store.database.postgres_write import PostgresWrite

ONE_IN: Final = 3


def with_lost_writes() -> None:
    """One in so many of the writes with a request id is rolled back, and answered as if it were committed."""
    begin, numbers = PostgresWrite.__init__, itertools.count(1)

    def careless(write: PostgresWrite[Any, Any], *arguments: Any, **options: Any) -> None:
        begin(write, *arguments, **options)
        if write._once is not None and next(numbers) % ONE_IN == 0:
            write._terms = replace(write._terms, validate_only=True)

    setattr(PostgresWrite, "__init__", careless)  # noqa: B010 - of the same kind, but for the types


def with_doubled_writes() -> None:
    """A write whose COMMIT was cut is made again, without a look whether it is there."""
    setattr(postgres_write, "answer_once", lambda tx, fn, terms, _: terms.reply(fn(tx)))  # noqa: B010


CONTROLS: Final[dict[str, tuple[Callable[[], None], str]]] = {
    "lost-write": (with_lost_writes, "F20.lost"),
    "doubled-write": (with_doubled_writes, "F20.doubled"),
}
"""What is put in, and the goal that must be missed then."""


if __name__ == "__main__":
    CONTROLS[sys.argv[1]][0]()

    from server.__main__ import main

    main(sys.argv[2:])
