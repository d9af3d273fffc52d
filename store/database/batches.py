"""Reading many rows by key: lists cut into batches of a few fixed sizes, so that few queries have to be compiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from store.database.query import hole

T = TypeVar("T")

SIZES = (1, 4, 16, 64, 500)
"""The sizes of batches. Drivers and planners take longer lists badly."""


def batches(values: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """The values in order, in tuples of one of SIZES; the last is filled up by repeating its last value."""
    for start in range(0, len(values), SIZES[-1]):
        batch = tuple(values[start : start + SIZES[-1]])
        size = next(size for size in SIZES if size >= len(batch))
        yield batch + batch[-1:] * (size - len(batch))


def holes(field: Any, size: int) -> list[Any]:
    """As many parameters of a field: for `field.in_(...)`."""
    return [hole(field, f"of_{index}") for index in range(size)]


def filled(values: Sequence[Any]) -> dict[str, Any]:
    """What fills `holes` of that many."""
    return {f"of_{index}": value for index, value in enumerate(values)}
