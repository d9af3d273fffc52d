"""What an organization was answered, in a form in which two organizations can be compared byte for byte.

Only what must differ between any two organizations is made alike, by a rule that hides nothing else:

- an id that the server made (a UUID), and an etag, which is made of one, become the number of their first appearance
  in the transcript, so that the same thing is still the same thing;
- the organization's slug becomes `slug`;
- a time becomes its distance from the beginning of the script;
- a page token, which is signed for its caller, becomes the fact that there is one.
"""

from __future__ import annotations

import re
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tests.tenants.doors import METHODS, Answer

_ID: Final = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=etag=\'"r)[0-9]+-[0-9a-f]+')
_DETAILS: Final = {
    f"type.googleapis.com/google.rpc.{kind.DESCRIPTOR.name}": kind
    for kind in (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        error_details_pb2.RequestInfo,
    )
}


class Transcript:
    """The answers of one organization in one script, a text each."""

    def __init__(self, slug: str, *, begin_us: int) -> None:
        self.lines: list[str] = []
        self._slug, self._begin_us = slug, begin_us
        self._ids: dict[str, str] = {}

    def note(self, method: str, answer: Answer) -> None:
        """Add an answer."""
        said = [self._shown(METHODS[method].response_type.FromString(response)) for response in answer.responses]
        if answer.details:
            status = status_pb2.Status.FromString(answer.details)
            said += [self._shown(_DETAILS[detail.type_url].FromString(detail.value)) for detail in status.details]
        line = f"{method} {answer.code} {answer.message!r} {' '.join(said)}"
        self.lines.append(_ID.sub(self._numbered, line.replace(self._slug, "slug")))

    def _numbered(self, found: re.Match[str]) -> str:
        return self._ids.setdefault(found[0], f"id {len(self._ids) + 1}")

    def _shown(self, message: Message) -> str:
        if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
            time: Any = message
            return f"begin+{time.ToMicroseconds() - self._begin_us}us"
        return "{" + " ".join(self._field(field, value) for field, value in message.ListFields()) + "}"

    def _field(self, field: FieldDescriptor, value: Any) -> str:
        if field.name.endswith("page_token"):
            return f"{field.name}=there"
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            return f"{field.name}={sorted(value.items())}"
        if kind is not None:
            messages = value if field.is_repeated else [value]
            return f"{field.name}=[{', '.join(map(self._shown, messages))}]"
        return f"{field.name}={list(value) if field.is_repeated else value!r}"
