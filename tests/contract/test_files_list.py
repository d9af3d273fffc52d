"""Seeking files of a release: what matches, by pages, within bounds (behaviour.md, Files)."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.access import Access
from store.errors import ProjectForbidden
from store.files.list import FileFilter, list_files
from store.files.rows import FileRow
from store.paging import Page, PageRequest, Position
from tests.contract.acme import Acme
from tests.contract.shelf import Shelf

CONTENTS = [b"one", b"two", b"three"]


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def page(
    shelf: Shelf,
    request: PageRequest,
    *,
    access: Access | None = None,
    version: str = "app@1.0.0",
    **sought: Any,
) -> Page[FileRow]:
    return list_files(
        shelf.db,
        access or shelf.acme.everybody,
        organization="acme",
        version=version,
        page=request,
        sought=FileFilter(**{name: frozenset(values) for name, values in sought.items()}),
    )


def names(shelf: Shelf, *, size: int = 1000, **sought: Any) -> list[str]:
    """All that is found, page by page; the way back finds the same."""
    pages: list[list[str]] = []
    position: Position | None = None
    while True:
        found = page(shelf, PageRequest(size, position), **sought)
        pages.append([file.file_name for file in found.items])
        if found.next is None:
            break
        position = found.next
    forth = [name for items in pages for name in items]
    back = pages[-1]
    while found.previous is not None:
        found = page(shelf, PageRequest(size, found.previous), **sought)
        back = [file.file_name for file in found.items] + back
    assert back == forth
    return forth


def fill(shelf: Shelf) -> None:
    for number, name in enumerate(["lib/App.js", "lib/app.css", "100%_done", "Straße.txt", "É.map", "z"]):
        shelf.upload(
            CONTENTS[number % 3],
            name,
            project=(None, "web", "api")[number % 3],
            dist=(None, "linux")[number % 2],
        )


@pytest.mark.parametrize(
    ("contains", "found"),
    [
        (["app"], ["lib/App.js", "lib/app.css"]),
        (["APP"], ["lib/App.js", "lib/app.css"]),
        (["%_"], ["100%_done"]),
        (["_"], ["100%_done"]),
        (["STRASSE"], ["Straße.txt"]),
        (["e\u0301"], ["É.map"]),
        (["é", "LIB/"], ["lib/App.js", "lib/app.css", "É.map"]),
        (["nowhere"], []),
        (["*"], []),
        ([""], ["100%_done", "Straße.txt", "lib/App.js", "lib/app.css", "z", "É.map"]),
        (["", "app"], ["100%_done", "Straße.txt", "lib/App.js", "lib/app.css", "z", "É.map"]),
    ],
)
def test_a_part_of_the_name_is_sought_in_any_case_and_form(shelf: Shelf, contains: list[str], found: list[str]) -> None:
    fill(shelf)

    assert names(shelf, contains=contains) == found


def test_projects_dists_and_digests_are_sought(shelf: Shelf) -> None:
    fill(shelf)

    assert names(shelf, projects=["web"]) == ["lib/app.css", "É.map"]
    assert names(shelf, projects=[None]) == ["Straße.txt", "lib/App.js"]
    assert names(shelf, projects=[None, "api"]) == ["100%_done", "Straße.txt", "lib/App.js", "z"]
    assert names(shelf, dists=["linux"]) == ["Straße.txt", "lib/app.css", "z"]
    assert names(shelf, dists=[""]) == ["100%_done", "lib/App.js", "É.map"]
    assert names(shelf, dists=["", "linux", "x"]) == names(shelf)
    assert names(shelf, sha256=[digest(b"one")]) == ["Straße.txt", "lib/App.js"]
    assert names(shelf, sha256=[digest(b"one"), digest(b"two")], dists=["linux"]) == ["Straße.txt", "lib/app.css"]
    assert names(shelf, contains=["lib"], projects=["web"], sha256=[digest(b"two")]) == ["lib/app.css"]
    assert names(shelf, sha256=[digest(b"nobody's")]) == []


def test_content_of_another_organization_is_not_found(shelf: Shelf) -> None:
    other = Acme(shelf.db, "web", slug="other")
    other.release("app@1.0.0", "web")
    shelf.send(b"theirs", shelf.draft(organization="other"), access=other.everybody)
    shelf.upload(b"ours")

    assert names(shelf, sha256=[digest(b"theirs")]) == []


def test_only_what_the_caller_sees_is_found(shelf: Shelf) -> None:
    fill(shelf)
    web = shelf.acme.member_of("web")

    assert names(shelf, access=web, dists=["linux", ""]) == ["Straße.txt", "lib/App.js", "lib/app.css", "É.map"]
    assert names(shelf, access=web, projects=["web", None]) == ["Straße.txt", "lib/App.js", "lib/app.css", "É.map"]
    for project in ("api", "nobody-has-this"):
        with pytest.raises(ProjectForbidden):
            names(shelf, access=web, projects=[project])


def test_a_walk_that_finds_little_ends_and_goes_on_at_the_next_page(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.files.list.MOST_WALKED", 5)
    for number in range(20):
        shelf.upload(b"", f"{number:02}", dist="x" if number in (3, 11) else None)

    first = page(shelf, PageRequest(10), dists=["x"])
    second = page(shelf, PageRequest(10, first.next), dists=["x"])
    third = page(shelf, PageRequest(10, second.next), dists=["x"])

    assert [[file.file_name for file in each.items] for each in (first, second, third)] == [["03"], [], ["11"]]
    assert names(shelf, size=1, dists=["x"]) == names(shelf, size=10, dists=["x"]) == ["03", "11"]


def test_files_of_sought_content_are_found_at_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.files.list.MOST_WALKED", 2)
    for number in range(20):
        shelf.upload(b"rare" if number in (3, 11, 19) else b"", f"{number:02}")

    found = page(shelf, PageRequest(10), sha256=[digest(b"rare")])

    assert [file.file_name for file in found.items] == ["03", "11", "19"]
    assert found.next is None
    monkeypatch.setattr("store.files.list.MOST_SOUGHT", 3)
    walked = page(shelf, PageRequest(10), sha256=[digest(b"rare")])
    assert [file.file_name for file in walked.items] == []
    assert names(shelf, size=2, sha256=[digest(b"rare")]) == ["03", "11", "19"]


ROWS = st.lists(
    st.tuples(st.sampled_from("abcAB"), st.sampled_from([None, "web", "api"]), st.sampled_from(["", "x", "y"])),
    unique=True,
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_pages_hold_what_a_plain_look_at_all_files_finds(shelf: Shelf, data: st.DataObject) -> None:
    files = data.draw(ROWS)
    version = f"app@{uuid.uuid4().hex}"
    shelf.acme.release(version, "web", "api")
    for index, (name, project, dist) in enumerate(files):
        shelf.upload(CONTENTS[index % 3], name, version=version, project=project, dist=dist or None)
    contains = data.draw(st.sets(st.sampled_from("ab"), max_size=2))
    projects = data.draw(st.sets(st.sampled_from([None, "web", "api"]), max_size=2))
    dists = data.draw(st.sets(st.sampled_from(["", "x", "y", "z"]), max_size=2))
    sha256 = data.draw(st.sets(st.sampled_from(CONTENTS), max_size=2))
    size, walked, most_sought = (data.draw(st.integers(1, 5)) for _ in range(3))

    expected = sorted(
        name
        for index, (name, project, dist) in enumerate(files)
        if (not contains or any(text in name.lower() for text in contains))
        and (not projects or project in projects)
        and (not dists or dist in dists)
        and (not sha256 or CONTENTS[index % 3] in sha256)
    )

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("store.files.list.MOST_WALKED", walked)
        patched.setattr("store.files.list.MOST_SOUGHT", most_sought)
        found = names(
            shelf,
            version=version,
            size=size,
            contains=contains,
            projects=projects,
            dists=dists,
            sha256=[digest(content) for content in sha256],
        )
    assert found == expected
