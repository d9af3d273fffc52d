"""CompareReleases, FindReleasesByCommit and ListChangedFiles over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from releaseregistry.v1 import commits_pb2, comparisons_pb2, releases_pb2

from store.releases import compare_files
from tests.rpc.sending import frames, header
from tests.rpc.wire import Served, raises_reason

PARENT = "organizations/acme"
ADDED, DELETED = commits_pb2.CHANGE_TYPE_ADDED, commits_pb2.CHANGE_TYPE_DELETED


def commit(id_: str, email: str, message: str, **paths: commits_pb2.ChangeType) -> commits_pb2.Commit:
    return commits_pb2.Commit(
        id=id_,
        repository="acme/web",
        author_email=email,
        message=message,
        changed_files=[commits_pb2.ChangedFile(path=path, change_type=kind) for path, kind in paths.items()],
    )


@pytest.fixture
def acme(server: Served) -> Served:
    """Releases 1.0.0 (c1, shared) and 2.0.0 (c2, shared)."""
    server.make_organization("acme", projects=("web",))
    shared = commit("shared00", "both@acme.dev", "Fixes WEB-1", shared=ADDED)
    for version, own in (
        ("1.0.0", commit("c1c1c1c1", "old@acme.dev", "Fixes WEB-2", a=ADDED, b=DELETED)),
        ("2.0.0", commit("c2c2c2c2", "new@acme.dev", "Closes: web-3, WEB-1", c=ADDED)),
    ):
        server.make_release(PARENT, version, "web")
        request = commits_pb2.SetCommitsRequest(
            name=f"{PARENT}/releases/{version}", commits=[own, shared], finish=True, commit_count=2
        )
        server.releases.SetCommits(iter([request]), metadata=server.operator)
    return server


def compared(acme: Served, section: str, **fields: Any) -> list[tuple[str, Any]]:
    request = comparisons_pb2.CompareReleasesRequest(
        **{
            "name": f"{PARENT}/releases/2.0.0",
            "base": f"{PARENT}/releases/1.0.0",
            "section": f"COMPARISON_SECTION_{section}",
            **fields,
        }
    )
    found: list[tuple[str, Any]] = []
    while True:
        answer = acme.releases.CompareReleases(request, metadata=acme.operator)
        for each in answer.differences:
            side = comparisons_pb2.ComparisonSide.Name(each.side).removeprefix("COMPARISON_SIDE_")
            subject = each.WhichOneof("subject")
            assert subject is not None
            found.append((side, getattr(each, subject)))
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


@pytest.mark.parametrize("page_size", [0, 1])
def test_each_section_answers_what_the_releases_do_not_share(acme: Served, page_size: int) -> None:
    def found(section: str) -> list[tuple[str, Any]]:
        return compared(acme, section, page_size=page_size)

    assert [(side, it.id) for side, it in found("COMMITS")] == [("ADDED", "c2c2c2c2"), ("REMOVED", "c1c1c1c1")]
    assert [(side, it.path, it.change_type) for side, it in found("CHANGED_FILES")] == [
        ("ADDED", "c", ADDED),
        ("REMOVED", "a", ADDED),
        ("REMOVED", "b", DELETED),
    ]
    assert [(side, it.email) for side, it in found("AUTHORS")] == [
        ("ADDED", "new@acme.dev"),
        ("REMOVED", "old@acme.dev"),
    ]
    assert found("REFERENCES") == [("ADDED", "WEB-3"), ("REMOVED", "WEB-2")]


@pytest.mark.parametrize("page_size", [0, 1])
@pytest.mark.parametrize("most", [1, 10_000])
def test_files_differ_by_name_and_digest(
    acme: Served, page_size: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_files, "MOST_WALKED", most)

    def upload(version: str, file_name: str, content: bytes) -> None:
        first = header(parent=f"{PARENT}/releases/{version}", file_name=file_name)
        acme.releases.UploadReleaseFile(frames(content, first), metadata=acme.operator)

    for version, file_name, content in (
        ("1.0.0", "same.js", b"same"),
        ("2.0.0", "same.js", b"same"),
        ("1.0.0", "changed.js", b"old"),
        ("2.0.0", "changed.js", b"new"),
        ("1.0.0", "gone.js", b"gone"),
        ("2.0.0", "new.js", b"new"),
    ):
        upload(version, file_name, content)
    found = compared(acme, "FILES", page_size=page_size)
    assert [(side, it.file.file_name, it.base_file.file_name) for side, it in found] == [
        ("CHANGED", "changed.js", "changed.js"),
        ("REMOVED", "", "gone.js"),
        ("ADDED", "new.js", ""),
    ]
    assert found[0][1].file.sha256 != found[0][1].base_file.sha256


def test_a_release_with_files_is_like_itself(acme: Served) -> None:
    first = header(parent=f"{PARENT}/releases/1.0.0", file_name="app.js")
    acme.releases.UploadReleaseFile(frames(b"one", first), metadata=acme.operator)
    same = {"name": f"{PARENT}/releases/1.0.0", "base": f"{PARENT}/releases/1.0.0"}
    for section in ("COMMITS", "CHANGED_FILES", "AUTHORS", "REFERENCES", "FILES"):
        assert compared(acme, section, **same) == []


def test_what_cannot_be_compared_is_named(acme: Served) -> None:
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        compared(acme, "UNSPECIFIED")
    assert list(refusal.violations) == ["section"]
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        compared(acme, "COMMITS", base=f"{PARENT}/releases/3.0.0")
    acme.make_organization("other", projects=("web",))
    acme.make_release("organizations/other", "1.0.0", "web")
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        compared(acme, "COMMITS", base="organizations/other/releases/1.0.0")
    assert list(refusal.violations) == ["base"]


def holding(acme: Served, commit_id: str, **fields: Any) -> releases_pb2.FindReleasesByCommitResponse:
    request = releases_pb2.FindReleasesByCommitRequest(parent=PARENT, commit_id=commit_id, **fields)
    return acme.releases.FindReleasesByCommit(request, metadata=acme.operator)


def test_the_releases_of_a_commit_are_found_by_the_beginning_of_its_id(acme: Served) -> None:
    found = holding(acme, "shar")
    assert [each.id for each in found.commits] == ["shared00"]
    assert found.first.release.version == "1.0.0"
    assert [each.release.version for each in found.releases] == ["1.0.0", "2.0.0"]
    first = holding(acme, "shared00", page_size=1)
    second = holding(acme, "shared00", page_size=1, page_token=first.next_page_token)
    assert [each.release.version for each in second.releases] == ["2.0.0"]
    assert not second.HasField("first")
    assert holding(acme, "shared00", page_size=1, page_token=second.previous_page_token).releases == first.releases


def test_a_commit_that_is_not_there_or_not_alone_is_refused(acme: Served) -> None:
    request = commits_pb2.SetCommitsRequest(
        name=f"{PARENT}/releases/1.0.0",
        mode=commits_pb2.COMMIT_MODE_APPEND,
        commits=[commits_pb2.Commit(id="c1c1ffff")],
        finish=True,
        commit_count=1,
    )
    acme.releases.SetCommits(iter([request]), metadata=acme.operator)
    with raises_reason("COMMIT_AMBIGUOUS", "INVALID_ARGUMENT") as refusal:
        holding(acme, "c1c1")
    assert refusal.metadata == {"commit_id": "c1c1", "commit_ids": "c1c1c1c1, c1c1ffff"}
    with raises_reason("COMMIT_NOT_FOUND", "NOT_FOUND") as refusal:
        holding(acme, "deadbeef")
    assert refusal.metadata == {"commit_id": "deadbeef"}
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        holding(acme, "c1c")


def test_changed_files_are_listed_filtered_and_counted(acme: Served) -> None:
    def changed(**fields: Any) -> commits_pb2.ListChangedFilesResponse:
        request = commits_pb2.ListChangedFilesRequest(parent=f"{PARENT}/releases/1.0.0", **fields)
        return acme.releases.ListChangedFiles(request, metadata=acme.operator)

    whole = changed(with_counts=True)
    assert [(each.repository, each.commit_id, each.path) for each in whole.changes] == [
        ("acme/web", "c1c1c1c1", "a"),
        ("acme/web", "c1c1c1c1", "b"),
        ("acme/web", "shared00", "shared"),
    ]
    assert [(each.change_type, each.change_count) for each in whole.counts] == [(ADDED, 2), (DELETED, 1)]
    assert [each.path for each in changed(path_prefix="sha").changes] == ["shared"]
    assert [each.path for each in changed(change_types=[DELETED]).changes] == ["b"]
    assert not changed(repository="nowhere").changes
    assert not changed().counts
    first = changed(page_size=2)
    assert [each.path for each in changed(page_size=2, page_token=first.next_page_token).changes] == ["shared"]
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        changed(change_types=[commits_pb2.CHANGE_TYPE_UNSPECIFIED])
