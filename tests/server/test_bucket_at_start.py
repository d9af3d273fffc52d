"""A server whose bucket cannot be used does not start, and says why in one line without a secret."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.s3_server import SECRET, S3Server, environment_of
from tests.server_process import SERVER

AWAY = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"RELEASES_S3_ENDPOINT": AWAY}, f"at {AWAY} cannot be used: the service cannot be reached."),
        ({"RELEASES_BLOBS": "s3://nobody-made-it/files"}, "cannot be used: there is no such bucket."),
    ],
)
def test_a_bucket_that_is_not_there_is_told_in_one_line(
    tmp_path: Path, s3_server: S3Server, changed: dict[str, str], told: str
) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RELEASES_")},
        "RELEASES_LISTEN": "127.0.0.1:0",
        "RELEASES_DATA": str(tmp_path / "data"),
        **environment_of(s3_server.fresh_bucket()),
        **changed,
    }

    ended = subprocess.run([SERVER, "serve"], env=environment, capture_output=True, text=True, timeout=120, check=False)

    said = ended.stdout + ended.stderr
    (line,) = [line for line in said.splitlines() if not line.startswith("{")]  # the log is JSON
    assert ended.returncode == os.EX_UNAVAILABLE
    assert line.startswith("release-server: s3://")
    assert told in line
    assert SECRET not in said
