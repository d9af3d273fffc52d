"""Streams that carry one thing: a header, data, a finish, and then no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from store.errors import FrameOutOfOrder

Header = TypeVar("Header")
Data = TypeVar("Data")
Finish = TypeVar("Finish")


class Frames(Generic[Header, Data, Finish]):
    """The frames of a stream in the order that the contract demands.

    Its messages have a oneof `frame` of header, data and finish. `header`, `data` and `finish` are called in this
    order, each to its end. Raises FrameOutOfOrder.
    """

    def __init__(self, requests: Iterator[Any]) -> None:
        self._requests = requests
        self._finish: Finish | None = None

    def header(self) -> Header:
        """The first frame."""
        request = next(self._requests, None)
        found = _frame(request)
        if request is None or found != "header":
            raise FrameOutOfOrder(expected="header", found=found)
        header: Header = request.header
        return header

    def data(self) -> Iterator[Data]:
        """The frames up to the finish."""
        for request in self._requests:
            found = _frame(request)
            if found == "data":
                yield request.data
            elif found == "finish":
                self._finish = request.finish
                return
            else:
                raise FrameOutOfOrder(expected="data or finish", found=found)
        # The client is gone, or failed in the middle of sending: both look like a stream that just ends.
        raise FrameOutOfOrder(expected="data or finish", found="end")

    def finish(self) -> Finish:
        """The frame that said finish, once the stream ended behind it."""
        assert self._finish is not None, "data() was not read to its end"
        found = _frame(next(self._requests, None))
        if found != "end":
            raise FrameOutOfOrder(expected="end", found=found)
        return self._finish


def _frame(request: Any) -> str:
    return "end" if request is None else request.WhichOneof("frame") or "an empty message"
