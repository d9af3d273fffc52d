"""What the contract lets callers say is read by the server, and has limits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from releaseregistry.v1 import annotations_pb2

from server.app import HealthServicer, ReleaseServicer, UploadServicer
from server.edge.annotations import rules_of
from server.edge.calls import Call
from server.names import parse_release
from server.servicers.admin import AdminServicer
from server.servicers.deploys import DeployServicer
from server.servicers.organizations import OrganizationServicer
from server.servicers.tokens import TokenServicer
from tests.protos.reading import Reached, fields_of_requests, is_map, reached, read_by
from tests.rpc.serving import SERVICES

METHODS: list[MethodDescriptor] = [method for service in SERVICES for method in service.methods]
FIELDS = fields_of_requests(METHODS)
LIMITED_BY_FORM = {
    annotations_pb2.TEXT_FORMAT_SLUG,
    annotations_pb2.TEXT_FORMAT_VERSION,
    annotations_pb2.TEXT_FORMAT_UUID,
    annotations_pb2.TEXT_FORMAT_SHA256,
    annotations_pb2.TEXT_FORMAT_ENVIRONMENT,
    annotations_pb2.TEXT_FORMAT_ANY_ENVIRONMENT,
}
SIGNED = {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64}


@pytest.fixture(scope="module")
def looks() -> tuple[set[str], set[str]]:
    """The fields that the handlers of all methods read, and those that they take for names."""
    store: Any = _Store()
    servicers = (
        OrganizationServicer(store),
        TokenServicer(store),
        ReleaseServicer(store),
        DeployServicer(store),
        UploadServicer(store),
        HealthServicer(store),
        AdminServicer(store, store.collector),
    )
    read, named = set(), set()
    for service, servicer in zip(SERVICES, servicers, strict=True):
        for method in service.methods:
            if not method.input_type.fields:
                continue
            its_read, its_named = read_by(method, getattr(servicer, method.name))
            read |= its_read
            named |= its_named
    return read, named


class _Store:
    """A store that nobody comes to."""

    db = None
    blobs = SimpleNamespace(packs=None)
    sought = SimpleNamespace(in_projects=lambda _: None, in_organization=lambda *_: None)
    collector = SimpleNamespace(cutoff=lambda: 0, preview=reached, collect=reached)


def test_every_field_that_a_caller_may_fill_is_read(looks: tuple[set[str], set[str]]) -> None:
    read, _ = looks
    assert sorted(FIELDS.keys() - read) == []


def test_a_field_that_a_handler_forgets_is_found() -> None:
    def forgetful(request: Any, _: Call) -> None:
        name = parse_release(request.name, field="name")
        assert name.version == "app@1.0.0"
        raise Reached

    (method,) = (method for method in METHODS if method.name == "GetRelease")
    read, named = read_by(method, forgetful)
    assert (read, named) == ({"GetReleaseRequest.name"}, {"GetReleaseRequest.name"})
    forgotten = ("environments", "health_options", "project", "query", "statuses", "view")
    of_request = [path for path in fields_of_requests([method]) if path.startswith("GetReleaseRequest.")]
    assert sorted(set(of_request) - read) == [f"GetReleaseRequest.{name}" for name in forgotten]


def test_a_handler_that_answers_out_of_the_blue_is_found() -> None:
    with pytest.raises(AssertionError, match="WhoAmI answers without asking the store"):
        read_by(next(method for method in METHODS if method.name == "WhoAmI"), lambda *_: None)


def test_every_text_is_a_name_or_has_a_limit(looks: tuple[set[str], set[str]]) -> None:
    _, named = looks
    texts = {
        path: rules_of(field)
        for path, field in FIELDS.items()
        if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    }
    unlimited = {
        path
        for path, rules in texts.items()
        if not rules.max_chars and not rules.max_bytes and rules.format not in LIMITED_BY_FORM
    }
    # The language has limits of its own: what is too long is refused with QUERY_INVALID (tests/search).
    # What is refused one by one is refused in the answer, and not told here.
    one_by_one = [field.message_type for field in FIELDS.values() if rules_of(field).one_by_one]
    named |= {f"{message.name}.project" for message in one_by_one if message is not None}
    # The language has limits of its own: what is too long is refused with QUERY_INVALID (tests/search).
    queries = {path for path in unlimited if path.endswith(".query")}
    assert queries
    assert sorted(unlimited - named - queries) == []


def test_every_list_and_map_has_a_limit() -> None:
    lists = {path: rules_of(field).max_items for path, field in FIELDS.items() if field.is_repeated}
    assert [path for path, most in lists.items() if not most] == []
    assert max(lists.values()) <= 10_000
    assert [path for path, most in lists.items() if is_map(FIELDS[path]) and most > 1_000] == []
    assert any(is_map(FIELDS[path]) for path in lists)


def test_every_signed_number_says_that_it_is_not_negative() -> None:
    numbers = {path: rules_of(field) for path, field in FIELDS.items() if field.type in SIGNED}
    assert numbers
    assert [path for path, rules in numbers.items() if not rules.not_negative] == []
