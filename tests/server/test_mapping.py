"""Times and masks: between the contract's messages and the store's values."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from releaseregistry.v1 import organizations_pb2, releases_pb2

from server.edge.errors import InvalidMask
from server.edge.validation import MAX_SECONDS, MIN_SECONDS
from server.mapping.masks import changed_paths
from server.mapping.times import optional_micros, optional_timestamp, to_micros, to_timestamp

ALLOWED = ("status", "ref", "url", "owner", "release_time")


@given(st.integers(MIN_SECONDS * 1_000_000, MAX_SECONDS * 1_000_000 + 999_999))
def test_a_time_survives_the_way_to_the_contract_and_back(micros: int) -> None:
    timestamp = to_timestamp(micros)
    assert 0 <= timestamp.nanos < 1_000_000_000
    assert to_micros(timestamp) == micros
    assert timestamp.ToMicroseconds() == micros


def test_what_is_finer_than_a_microsecond_is_dropped() -> None:
    assert to_micros(Timestamp(seconds=-1, nanos=999)) == -1_000_000
    assert to_micros(Timestamp(seconds=1, nanos=1999)) == 1_000_001


def test_a_time_that_is_not_set_is_none() -> None:
    assert optional_micros(releases_pb2.Release(), "release_time") is None
    # The epoch is a time, and not the same as none.
    assert optional_micros(releases_pb2.Release(release_time=Timestamp()), "release_time") == 0
    assert optional_timestamp(None) is None
    assert optional_timestamp(0) == Timestamp()


def test_no_mask_changes_what_is_populated() -> None:
    release = releases_pb2.Release(ref="main", owner="", release_time=Timestamp(), version="1.0")
    assert changed_paths(release, FieldMask(), allowed=ALLOWED) == {"ref", "release_time"}
    organization = organizations_pb2.Organization(open_membership=False, display_name="Acme")
    allowed = ("slug", "display_name", "open_membership")
    assert changed_paths(organization, FieldMask(), allowed=allowed) == {"display_name"}


def test_a_star_changes_everything() -> None:
    assert changed_paths(releases_pb2.Release(), FieldMask(paths=["*"]), allowed=ALLOWED) == set(ALLOWED)


def test_a_named_field_is_changed_also_when_it_is_empty() -> None:
    assert changed_paths(releases_pb2.Release(), FieldMask(paths=["url", "url"]), allowed=ALLOWED) == {"url"}


def test_a_field_that_the_server_fills_in_is_ignored() -> None:
    mask = FieldMask(paths=["owner", "create_time", "commit_count"])
    assert changed_paths(releases_pb2.Release(), mask, allowed=ALLOWED) == {"owner"}


@pytest.mark.parametrize("path", ["versoin", "version", "name", "release_time.seconds", "", "Owner", "owner "])
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidMask) as refused:
        changed_paths(releases_pb2.Release(), FieldMask(paths=["owner", path]), allowed=ALLOWED)
    assert refused.value.metadata == {"path": path, "allowed": "status, ref, url, owner, release_time"}
