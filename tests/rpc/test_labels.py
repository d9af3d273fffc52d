"""Labels of releases over the wire."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from releaseregistry.v1 import releases_pb2 as pb

from tests.rpc.wire import Served, raises_reason

PARENT = "organizations/acme"
NAME = f"{PARENT}/releases/1.0.0"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("web",))
    return server


def create(acme: Served, **labels: str) -> pb.Release:
    release = pb.Release(version="1.0.0", projects=[f"{PARENT}/projects/web"], labels=labels)
    request = pb.CreateReleaseRequest(parent=PARENT, release=release)
    return acme.releases.CreateRelease(request, metadata=acme.operator).release


def update(acme: Served, *paths: str, **fields: Any) -> pb.Release:
    request = pb.UpdateReleaseRequest(release=pb.Release(name=NAME, **fields), update_mask=FieldMask(paths=paths))
    return acme.releases.UpdateRelease(request, metadata=acme.operator).release


def read(acme: Served, view: Any = pb.RELEASE_VIEW_FULL) -> pb.Release:
    return acme.releases.GetRelease(pb.GetReleaseRequest(name=NAME, view=view), metadata=acme.operator).release


def listed(acme: Served, view: Any = pb.RELEASE_VIEW_BASIC) -> pb.Release:
    request = pb.ListReleasesRequest(parent=PARENT, view=view)
    (release,) = acme.releases.ListReleases(request, metadata=acme.operator).releases
    return release


def test_every_answer_tells_the_labels(acme: Served) -> None:
    created = create(acme, team="payments", risk="low")
    assert dict(created.labels) == {"team": "payments", "risk": "low"}
    for view in (pb.RELEASE_VIEW_FULL, pb.RELEASE_VIEW_BASIC):
        assert read(acme, view).labels == created.labels
        assert listed(acme, view).labels == created.labels
    assert update(acme, ref="main").labels == created.labels
    assert create(acme, team="other").labels == created.labels


def test_labels_are_replaced_without_a_mask_where_there_are_some(acme: Served) -> None:
    before = create(acme, team="payments", risk="low")
    after = update(acme, labels={"team": "search"})
    assert dict(after.labels) == {"team": "search"}
    assert after.etag != before.etag
    assert dict(update(acme, ref="main", labels={}).labels) == {"team": "search"}


@pytest.mark.parametrize("path", ["labels", "*"])
def test_labels_that_are_named_and_empty_are_cleared(acme: Served, path: str) -> None:
    create(acme, team="payments")
    assert dict(update(acme, path).labels) == {}
    assert dict(read(acme).labels) == {}


def test_an_etag_of_before_other_labels_is_refused(acme: Served) -> None:
    before = create(acme, team="payments")
    update(acme, labels={"team": "search"})
    with raises_reason("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        update(acme, labels={"team": "payments"}, etag=before.etag)
    assert dict(read(acme).labels) == {"team": "search"}


@pytest.mark.parametrize(
    ("labels", "field"),
    [
        ({"": "v"}, 'release.labels[""]'),
        ({"team": ""}, 'release.labels["team"]'),
        ({"team": "two\nlines"}, 'release.labels["team"]'),
        ({"team": " payments"}, 'release.labels["team"]'),
        ({"k" * 65: "v"}, f'release.labels["{"k" * 40}"]'),
        ({f"k{number}": "v" for number in range(65)}, "release.labels"),
    ],
)
def test_what_is_no_label_is_refused(acme: Served, labels: dict[str, str], field: str) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        create(acme, **labels)
    assert list(refusal.violations) == [field]
    create(acme)
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        update(acme, labels=labels)
    assert dict(read(acme).labels) == {}
