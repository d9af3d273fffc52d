"""How an error becomes a status: small enough for every client, whatever it holds."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from server.edge import errors
from server.edge.errors import CODES, MAX_DETAIL_BYTES, Internal, InvalidFields, code_of, cut_bytes, to_status
from store import errors as store_errors
from store.errors import FieldViolation, NotFound, RegistryError


def rich(error: RegistryError) -> status_pb2.Status:
    trailing = dict(to_status(error, request_id="r").trailing_metadata)
    encoded = trailing["grpc-status-details-bin"]
    assert isinstance(encoded, bytes)
    return status_pb2.Status.FromString(encoded)


def test_the_kind_decides_the_code() -> None:
    class Gone(NotFound):
        """A class of this test."""

    try:
        assert code_of(Gone("gone")) == grpc.StatusCode.NOT_FOUND
        assert code_of(Internal("id")) == grpc.StatusCode.INTERNAL
        assert code_of(RegistryError("of no kind")) == grpc.StatusCode.INTERNAL
    finally:
        del Gone  # else it would be an error class that no reason of the contract stands for


def test_every_kind_has_one_code_and_none_is_unknown() -> None:
    assert len(set(CODES.values())) == len(CODES)
    assert grpc.StatusCode.UNKNOWN not in CODES.values()
    assert grpc.StatusCode.OK not in CODES.values()


def test_a_status_tells_what_the_error_holds() -> None:
    error = store_errors.DatabaseBusy("Busy.", metadata={"a": "b"}, retry_after_seconds=1.25)
    status = to_status(error, request_id="the-call")
    assert (status.code, status.details) == (grpc.StatusCode.UNAVAILABLE, "Busy.")
    assert ("x-request-id", "the-call") in status.trailing_metadata
    told = rich(error)
    assert (told.code, told.message) == (14, "Busy.")
    info, retry, request = told.details
    assert error_details_pb2.ErrorInfo.FromString(info.value).metadata == {"a": "b"}
    delay = error_details_pb2.RetryInfo.FromString(retry.value).retry_delay
    assert (delay.seconds, delay.nanos) == (1, 250_000_000)
    assert request.Is(error_details_pb2.RequestInfo.DESCRIPTOR)


@given(
    message=st.text(max_size=2000),
    metadata=st.dictionaries(st.sampled_from("abcde"), st.text(max_size=2000)),
    violations=st.lists(st.tuples(st.text(max_size=400), st.text(max_size=800)), max_size=60),
)
def test_no_error_is_too_large_for_a_clients_metadata(
    message: str, metadata: dict[str, str], violations: list[tuple[str, str]]
) -> None:
    error = store_errors.InvalidArgument(
        message.encode(errors="replace").decode(),
        metadata={key: value.encode(errors="replace").decode() for key, value in metadata.items()},
        violations=[
            FieldViolation(field.encode(errors="replace").decode(), text.encode(errors="replace").decode())
            for field, text in violations
        ],
    )
    told = rich(error)
    assert told.ByteSize() <= MAX_DETAIL_BYTES
    listed = [
        error_details_pb2.BadRequest.FromString(each.value)
        for each in told.details
        if each.Is(error_details_pb2.BadRequest.DESCRIPTOR)
    ]
    count = sum(len(each.field_violations) for each in listed)
    info = error_details_pb2.ErrorInfo.FromString(told.details[0].value)
    assert count + int(info.metadata.get("violations_omitted", "0")) == len(violations)


def test_several_bad_fields_are_one_message_that_counts_the_others() -> None:
    error = InvalidFields([FieldViolation("a", "is bad"), FieldViolation("b", "is worse")])
    assert error.message == "a: is bad; and 1 more"
    assert error.reason == "INVALID_FIELD"


@pytest.mark.parametrize("text", ["é" * 400, "😀" * 400, "x" * 1000])
def test_a_text_is_cut_between_characters(text: str) -> None:
    assert len(cut_bytes(text, 600).encode()) <= 600
    assert cut_bytes("short", 600) == "short"
    assert errors.cut("x" * 10, 5) == "xxxx…"
