"""Resource names: taken apart only in the form that the contract shows, and put together the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import names
from server.edge.errors import InvalidName
from store.releases.version import InvalidVersion, check_version

ID = uuid.UUID("0190b3a2-5c1e-7d3f-8a4b-5c6d7e8f9012")


def test_names_come_apart_and_together() -> None:
    assert names.parse_organization("organizations/acme", field="parent") == "acme"
    project = names.parse_project("organizations/acme/projects/web", field="name")
    assert (project, names.project_name(*project)) == (("acme", "web"), "organizations/acme/projects/web")
    repository = names.parse_repository(f"organizations/acme/repositories/{ID}", field="name")
    assert repository == ("acme", ID.bytes)
    assert names.repository_name(*repository) == f"organizations/acme/repositories/{ID}"
    file = names.parse_file(f"organizations/acme/releases/app@1.0/files/{ID}", field="name")
    assert file == ("acme", "app@1.0", ID.bytes)
    assert names.file_name(*file) == f"organizations/acme/releases/app@1.0/files/{ID}"
    threshold = names.parse_threshold(f"organizations/acme/projects/web/thresholds/{ID}", field="name")
    assert threshold == ("acme", "web", ID.bytes)
    assert names.threshold_name(*threshold) == f"organizations/acme/projects/web/thresholds/{ID}"


def test_a_token_is_an_organizations_or_the_installations() -> None:
    assert names.parse_token(f"organizations/acme/tokens/{ID}", field="name") == ("acme", ID.bytes)
    assert names.parse_token(f"tokens/{ID}", field="name") == (None, ID.bytes)
    assert names.token_name(None, ID.bytes) == f"tokens/{ID}"
    assert names.token_name("acme", ID.bytes) == f"organizations/acme/tokens/{ID}"


def test_a_project_may_stand_for_all() -> None:
    assert names.parse_project("organizations/acme/projects/-", field="projects").project == "-"


@pytest.mark.parametrize(
    "version", ["app@1.0.0", "1.0 rc 1", "a%2Fb", "app+x:y@z%", "organizations", "ä@1.0", "releases"]
)
def test_a_version_stands_in_its_name_verbatim(version: str) -> None:
    name = names.parse_release(f"organizations/acme/releases/{version}", field="name")
    assert name == ("acme", version)
    assert names.release_name(*name) == f"organizations/acme/releases/{version}"


BAD: list[tuple[Callable[..., Any], str]] = [
    (names.parse_threshold, f"organizations/acme/thresholds/{ID}"),
    (names.parse_threshold, "organizations/acme/projects/web/thresholds/-"),
    (names.parse_threshold, f"organizations/acme/projects/web/thresholds/{ID}/"),
    (names.parse_organization, ""),
    (names.parse_organization, "acme"),
    (names.parse_organization, "organizations/"),
    (names.parse_organization, "organizations/acme/"),
    (names.parse_organization, "/organizations/acme"),
    (names.parse_organization, "organizations/Acme"),
    (names.parse_organization, "organizations/acme\n"),
    (names.parse_organization, "organizations/" + "a" * 51),
    (names.parse_organization, "organizations/a/b"),
    (names.parse_organization, "ORGANIZATIONS/acme"),
    (names.parse_project, "organizations/acme/projects/"),
    (names.parse_project, "organizations/acme/projects/a/b"),
    (names.parse_project, "organizations/acme/releases/web"),
    (names.parse_repository, "organizations/acme/repositories/17"),
    (names.parse_repository, f"organizations/acme/repositories/{ID.hex}"),
    (names.parse_repository, f"organizations/acme/repositories/{{{ID}}}"),
    (names.parse_token, f"tokens/{ID}/x"),
    (names.parse_token, f"/tokens/{ID}"),
    (names.parse_release, "organizations/acme/releases/"),
    (names.parse_release, "organizations/acme/releases/a/b"),
    (names.parse_release, "organizations/acme/releases/a "),
    (names.parse_release, "organizations/acme/releases/-"),
    (names.parse_release, "organizations/acme/releases/latest"),
    (names.parse_release, "organizations/acme/releases/a\\b"),
    (names.parse_release, "organizations/acme/releases/a\tb"),
    (names.parse_release, "organizations/acme/releases/" + "a" * 201),
    (names.parse_file, "organizations/acme/releases/a/files/b"),
    (names.parse_file, f"organizations/acme/releases/latest/files/{ID}"),
]


@pytest.mark.parametrize("parse,text", BAD)
def test_another_form_is_refused_with_the_form_that_is_expected(parse: Callable[..., Any], text: str) -> None:
    with pytest.raises(InvalidName) as refused:
        parse(text, field="the.field")
    assert refused.value.metadata["field"] == "the.field"
    assert refused.value.metadata["expected"].startswith("organizations/{organization}")
    assert [violation.field for violation in refused.value.violations] == ["the.field"]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (names.parse_release, f"organizations/acme/releases/{'a' * 201}"),
        (names.parse_file, f"organizations/acme/releases/{'a' * 201}/files/{ID}"),
    ],
)
def test_a_name_with_a_version_that_is_too_long_is_told_the_limit(parse: Callable[..., Any], text: str) -> None:
    with pytest.raises(InvalidName, match="its version has 201 characters, and at most 200 are allowed"):
        parse(text, field="name")


@given(st.text(max_size=220))
def test_a_release_can_be_named_exactly_when_its_version_is_valid(version: str) -> None:
    try:
        check_version(version)
        valid = True
    except InvalidVersion:
        valid = False
    name = names.release_name("acme", version)
    if valid:
        assert names.parse_release(name, field="name").version == version
    else:
        with pytest.raises(InvalidName):
            names.parse_release(name, field="name")


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_written_as_its_uuid(raw: bytes) -> None:
    assert names.uid(raw) == str(uuid.UUID(bytes=raw))
    assert names.parse_uid(names.uid(raw)) == raw
