"""Sketches: how many different users there were, and how durations are spread, in a few KiB however many there are.

Both can be merged, so hours add up to days and releases to a project. They are those of Apache DataSketches, kept in
its own compact form, which its libraries for other languages read, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from types import ModuleType
from typing import Any, Final

USER_ERROR: Final = 0.0163
"""The standard error of `Users.estimate`, as a share: two of three estimates are nearer than that, nineteen of twenty
within twice that. Up to some hundreds of users nothing is lost, and the estimate is exact."""
RANK_ERROR: Final = 0.0133
"""How far off the rank of `Durations.quantile` is in ninety-nine of a hundred cases: what is answered for the median
lies between the quantiles of 0.487 and 0.513."""

_LG_K: Final = 12  # 4,096 registers
_K: Final = 200


@cache
def _library() -> ModuleType:
    # It brings numpy: loaded with the first sketch, not when a server starts.
    import datasketches

    library: ModuleType = datasketches
    return library


@cache
def _numpy() -> ModuleType:
    import numpy as np

    library: ModuleType = np
    return library


def load() -> None:
    """Load the library now: whoever is about to use sketches where others wait."""
    _library()


class Users:
    """A HyperLogLog sketch of users, each a number of 64 bits (`store.health.users`)."""

    __slots__ = ("_sketch", "_union")

    def __init__(self, sketch: Any = None) -> None:
        self._sketch = sketch
        self._union: Any = None

    @classmethod
    def of(cls, data: bytes | None) -> Users:
        """The sketch that was kept as these bytes; an empty one of None."""
        return cls(None if data is None else _library().hll_sketch.deserialize(data))

    def add(self, users: Iterable[int]) -> None:
        """Add users, from -2**63 up to 2**63 - 1."""
        self._settle()
        if self._sketch is None:
            library = _library()
            self._sketch = library.hll_sketch(_LG_K, library.HLL_4)
        update = self._sketch.update
        for user in users:
            update(user)

    def merge(self, data: bytes | None) -> None:
        """Add all users of another sketch, as its bytes."""
        if data is not None:
            self._put(_library().hll_sketch.deserialize(data))

    @classmethod
    def union(cls, kept: Sequence[bytes]) -> Users:
        """All users of several sketches."""
        if len(kept) < 2:
            return cls.of(kept[0] if kept else None)
        library = _library()
        union = library.hll_union(_LG_K)
        update, read = union.update, library.hll_sketch.deserialize
        for data in kept:
            update(read(data))
        users = cls()
        users._union = union
        return users

    def include(self, other: Users) -> None:
        """Add all users of another sketch, which stays as it is."""
        library = _library()
        if other._union is not None:
            if self._sketch is None and self._union is None:
                self._union = library.hll_union(_LG_K)
            self._put(other._union.get_result(library.HLL_8))  # as a union holds them: nothing is packed
        elif other._sketch is not None:
            self._put(library.hll_sketch.deserialize(other._sketch.serialize_compact()))

    def estimate(self) -> int:
        """How many different users were added; 0 of none. The same however they were added, and in whatever order."""
        self._forget_order()
        held = self._sketch if self._union is None else self._union
        return 0 if held is None else round(float(held.get_estimate()))

    def data(self) -> bytes | None:
        """What is kept of it; None where nothing was added."""
        self._settle()
        if self._sketch is None or self._sketch.is_empty():
            return None
        kept: bytes = self._sketch.serialize_compact()
        return kept

    def _put(self, sketch: Any) -> None:
        """Add all users of a sketch that is nobody else's. There is a union of two sketches or more, or none."""
        if self._sketch is None and self._union is None:
            self._sketch = sketch
            return
        if self._union is None:
            self._union = _library().hll_union(_LG_K)
            self._union.update(self._sketch)
            self._sketch = None
        self._union.update(sketch)

    def _forget_order(self) -> None:
        # A union of small sketches estimates by the order in which they came. Merged with itself it does not.
        if self._union is not None:
            self._union.update(self._union.get_result(_library().HLL_8))

    def _settle(self) -> None:
        if self._union is not None:
            self._forget_order()
            self._sketch = self._union.get_result(_library().HLL_4)
            self._union = None


class Durations:
    """A KLL sketch of durations in seconds."""

    __slots__ = ("_sketch",)

    def __init__(self, sketch: Any = None) -> None:
        self._sketch = sketch

    @classmethod
    def of(cls, data: bytes | None) -> Durations:
        """The sketch that was kept as these bytes; an empty one of None."""
        return cls(None if data is None else _library().kll_floats_sketch.deserialize(data))

    def add(self, seconds: Iterable[float]) -> None:
        """Add durations; they are kept as floats of 32 bits."""
        if self._sketch is None:
            self._sketch = _library().kll_floats_sketch(_K)
        # All in one call: one by one each takes a microsecond.
        self._sketch.update(_numpy().fromiter(seconds, "float32"))

    def merge(self, data: bytes | None) -> None:
        """Add all durations of another sketch, as its bytes."""
        if data is None:
            return
        other = _library().kll_floats_sketch.deserialize(data)
        if self._sketch is None:
            self._sketch = other
        else:
            self._sketch.merge(other)

    @classmethod
    def union(cls, kept: Sequence[bytes]) -> Durations:
        """All durations of several sketches."""
        durations = cls.of(kept[0] if kept else None)
        if len(kept) > 1:
            merge, read = durations._sketch.merge, _library().kll_floats_sketch.deserialize
            for data in kept[1:]:
                merge(read(data))
        return durations

    def include(self, other: Durations) -> None:
        """Add all durations of another sketch, which stays as it is."""
        if other._sketch is not None:
            if self._sketch is None:
                self._sketch = _library().kll_floats_sketch(_K)
            self._sketch.merge(other._sketch)

    def quantile(self, share: float) -> float | None:
        """The duration that this share of them (0 to 1) does not exceed; None of none."""
        if self._sketch is None or self._sketch.is_empty():
            return None
        return float(self._sketch.get_quantile(share, True))

    def data(self) -> bytes | None:
        """What is kept of it; None where nothing was added."""
        if self._sketch is None or self._sketch.is_empty():
            return None
        kept: bytes = self._sketch.serialize()
        return kept
