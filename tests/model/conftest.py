"""Small chunks, groups and blocks, so that an upload of some kilobytes has many of each."""

from __future__ import annotations

import os

import pytest

from store.blobs import chunking, intake, writing

KIB = 1024


def runs(of_ci: int) -> int:
    """How many programs a machine runs: in CI so many, in a drill what MODEL_RUNS says."""
    return int(os.environ.get("MODEL_RUNS", of_ci))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "MIN_CHUNK_BYTES", KIB)
    monkeypatch.setattr(chunking, "AVERAGE_CHUNK_BYTES", 4 * KIB)
    monkeypatch.setattr(chunking, "MAX_CHUNK_BYTES", 16 * KIB)
    monkeypatch.setattr(writing, "GROUP_BYTES", 20 * KIB)
    monkeypatch.setattr(intake, "BLOCK_BYTES", 10 * KIB)
    monkeypatch.setattr(intake, "HEADROOM_BYTES", 16 * KIB)
    monkeypatch.setattr(writing, "HEADROOM_BYTES", 16 * KIB)
