"""How many processes serve when nothing is said, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.settings import SettingWrong, read_settings
from server.settings.cpus import usable_cpus

POSTGRES = {"RELEASES_DATABASE": "postgresql://registry@127.0.0.1/registry"}


def test_one_process_serves_on_sqlite() -> None:
    assert read_settings((), {}).workers == 1
    assert read_settings((), {"RELEASES_WORKERS": "1"}).workers == 1


def test_on_postgresql_it_is_one_for_each_processor_and_eight_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    for cpus, workers in ((1, 1), (3, 3), (8, 8), (64, 8)):
        monkeypatch.setattr("server.settings.processes.usable_cpus", lambda cpus=cpus: cpus)
        assert read_settings((), POSTGRES).workers == workers
        assert read_settings((), {**POSTGRES, "RELEASES_WORKERS": "Auto"}).workers == workers
    assert read_settings(("--workers", "64"), POSTGRES).workers == 64


@pytest.mark.parametrize("text", ["0", "65", "-1", "two", "", "1.5", "²", "1" * 5000])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(SettingWrong, match=r"RELEASES_WORKERS.*: must be auto or a whole number from 1 to 64"):
        read_settings((), {**POSTGRES, "RELEASES_WORKERS": text})


def test_more_than_one_is_refused_on_sqlite() -> None:
    with pytest.raises(SettingWrong, match="RELEASES_WORKERS='2': SQLite serves one process"):
        read_settings((), {"RELEASES_WORKERS": "2"})
    with pytest.raises(SettingWrong, match="--workers='3': SQLite serves one process"):
        read_settings(("--workers", "3"), {})


# --- processors that this process may use ----------------------------------------------------------------------------


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: range(16))


def cpus(folder: Path, own: str, **quotas: str) -> int:
    """Of a machine of 16, with this /proc/self/cgroup; the names of files have dots for slashes."""
    for name, text in quotas.items():
        file = folder / "groups" / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cpu_cfs", "cpu.cfs")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "own").write_text(own)
    return usable_cpus(groups=folder / "groups", own_groups=folder / "own")


@pytest.mark.usefixtures("many")
def test_without_a_quota_they_are_those_that_it_may_run_on(tmp_path: Path) -> None:
    assert cpus(tmp_path, "0::/\n") == 16
    assert cpus(tmp_path, "0::/\n", cpu_max="max 100000\n") == 16
    assert usable_cpus(groups=tmp_path, own_groups=tmp_path / "missing") == 16


@pytest.mark.usefixtures("many")
def test_a_quota_counts_by_the_whole_processors_that_it_fills_or_begins(tmp_path: Path) -> None:
    for quota, expected in (("30000", 1), ("100000", 1), ("150000", 2), ("400000", 4), ("9900000", 16)):
        assert cpus(tmp_path, "0::/app\n", app__cpu_max=f"{quota} 100000\n") == expected


@pytest.mark.usefixtures("many")
def test_the_narrowest_group_around_it_counts(tmp_path: Path) -> None:
    quotas = {"a__b__cpu_max": "800000 100000", "a__cpu_max": "300000 100000", "cpu_max": "max 100000"}
    assert cpus(tmp_path, "0::/a/b\n", **quotas) == 3


@pytest.mark.usefixtures("many")
def test_in_a_container_the_group_is_the_root_whatever_its_place_is_called(tmp_path: Path) -> None:
    assert cpus(tmp_path, "0::/kubepods/pod7\n", cpu_max="200000 100000") == 2


@pytest.mark.usefixtures("many")
def test_the_first_version_of_control_groups_is_understood_too(tmp_path: Path) -> None:
    own = "9:name=systemd:/\n4:memory:/x\n1:cpu:/app\n0::/\n"
    assert cpus(tmp_path, own, cpu__app__cpu_cfs_quota_us="250000", cpu__app__cpu_cfs_period_us="100000") == 3
    assert cpus(tmp_path, own, cpu__app__cpu_cfs_quota_us="-1") == 16
