"""The resources that a message of the contract names, for logs, traces and the audit trail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from server.telemetry.call_tags import Named

MOST_NAMES: Final = 20
"""Of a message so many names are told at most, and of a list so many items are looked at."""
MOST_NAME_CHARS: Final = 300
MOST_DEPTH: Final = 3

_NUMBERS: Final = frozenset(
    {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_UINT32}
)
_FIELDS: Final = frozenset({"name", "parent", "names", "project", "projects", "release", "base"})
_RESOURCE: Final = re.compile(r"(?:organizations|tokens)/")
_SLUG: Final = re.compile(r"organizations/([a-z0-9_-]{1,50})(?:/|$)")
_PROJECT: Final = re.compile(r"organizations/[a-z0-9_-]{1,50}/projects/([a-z0-9_-]{1,50})$")


class _Shape(NamedTuple):
    """Where in a type of messages names may be: its own fields, and the messages in it; each with whether it is a
    list."""

    names: tuple[tuple[str, bool], ...]
    messages: tuple[tuple[str, bool], ...]


def named_by(message: Message) -> Named:
    """What the message names, each once, in its order; the organization is that of the first name."""
    resources: dict[str, None] = {}
    for text in islice(_texts(message, MOST_DEPTH), MOST_NAMES):
        resources[text[:MOST_NAME_CHARS]] = None
    organizations = [found[1] for text in resources if (found := _SLUG.match(text))]
    projects = dict.fromkeys(found[1] for text in resources if (found := _PROJECT.match(text)))
    return Named(organizations[0] if organizations else "", tuple(projects), tuple(resources))


def counts_of(message: Message) -> dict[str, int]:
    """The numbers that the message itself tells and that are not 0, such as `removed_chunk_count`."""
    return {
        field.name: getattr(message, field.name)
        for field in message.DESCRIPTOR.fields
        if field.type in _NUMBERS and not field.is_repeated and getattr(message, field.name)
    }


def _texts(message: Any, depth: int) -> Iterator[str]:
    shape = _shape(message.DESCRIPTOR)
    for name, repeated in shape.names:
        value = getattr(message, name)
        for text in islice(value, MOST_NAMES) if repeated else (value,):
            if _RESOURCE.match(text):
                yield text
    if depth:
        for name, repeated in shape.messages:
            if repeated:
                for item in islice(getattr(message, name), MOST_NAMES):
                    yield from _texts(item, depth - 1)
            elif message.HasField(name):
                yield from _texts(getattr(message, name), depth - 1)


@cache
def _shape(descriptor: Descriptor) -> _Shape:
    names, messages = [], []
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_STRING and field.name in _FIELDS:
            names.append((field.name, field.is_repeated))
        elif _may_name(field.message_type, MOST_DEPTH):
            messages.append((field.name, field.is_repeated))
    return _Shape(tuple(names), tuple(messages))


@cache
def _may_name(descriptor: Descriptor | None, depth: int) -> bool:
    """Whether it is worth looking into messages of this type; None is no type of messages, and those of maps are not
    looked into."""
    if descriptor is None or descriptor.GetOptions().map_entry:
        return False
    if any(field.type == FieldDescriptor.TYPE_STRING and field.name in _FIELDS for field in descriptor.fields):
        return True
    return depth > 0 and any(_may_name(field.message_type, depth - 1) for field in descriptor.fields)
