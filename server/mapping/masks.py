"""Update masks: which fields a partial update changes. See behaviour.md, Updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from server.edge.annotations import rules_of
from server.edge.errors import InvalidMask

NOTHING: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})


def changed_paths(
    message: Message, mask: FieldMask, *, allowed: Sequence[str], parts: Mapping[str, Sequence[str]] = NOTHING
) -> frozenset[str]:
    """Which of the `allowed` fields of `message` are to be changed.

    `parts` names fields within messages, which stand as `quota.stored_bytes` in the mask and the answer; the message
    itself stands for all of its parts there.

    No mask means all populated ones, `*` all. A path that names a field which the server fills in is ignored; every
    other path outside `allowed` raises InvalidMask. A field named and empty is to be cleared.
    """
    within = {whole: [f"{whole}.{part}" for part in names] for whole, names in parts.items()}
    every = [*allowed, *chain.from_iterable(within.values())]
    if not mask.paths:
        return frozenset(path for path in every if _is_populated(message, path))
    changed: set[str] = set()
    fields = message.DESCRIPTOR.fields_by_name
    for path in mask.paths:
        if path == "*":
            changed.update(every)
        elif path in every:
            changed.add(path)
        elif path in within:
            changed.update(within[path])
        elif path not in fields or not rules_of(fields[path]).output_only:
            raise InvalidMask(path, allowed=[*allowed, *parts])
    return frozenset(changed)


def _is_populated(message: Message, path: str) -> bool:
    path, _, part = path.partition(".")
    field = message.DESCRIPTOR.fields_by_name[path]
    if part:
        return message.HasField(path) and _is_populated(getattr(message, path), part)
    return message.HasField(path) if field.has_presence else bool(getattr(message, path))
