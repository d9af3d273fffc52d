"""CI's share of the power cut drill; `make drill-power` runs the full count and the controls of both engines."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from pathlib import Path

import pytest

from tests.crash import power_cut
from tests.crash.drill import Drill
from tests.crash.ledger import Tally
from tests.crash.power_cut import Disks, FileSystem, disks, obstacle, run
from tests.crash.power_drill import CUTS, Outcome, drill, run_control
from tests.crash.power_workload import Unfinished, Uploader
from tests.crash.without_sync import CONTROLS
from tests.crash.workload import BrokenPromise
from tests.server_process import ServerProcess, Stubs

SEED = random.SystemRandom().randrange(2**32)


@pytest.fixture(scope="module")
def power() -> None:
    """A machine on which power can be cut: it was, on a file system of its own, before this returns."""
    why = obstacle()
    if why is not None:
        # A machine that is to prove everything must not pass by lacking a tool or a right.
        assert os.environ.get("CI") != "true", f"CI cuts power, and cannot here: {why}"
        pytest.skip(f"power cannot be cut here, so nothing was shown of it: {why}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("engine", "cycles"), [("sqlite", 8), ("postgresql", 5)])
def test_what_was_acknowledged_is_there_after_each_power_cut(power: None, engine: str, cycles: int) -> None:
    outcome = Outcome()

    drill(engine=engine, cycles=cycles, seed=SEED, outcome=outcome)

    print(f"{engine}, seed {SEED}: {outcome}")
    assert {what for what, _ in outcome.cuts} == set(CUTS)
    # Cuts that never met work to lose would prove nothing.
    for kind in ("UploadReleaseFile", "UploadChunks", "AssembleUpload", "broken off, GetUpload", "resumed upload"):
        assert outcome.tally.counts[kind, "answered"] > 0, outcome
    assert outcome.tally.counts["CheckStorage", "clean"] == cycles


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CONTROLS)
def test_the_drill_notices_a_sync_that_is_left_out(power: None, name: str) -> None:
    # The first cut hits the packs just behind an answer, the second the rows: a cycle more is for a quiet second one.
    print(run_control(name, cycles=3, seed=SEED))


def test_the_callers_notice_an_upload_of_which_less_is_there_than_was_told(tmp_path: Path) -> None:
    """What they were told is made up here: nothing is lost, and the server says so."""
    stopped = threading.Event()
    stopped.set()
    with ServerProcess(tmp_path) as server, server.channel() as channel:
        Drill(server, SEED)._prepare()
        stubs, caller = Stubs(channel), Uploader(0, seed=SEED, tally=Tally())
        caller.work(server, stopped, stopped)
        caller.upload_one(stubs, in_pack=False)
        (release,) = caller.releases.values()

        with pytest.raises(BrokenPromise, match="its upload is gone"):
            caller.resume(stubs, Unfinished(release, caller._file(release, 50_000), known=True))
        with pytest.raises(BrokenPromise, match="0 bytes are committed, 1 were told to be"):
            caller.resume(stubs, Unfinished(release, caller._file(release, 50_000), committed=1))
        with pytest.raises(BrokenPromise, match="3 chunks are gone that were answered"):
            caller.resume(stubs, Unfinished(release, caller._file(release, 50_000), cut=20_000, stored=True))


# ------------------------------------------------------------------------------------------------------ the rig itself


def test_the_file_systems_are_given_back_after_a_failure(power: None) -> None:
    def fail() -> None:
        with disks() as made:
            found.append(made)
            made.make()
            made.database.cut()
            raise RuntimeError

    found: list[Disks] = []
    with pytest.raises(RuntimeError):
        fail()

    (left,) = found
    assert not left.outside.parent.exists()
    assert str(left.outside.parent) not in Path("/proc/self/mountinfo").read_text()
    assert str(left.outside.parent) not in run("losetup", "--all")


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_cut, "SEARCHED", "")

    assert obstacle() == "not installed: mkfs.ext4, mount, umount, losetup (packages e2fsprogs and mount)"


def test_a_mount_that_is_refused_is_told_in_its_own_words(power: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        code, text = (32, "mount: failed to setup loop device\n") if words[0].endswith("/mount") else (0, "")
        return subprocess.CompletedProcess(words, code, "", text)

    monkeypatch.setattr(subprocess, "run", refused)

    assert obstacle() == "mount: mount: failed to setup loop device"


def test_a_cut_that_keeps_what_was_not_synced_is_no_cut(power: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileSystem, "cut", lambda disk: None)

    with pytest.raises(AssertionError, match="keeps what was not synced"):
        obstacle()
