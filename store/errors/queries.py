"""Errors of search queries."""

from __future__ import annotations

from store.errors.kinds import FieldViolation, InvalidArgument


class QueryInvalid(InvalidArgument):
    """The query is not of the search language (docs/search.md).

    `position` counts characters (code points) from 1; that behind the last one is the end of the query. `found` says
    what stands there and `expected` what may, both in words; `hint` is a sentence on what was probably meant.
    """

    def __init__(self, *, position: int, found: str, expected: str, hint: str = "") -> None:
        text = f"At character {position}: found {found}; expected {expected}. {hint}".rstrip()
        super().__init__(
            f"The query cannot be read. {text}",
            metadata={"position": str(position), "found": found, "expected": expected},
            violations=(FieldViolation("query", text),),
        )
        self.position = position
        self.found = found
        self.expected = expected
        self.hint = hint
