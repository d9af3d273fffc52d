from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from relctl import hash_cache
from relctl.hash_cache import FileState, HashCache, default_cache_path

DIGEST = hashlib.sha256(b"content").hexdigest()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as written long ago."""
    monkeypatch.setattr(hash_cache, "SETTLED_NS", 0)
    path = tmp_path / 'a file "quoted" café\n'
    path.write_bytes(b"content")
    return path


def state_of(path: Path) -> FileState:
    return FileState.of(path.stat())


def test_a_digest_is_found_again_by_another_process_until_the_file_looks_changed(file: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "relctl" / "sha256"
    HashCache(place).remember(file, state_of(file), DIGEST)
    assert HashCache(place).find(file, state_of(file)) == DIGEST
    assert HashCache(place).find(file.parent / "." / file.name, state_of(file)) == DIGEST
    before = file.stat()
    file.write_bytes(b"CONTENT")  # of the same size, at the same time, as its writer says
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert HashCache(place).find(file, state_of(file)) is None


def test_another_file_at_the_same_path_is_another(file: Path, tmp_path: Path) -> None:
    cache = HashCache(tmp_path / "cache")
    cache.remember(file, state_of(file), DIGEST)
    other = tmp_path / "other"
    other.write_bytes(b"content")
    assert cache.find(other, state_of(other)) is None
    other.replace(file)
    assert cache.find(file, state_of(file)) is None


def test_a_file_that_was_written_just_now_is_not_remembered(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "SETTLED_NS", 3600 * 10**9)
    cache = HashCache(tmp_path / "cache")
    cache.remember(file, state_of(file), DIGEST)
    assert cache.find(file, state_of(file)) is None
    assert not (tmp_path / "cache").exists()


def test_lines_that_are_none_of_ours_are_as_if_not_there(file: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    HashCache(place).remember(file, state_of(file), DIGEST)
    line = place.read_text()
    place.write_text(f'{line[:90]}\n{"0" * 64} 1 2 3 4 5 "\\x"\nnonsense\n{line}{line[:70]}')
    assert HashCache(place).find(file, state_of(file)) == DIGEST
    place.write_bytes(b"\xff\xfe")
    assert HashCache(place).find(file, state_of(file)) is None


def test_a_cache_that_cannot_be_written_or_read_stops_nobody(file: Path, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file, where a folder should be")
    for cache in (HashCache(tmp_path / "blocked" / "sha256"), HashCache(tmp_path), HashCache(None)):
        cache.remember(file, state_of(file), DIGEST)
        assert cache.find(file, state_of(file)) == DIGEST, "it still holds for this process"


def test_the_oldest_are_forgotten_when_there_are_too_many(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "MAX_FILES", 5)
    place = tmp_path / "cache"
    paths = [tmp_path / f"file-{number}" for number in range(11)]
    for path in paths:
        path.write_bytes(b"content")
        HashCache(place).remember(path, state_of(path), DIGEST)
    cache = HashCache(place)
    assert [path for path in paths if cache.find(path, state_of(path))] == paths[-5:]
    assert len(place.read_text().splitlines()) == 5


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert default_cache_path() == tmp_path / "elsewhere" / "relctl" / "sha256"
    for said in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", said)
        assert default_cache_path() == tmp_path / ".cache" / "relctl" / "sha256"
