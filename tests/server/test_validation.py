"""The checks of requests agree with the contract, whatever message and value they meet."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from releaseregistry.v1 import annotations_pb2, commits_pb2, releases_pb2

from server.edge.errors import InvalidFields
from server.edge.methods import methods_of
from server.edge.validation import validate
from tests.rpc.serving import SERVICES


def violations(message: Message) -> dict[str, str]:
    try:
        validate(message)
    except InvalidFields as error:
        return {violation.field: violation.description for violation in error.violations}
    return {}


def test_a_good_request_passes() -> None:
    request = releases_pb2.CreateReleaseRequest(
        parent="organizations/acme",
        release=releases_pb2.Release(version="app@1.0.0", url="https://example.com/a?b#c", owner="Ada\u00a0Löwe 👋"),
        commits=[
            commits_pb2.Commit(
                id="a" * 64,
                message="two\nlines\ttab",
                changed_files=[commits_pb2.ChangedFile(path="a\nb", change_type=commits_pb2.CHANGE_TYPE_DELETED)],
            )
        ],
        request_id="1F0e8c7a-3b52-4d6e-9a10-2b7c5d8e9f01",
    )
    assert violations(request) == {}


def test_what_the_server_fills_in_is_not_looked_at() -> None:
    release = releases_pb2.Release(version="1.0", user_agent="\0", commit_count=-1)
    release.last_commit.id = "\0"
    release.create_time.nanos = -1
    assert violations(releases_pb2.CreateReleaseRequest(parent="organizations/a", release=release)) == {}


def test_every_bad_field_is_named_at_once() -> None:
    request = releases_pb2.CreateReleaseRequest(
        release=releases_pb2.Release(version=" ", url="ftp://x"), commits=[commits_pb2.Commit()], request_id="x"
    )
    assert set(violations(request)) == {"parent", "release.version", "release.url", "commits[0].id", "request_id"}


def test_characters_are_counted_and_not_bytes() -> None:
    good = releases_pb2.Release(version="1", owner="\U0001f600" * 200)
    assert violations(releases_pb2.CreateReleaseRequest(parent="p", release=good)) == {}


def test_every_request_message_of_the_contract_can_be_checked() -> None:
    for service in SERVICES:
        for method in methods_of(service):
            violations(method.request_type())


POOL = descriptor_pool.Default()


def message_class(field: str, *, imports: str = "") -> type[Message]:
    """A message type with one field, `f`, made for a test; the contract has no example of every rule."""
    number = len(MADE)
    text = f"""
        name: "tests/made_{number}.proto" package: "tests.made" syntax: "proto3" {imports}
        message_type {{ name: "M{number}" field {{ name: "f" number: 1 {field} }} }}
    """
    file = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    POOL.Add(file) if hasattr(POOL, "Add") else POOL.AddSerializedFile(file.SerializeToString())
    MADE.append(f"M{number}")
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"tests.made.M{number}"))


MADE: list[str] = []


def scalar(kind: str, **rules: Any) -> type[Message]:
    options = descriptor_pb2.FieldOptions()
    extension: Any = annotations_pb2.rules
    options.Extensions[extension].CopyFrom(annotations_pb2.FieldRules(**rules))
    encoded = text_format.MessageToString(options, as_one_line=True)
    return message_class(f"type: {kind} label: LABEL_OPTIONAL options {{ {encoded} }}")


@pytest.mark.parametrize("kind", ["TYPE_UINT64", "TYPE_FIXED64"])
def test_an_unsigned_number_that_no_database_keeps_is_refused(kind: str) -> None:
    made = scalar(kind)
    assert violations(made(f=2**63 - 1)) == {}
    assert set(violations(made(f=2**63))) == {"f"}
    assert set(violations(made(f=2**64 - 1))) == {"f"}


@pytest.mark.parametrize("kind", ["TYPE_INT32", "TYPE_INT64"])
def test_a_negative_number_is_refused_where_the_contract_says_so(kind: str) -> None:
    bounded = scalar(kind, not_negative=True)
    assert violations(bounded(f=0)) == {}
    assert set(violations(bounded(f=-1))) == {"f"}
    assert violations(scalar(kind)(f=-1)) == {}


@settings(max_examples=300)
@given(
    text=st.text(max_size=12) | st.sampled_from(["", "\0", "a\nb", "\x85", "\u2029", "é" * 9, "https://a", "a" * 64]),
    required=st.booleans(),
    max_chars=st.sampled_from([0, 4]),
    format_=st.sampled_from(annotations_pb2.TextFormat.values()),
)
def test_the_quick_check_and_the_slow_walk_agree(text: str, required: bool, max_chars: int, format_: int) -> None:
    key = (required, max_chars, format_)
    if key not in KINDS:
        KINDS[key] = scalar("TYPE_STRING", required=required, max_chars=max_chars, format=format_)
    message = KINDS[key](f=text)
    try:
        validate(message)
    except InvalidFields:
        refused = True  # a refusal by the quick check that the walk did not find would be an IndexError
    else:
        refused = False
    if not text:
        assert refused == required
    if max_chars and len(text) > max_chars:
        assert refused
    if "\0" in text:
        assert refused


KINDS: dict[tuple[bool, int, int], type[Message]] = {}
