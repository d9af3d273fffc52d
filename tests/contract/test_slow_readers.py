"""What a download keeps in memory for a reader who takes little of it, or nothing."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from store.blobs.reader import FIRST_PIECE_BYTES
from store.blobs.source import ChunkSource
from tests.contract.shelf import Shelf, content_of

MIB = 2**20


def test_a_piece_that_is_being_taken_is_kept_by_nobody_else(shelf: Shelf) -> None:
    file = shelf.upload(content_of(3 * MIB)).file

    with shelf.open(file) as opened:
        # The name here, and the argument of the question.
        assert {sys.getrefcount(piece) for piece in opened.data} == {2}


def test_nothing_is_read_ahead_before_the_first_piece_was_taken(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shelf.upload(content_of(8 * MIB)).file
    planned: list[int] = []
    plan = ChunkSource.plan

    def noted(self: ChunkSource, at: int, **rest: Any) -> Any:
        planned.append(at)
        return plan(self, at, **rest)

    monkeypatch.setattr(ChunkSource, "plan", noted)
    with shelf.open(file) as opened:
        first = next(opened.data)
        assert (len(first), planned) == (FIRST_PIECE_BYTES, [0])
        assert FIRST_PIECE_BYTES <= 64 * 2**10, "about what HTTP/2 lets through before its peer takes any"
        next(opened.data)
        assert len(planned) == 2
