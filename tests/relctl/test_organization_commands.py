"""`relctl avatar`, and the commands that change and delete organizations and projects."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.pictures import opened, picture
from tests.relctl.command_line import Relctl
from tests.rpc.wire import Served


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    path = tmp_path / "logo.jpeg"
    path.write_bytes(picture("JPEG"))
    return path


def test_a_picture_is_set_and_read_back(ctl: Relctl, logo: Path, tmp_path: Path) -> None:
    assert "stands for acme" in ctl.ok("avatar", "set", logo).out
    target = tmp_path / "avatar.png"
    ctl.ok("avatar", "get", "--size", "60", "-o", target)
    assert opened(target.read_bytes()).size == (64, 64)
    (shown,) = ctl.json("org", "get")
    assert shown["avatar_type"] == "AVATAR_TYPE_UPLOAD"
    (answer,) = ctl.json("avatar", "get")
    assert answer["avatar_uid"] == shown["avatar_uid"]
    assert opened(base64.b64decode(answer["data"])).size == (120, 120)


def test_without_an_output_nothing_is_replaced(
    ctl: Relctl, logo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ctl.ok("avatar", "set", logo)
    ctl.ok("avatar", "get")
    before = Path("acme.png").read_bytes()
    assert "acme.png exists" in ctl.fails(6, "LOCAL", "avatar", "get", "--size", "20")
    assert Path("acme.png").read_bytes() == before
    ctl.ok("avatar", "get", "--size", "20", "-o", "acme.png")
    assert opened(Path("acme.png").read_bytes()).size == (20, 20)


def test_what_is_no_picture_is_refused_in_one_line(ctl: Relctl, tmp_path: Path) -> None:
    ctl.fails(3, "AVATAR_NOT_FOUND", "avatar", "get")
    ctl.fails(6, "LOCAL", "avatar", "set", tmp_path / "nothing.png")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(5_000_001))
    assert "5,000,000" in ctl.fails(6, "LOCAL", "avatar", "set", large)
    other = tmp_path / "other.png"
    other.write_bytes(picture("PNG", (256, 300)))
    assert "is 256 by 300 pixels" in ctl.fails(1, "AVATAR_INVALID", "avatar", "set", other)


def test_every_option_of_an_organization_is_changed_alone(ctl: Relctl, logo: Path) -> None:
    ctl.ok("avatar", "set", logo)
    (first,) = ctl.json("org", "update", "acme", "--avatar", "letter", "--join-requests", "--early-adopter")
    assert (first["avatar_type"], first["join_requests"]) == ("AVATAR_TYPE_LETTER", True)
    roles = ("--debug-files-role", "release:admin", "--attachments-role", "org:read")
    flags = ("--avatar", "upload", "--no-join-requests", "--events-member-admin", "--alerts-member-write")
    (second,) = ctl.json("org", "update", "acme", *roles, *flags)
    assert (second["debug_files_role"], second["attachments_role"]) == ("release:admin", "org:read")
    told = ("join_requests", "early_adopter", "events_member_admin", "alerts_member_write")
    assert [second[name] for name in told] == [False, True, True, True]
    assert second["avatar_type"] == "AVATAR_TYPE_UPLOAD"
    assert ctl.json("org", "update", "acme", "--debug-files-role", "")[0]["debug_files_role"] == ""
    assert "no scope" in ctl.fails(1, "INVALID_FIELD", "org", "update", "acme", "--attachments-role", "nobody")


def test_an_organization_is_deleted_when_that_is_meant(acme: Served, ctl: Relctl) -> None:
    ctl.fails(2, "USAGE", "org", "delete", "acme")
    ctl.fails(1, "HAS_CHILDREN", "org", "delete", "acme", "--yes")
    ctl.ok("org", "delete", "acme", "--yes", "--force")
    ctl.fails(3, "ORGANIZATION_NOT_FOUND", "org", "get", "acme")


def test_a_project_is_deleted_when_that_is_meant(ctl: Relctl) -> None:
    ctl.fails(2, "USAGE", "project", "delete", "web")
    assert "has 1 release;" in ctl.fails(1, "HAS_CHILDREN", "project", "delete", "web", "--yes")
    ctl.ok("project", "delete", "web", "--yes", "--force")
    assert ctl.json("project", "list") == []
    assert ctl.json("release", "list") == []
