"""Walking a list page by page, there and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from store.paging import Page, PageRequest

T = TypeVar("T")


def walked(page_at: Callable[[PageRequest], Page[T]], size: int) -> list[T]:
    """All items of a list, in pages of at most `size`; walking back from its end gives the same."""
    forward: list[T] = []
    request = PageRequest(size)
    while True:
        page = page_at(request)
        assert len(page.items) <= size
        forward += page.items
        if page.next is None:
            break
        request = PageRequest(size, page.next)
    backward: list[T] = list(page.items)
    while page.previous is not None:
        page = page_at(PageRequest(size, page.previous))
        assert len(page.items) <= size
        backward = [*page.items, *backward]
    assert backward == forward
    return forward
