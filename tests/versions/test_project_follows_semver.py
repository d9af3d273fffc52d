"""Whether a project uses semantic versions, seen from its newest releases (behaviour.md, Versions)."""

import pytest

from store.releases.version import follows_semver

# "s" is a semantic release, "-" another one; the newest stands first.
FOLLOWS = ["s", "ss", "s-", "s--", "-s-", "--s", "sss", "--s------", "s--------", "-s-s-----s", "s-------ss"]
FOLLOWS += ["sssss-----", "ssssssssss", "sss-------", "sss-------ssss", "s--s-----s----------"]
DOES_NOT = ["", "-", "--", "-s", "---", "---s", "---ssssss", "----------", "---sssssss", "s---------", "ss--------"]
DOES_NOT += ["s-------s-", "-s--s-----", "s---------ssssss", "----------s"]


@pytest.mark.parametrize("releases", FOLLOWS)
def test_a_project_follows_semver_with(releases: str) -> None:
    assert follows_semver([release == "s" for release in releases]) is True


@pytest.mark.parametrize("releases", DOES_NOT)
def test_a_project_does_not_follow_semver_with(releases: str) -> None:
    assert follows_semver([release == "s" for release in releases]) is False
