"""Quotas on the command line: `relctl org get`, `relctl org update`, and uploads that meet one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relctl.cli.quotas import BYTES, COUNT, DEFAULT
from tests.relctl.command_line import Relctl


def test_what_is_used_and_allowed_is_shown(ctl: Relctl, tmp_path: Path) -> None:
    file = tmp_path / "app.js"
    file.write_bytes(bytes(2500))
    ctl.ok("release", "create", "app@9.0.0", "--project", "web")
    ctl.ok("files", "upload", "app@9.0.0", file)
    shown = ctl.ok("org", "get").out
    for line in ("stored  2.5 kB", "files  1", "streams  0"):
        title, value = line.split("  ")
        assert any(row.split()[:1] == [title] and row.endswith(value) for row in _rows(shown)), shown
    ctl.ok("org", "update", "acme", "--quota-stored-bytes", "10GiB", "--quota-stream-count", "4")
    shown = ctl.ok("org", "get").out
    assert "2.5 kB of 10.7 GB" in shown
    assert "0 of 4" in shown
    (told,) = ctl.json("org", "get")
    assert told["quota"] == {"stored_bytes": str(10 * 2**30), "stream_count": "4"}
    changed = ctl.ok("org", "update", "acme", "--quota-stored-bytes", "default", "--quota-file-count", "1000").out
    assert "quota of files" in changed
    assert "quota of bytes" not in changed
    (told,) = ctl.json("org", "get")
    assert told["quota"] == {"file_count": "1000", "stream_count": "4"}


def _rows(shown: str) -> list[str]:
    return [row.strip() for row in shown.splitlines()]


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_an_upload_that_meets_the_quota_is_told_so_in_one_line(ctl: Relctl, tmp_path: Path, size: int) -> None:
    ctl.ok("release", "create", "app@9.0.0", "--project", "web")
    ctl.ok("org", "update", "acme", "--quota-stored-bytes", str(size - 1))
    file = tmp_path / "app.bin"
    file.write_bytes(os.urandom(size))
    told = ctl.fails(1, "QUOTA_EXCEEDED", "files", "upload", "app@9.0.0", file)
    assert f"may have at most {size - 1:,} bytes stored" in told
    ctl.ok("org", "update", "acme", "--quota-stored-bytes", "default")
    ctl.ok("files", "upload", "app@9.0.0", file)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1000000", 10**6),
        ("10GiB", 10 * 2**30),
        ("500mb", 500 * 10**6),
        ("1.5 KiB", 1536),
        ("7B", 7),
        ("2PiB", 2 * 2**50),
        ("default", DEFAULT),
    ],
)
def test_a_number_of_bytes_has_a_unit_or_none(text: str, count: int) -> None:
    assert BYTES.convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1.5B", "10 GiBs", "ten", "1e9", "9999PiB", "9223372036854775808"])
def test_what_is_no_number_of_bytes_is_refused(ctl: Relctl, text: str) -> None:
    told = ctl.fails(2, "USAGE", "org", "update", "acme", f"--quota-stored-bytes={text}")
    assert "write 1000000, 500MB, 10GiB or default" in told or "is more than" in told


def test_a_count_has_no_unit(ctl: Relctl) -> None:
    assert COUNT.convert("1000", None, None) == 1000
    assert "write 1000 or default" in ctl.fails(2, "USAGE", "org", "update", "acme", "--quota-file-count", "1k")
