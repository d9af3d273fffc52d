"""What a caller is told when the disk of the files is full, broken or closed to us."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.rpc.sending import MIB, content_of, download, file_names, upload
from tests.rpc.wire import Served, raises_reason


@pytest.fixture
def acme(edge: Served) -> Served:
    edge.make_organization(projects=["web"])
    edge.make_release("organizations/acme", "app@1.0.0", "web")
    return edge


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_full_disk_is_told_and_passes(acme: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    before = upload(acme, content_of(MIB, seed=1), "before").file
    with monkeypatch.context() as patched:
        patched.setattr("store.blobs.local_sink.os.pwrite", failing(errno.ENOSPC))
        with raises_reason("STORAGE_FULL", "RESOURCE_EXHAUSTED") as refusal:
            upload(acme, content_of(MIB))
        assert download(acme, before.name)[1] == content_of(MIB, seed=1)

    assert refusal.retry_seconds is not None
    assert upload(acme, content_of(MIB)).created


def test_after_a_failed_sync_the_server_only_reads(acme: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    before = upload(acme, content_of(MIB, seed=1), "before").file
    with monkeypatch.context() as patched:
        patched.setattr("store.blobs.local.os.fsync", failing(errno.EIO))
        with raises_reason("READ_ONLY", "UNAVAILABLE") as refusal:
            upload(acme, content_of(MIB))

    assert refusal.retry_seconds is not None
    with raises_reason("READ_ONLY", "UNAVAILABLE"):
        upload(acme, content_of(MIB))
    assert file_names(acme) == ["before"]
    assert download(acme, before.name)[1] == content_of(MIB, seed=1)


def test_packs_that_cannot_be_opened_are_down_and_not_lost(acme: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    name = upload(acme, content_of(MIB)).file.name
    with monkeypatch.context() as patched:
        patched.setattr("store.blobs.local.os.open", failing(errno.EACCES))
        with raises_reason("BLOBS_DOWN", "UNAVAILABLE") as refusal:
            download(acme, name)

    assert refusal.retry_seconds is not None
    assert download(acme, name)[1] == content_of(MIB)
