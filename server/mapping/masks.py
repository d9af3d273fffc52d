"""Update masks: which fields a partial update changes. See behaviour.md, Updates."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from server.annotations import rules_of
from server.errors import InvalidMask


def changed_paths(message: Message, mask: FieldMask, *, allowed: Sequence[str]) -> frozenset[str]:
    """Which of the `allowed` fields of `message` are to be changed.

    No mask means all populated ones, `*` all. A path that names a field which the server fills in is ignored; every
    other path outside `allowed` raises InvalidMask. A field named and empty is to be cleared.
    """
    if not mask.paths:
        return frozenset(path for path in allowed if _is_populated(message, path))
    changed: set[str] = set()
    fields = message.DESCRIPTOR.fields_by_name
    for path in mask.paths:
        if path == "*":
            changed.update(allowed)
        elif path in allowed:
            changed.add(path)
        elif path not in fields or not rules_of(fields[path]).output_only:
            raise InvalidMask(path, allowed=allowed)
    return frozenset(changed)


def _is_populated(message: Message, path: str) -> bool:
    field = message.DESCRIPTOR.fields_by_name[path]
    return message.HasField(path) if field.has_presence else bool(getattr(message, path))
