"""No release of a library that is known to be unsafe is installed, and nothing but the very files that were locked.

What the floors are for: gRPC before 1.65.4 takes memory and processor time without bound for hostile headers, Pillow
before 12.3.0 never comes to an end with some files, and an SQLite before 3.51.3 can lose commits when its log is reset.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import apsw
import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "deploy/runtime.lock", "deploy/build.lock")
FLOORS = {"grpcio": (1, 65, 4), "pillow": (12, 3, 0)}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


@pytest.mark.parametrize("name", FLOORS)
def test_what_is_installed_and_what_is_locked_is_new_enough(name: str) -> None:
    locked = [
        match[1] for lock in LOCKS for match in re.finditer(rf"^{name}==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    ]
    assert len(locked) >= 2, "in the lock of the tests and in that of the image"
    for each in (version(name), *locked):
        assert numbers(each) >= FLOORS[name]


def test_the_sqlite_inside_is_new_enough() -> None:
    assert numbers(apsw.sqlite_lib_version()) >= (3, 51, 3)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_is_one_version_with_its_digests(lock: str) -> None:
    # A package is a line that begins at the margin; what belongs to it is indented and continues it.
    packages = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    packages = [package for package in packages if not package.startswith("#")]
    assert len(packages) > 3
    for package in packages:
        assert re.match(r"[A-Za-z0-9._\[\],-]+==\S+", package), package
        assert "--hash=sha256:" in package, package
