"""`release-server check`, `collect` and `adoption`, beside a running server and without one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.server_process import SERVER, ServerProcess


def run(process: ServerProcess, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command with the settings of the server."""
    settings = {
        "RELEASES_LISTEN": process.address,
        "RELEASES_DATA": str(process.data),
        "RELEASES_BOOTSTRAP_TOKEN": process.token,
        **({"RELEASES_DATABASE": process.database} if process.database else {}),
        **environment,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELEASES_", "GRPC_"))}
    return subprocess.run(
        [str(SERVER), *words], env={**kept, **settings}, capture_output=True, text=True, timeout=60, check=False
    )


def stray(process: ServerProcess) -> Path:
    """A pack that no row knows, from long ago."""
    path = process.data / "blobs" / "packs" / "00" / ("0" * 32)
    path.write_bytes(b"bytes of a stream that was killed")
    os.utime(path, (0, 0))
    return path


@pytest.mark.parametrize("running", [True, False])
def test_what_is_unknown_is_found_counted_and_removed(server_process: ServerProcess, running: bool) -> None:
    path = stray(server_process)
    if not running:
        server_process.stop()
    found = run(server_process, "check", "--percent", "50")
    assert (found.returncode, found.stderr) == (1, "")
    assert "is known to no row" in found.stdout
    told = run(server_process, "collect", "--dry-run")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("would remove 0 contents, 0 chunks and 1 pack, 33 bytes")
    assert path.exists()
    done = run(server_process, "collect")
    assert done.stdout.startswith("removed 0 contents, 0 chunks and 1 pack, 33 bytes")
    assert not path.exists()
    sound = run(server_process, "check")
    assert (sound.returncode, sound.stdout.splitlines()[-1].split("; ")[1]) == (0, "0 findings, 0 mended")


@pytest.mark.parametrize("running", [True, False])
def test_it_is_found_out_what_is_adopted(server_process: ServerProcess, running: bool) -> None:
    if not running:
        server_process.stop()
    done = run(server_process, "adoption")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "0 adopted, 0 replaced; projects with sessions in the last six hours: 0; releases created: 0\n"
    )


def test_a_check_that_mends_all_that_it_finds_ends_well(server_process: ServerProcess) -> None:
    path = stray(server_process)
    done = run(server_process, "check", "--repair")
    assert (done.returncode, done.stdout.splitlines()[-1].split("; ")[1]) == (0, "1 finding, 1 mended")
    assert not path.exists()


def test_a_running_server_is_not_asked_with_a_wrong_token(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server") as process:
        done = run(process, "check", RELEASES_BOOTSTRAP_TOKEN="x" * 40)
        assert (done.returncode, done.stdout) == (69, "")
        assert "The token is not valid" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("check", "--percent", "0"), ("check", "--nothing"), ("collect", "--repair"), ("adoption", "--now")]
)
def test_a_wrong_flag_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    process = ServerProcess(tmp_path / "server")
    done = run(process, *words)
    assert (done.returncode, done.stdout) == (78, "")
    assert len(done.stderr.splitlines()) == 1
