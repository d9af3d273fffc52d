"""SuggestValues over the wire."""

from __future__ import annotations

import grpc
import pytest
from releaseregistry.v1 import releases_pb2 as pb

from tests.rpc.wire import Metadata, Served, bearer, raises_reason

PARENT = "organizations/acme"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("api", "web"))
    return server


def suggest(
    acme: Served, key: str, prefix: str = "", *projects: str, size: int = 0, metadata: Metadata | None = None
) -> pb.SuggestValuesResponse:
    request = pb.SuggestValuesRequest(
        parent=PARENT,
        key=key,
        prefix=prefix,
        projects=[f"{PARENT}/projects/{slug}" for slug in projects],
        page_size=size,
    )
    return acme.releases.SuggestValues(request, metadata=metadata or acme.operator)


def test_values_begin_as_asked_and_are_of_the_projects_asked_for(acme: Served) -> None:
    acme.make_release(PARENT, "shop@1.0+7", "web")
    acme.make_release(PARENT, "shop@1.1+8", "api")
    acme.make_release(PARENT, "cart@1.0", "api")
    assert list(suggest(acme, "release", "shop@").values) == ["shop@1.0+7", "shop@1.1+8"]
    assert list(suggest(acme, "release", "shop@", "web").values) == ["shop@1.0+7"]
    assert list(suggest(acme, "release.package").values) == ["cart", "shop"]
    assert list(suggest(acme, "release.package", "", "web").values) == ["shop"]
    assert list(suggest(acme, "release.build", "", "web", "api").values) == ["7", "8"]


def test_the_labels_of_a_release_are_suggested_by_name_and_by_value(acme: Served) -> None:
    release = pb.Release(
        version="1.0", projects=[f"{PARENT}/projects/web"], labels={"team": "payments", "built on": "linux"}
    )
    acme.releases.CreateRelease(pb.CreateReleaseRequest(parent=PARENT, release=release), metadata=acme.operator)
    assert list(suggest(acme, "label").values) == ["built on", "team"]
    assert list(suggest(acme, "label.built on", "li").values) == ["linux"]
    assert list(suggest(acme, "label.nothing").values) == []


def test_a_member_is_told_of_its_projects_and_of_all_it_may_access_when_it_asks(acme: Served) -> None:
    acme.make_release(PARENT, "open", "web")
    acme.make_release(PARENT, "secret", "api")
    token = acme.make_token(PARENT, "release:read", projects=("web",))
    member = bearer(token)
    for projects in ((), ("-",), ("web",)):
        assert list(suggest(acme, "release", "", *projects, metadata=member).values) == ["open"]
    with raises_reason("PROJECT_FORBIDDEN", grpc.StatusCode.PERMISSION_DENIED):
        suggest(acme, "release", "", "api", metadata=member)


def test_twenty_values_come_unless_asked_for_otherwise_and_never_more_than_a_hundred(acme: Served) -> None:
    for number in range(101):
        acme.make_release(PARENT, f"v{number:03}", "web")
    for size, expected in ((0, 20), (3, 3), (100, 100), (1000, 100)):
        found = suggest(acme, "release", size=size)
        assert (len(found.values), found.incomplete) == (expected, True)
    assert not suggest(acme, "release", "v0", size=100).incomplete


@pytest.mark.parametrize(
    ("key", "prefix", "size", "field"),
    [
        ("", "", 0, "key"),
        ("releese", "", 0, "key"),
        ("label.", "", 0, "key"),
        ("k" * 81, "", 0, "key"),
        ("release", "p" * 256, 0, "prefix"),
        ("release", "a\nb", 0, "prefix"),
        ("release", "", -1, "page_size"),
    ],
)
def test_what_cannot_be_suggested_is_refused(acme: Served, key: str, prefix: str, size: int, field: str) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        suggest(acme, key, prefix, size=size)
    assert list(refusal.violations) == [field]
    if key == "releese":
        assert "did you mean release?" in refusal.violations["key"]
