"""What a request may hold, checked before any handler sees it.

The rules are the `FieldRules` of the protos, compiled once a message type into two things: a quick yes or no, which is
all that a good request costs (SetCommits brings 10,000 commits with 50,000 paths), and a slow walk that names every
bad field by its path. Both come from the same checks, so they cannot disagree. See behaviour.md, Errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from releaseregistry.v1 import annotations_pb2

from server.edge.annotations import rules_of
from server.edge.errors import MAX_VIOLATIONS, InvalidFields, cut
from store.errors import FieldViolation
from store.organizations.slugs import slug_problem
from store.releases.version import InvalidVersion, check_version

# A check answers None for a good value, else what is wrong with it. A column check says whether all of several values
# of one field are good; it looks at the whole column with few calls into C, because a loop in Python costs ten times.
Check = Callable[[Any], str | None]
ColumnCheck = Callable[[Sequence[Any]], bool]

MAX_KEY_CHARS: Final = 128
MAX_ENVIRONMENT_CHARS: Final = 64
# Items looked at in one go. All at once would be slower: as many live objects set off the garbage collector.
BATCH: Final = 128
# 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, the range of google.protobuf.Timestamp.
MIN_SECONDS: Final = -62_135_596_800
MAX_SECONDS: Final = 253_402_300_799
MAX_NANOS: Final = 999_999_999

# C0, DEL, C1, and the two separators that end a line.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UUID: Final = re.compile("[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
_UUIDS: Final = re.compile(f"(?:{_UUID.pattern})+")
_UUID_CHARS: Final = 36
_TIMESTAMP: Final = attrgetter("seconds", "nanos")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_URL: Final = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)

Rules = annotations_pb2.FieldRules


def validate(message: Message) -> None:
    """Return when every field of the message, and of the messages in it, holds what its rules allow.

    Raises InvalidFields with the path of each bad field, such as `commits[3].changed_files[0].path`; of more than
    twenty the first twenty are told and the metadata counts at least one more.
    """
    shape = _shape(message.DESCRIPTOR)
    if shape.are_good((message,)):
        return
    violations: list[FieldViolation] = []
    omitted = 0
    for path, description in shape.walk(message, ""):
        if len(violations) == MAX_VIOLATIONS:
            omitted = 1
            break
        violations.append(FieldViolation(field=path, description=description))
    raise InvalidFields(violations, omitted=omitted)


def problems_one_by_one(messages: Sequence[Message]) -> dict[int, FieldViolation]:
    """What is wrong first with each bad one of messages of one type, by its place: for a list whose items are refused
    one by one. Fields are named from the item on, such as `start_time`."""
    if not messages:
        return {}
    shape = _shape(messages[0].DESCRIPTOR)
    if all(shape.are_good(messages[start : start + BATCH]) for start in range(0, len(messages), BATCH)):
        return {}
    first = ((index, next(shape.walk(message, ""), None)) for index, message in enumerate(messages))
    return {index: FieldViolation(*problem) for index, problem in first if problem is not None}


class _Shape:
    """The compiled rules of one message type."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._fields = [_Field(field) for field in descriptor.fields]
        self._fields = [field for field in self._fields if not field.rules.output_only]
        self._is_timestamp = descriptor.full_name == "google.protobuf.Timestamp"
        # Where nothing is asked for nothing is looked at: of a Duration not even whether it is there.
        checked = [field for field in self._fields if field.rules.required or field.are_good is not _any_are_good]
        self.has_checks = self._is_timestamp or bool(checked)
        # Values of all fields that need no look at their presence come out of one call into C a message.
        plain = [field for field in checked if not field.needs_presence]
        self._plain: list[ColumnCheck] = [field.are_good for field in plain]
        self._get = attrgetter(*(field.name for field in plain)) if plain else None
        self._present = [field for field in checked if field.needs_presence]

    def are_good(self, messages: Sequence[Message]) -> bool:
        """Whether nothing is wrong with any of the messages, of which there is at least one."""
        if self._is_timestamp:
            return _timestamps_are_good(messages)
        if self._get is not None:
            rows = map(self._get, messages)
            columns = zip(*rows, strict=True) if len(self._plain) > 1 else (tuple(rows),)
            for are_good, column in zip(self._plain, columns, strict=True):
                if not are_good(column):
                    return False
        for field in self._present:
            name = field.name
            present = [getattr(message, name) for message in messages if message.HasField(name)]
            if field.rules.required and len(present) < len(messages):
                return False
            if present and not field.are_good(present):
                return False
        return True

    def walk(self, message: Message, prefix: str) -> Iterator[tuple[str, str]]:
        """Path and description of everything that is wrong with the message."""
        if self._is_timestamp:
            problem = _timestamp_problem(message)
            if problem:
                yield prefix.removesuffix("."), problem
            return
        for field in self._fields:
            path = prefix + field.name
            if field.needs_presence and not message.HasField(field.name):
                if field.rules.required:
                    yield path, "is required"
            else:
                yield from field.walk(getattr(message, field.name), path)


class _Field:
    """The compiled rules of one field."""

    def __init__(self, field: FieldDescriptor) -> None:
        self.name = field.name
        self.rules = rules_of(field)
        self.needs_presence = field.message_type is not None and not field.is_repeated
        self._field = field
        self._map = False
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._map = True
            self._check = _scalar_check(field.message_type.fields_by_name["value"], self.rules)
        elif field.message_type is None:
            self._check = _scalar_check(field, self.rules)
        self.are_good: ColumnCheck = self._compile()

    def _compile(self) -> ColumnCheck:
        field, rules = self._field, self.rules
        if self._map:
            return lambda column: not any(True for entries in column for _ in self.walk(entries, ""))
        one: ColumnCheck
        if rules.one_by_one:
            one = _any_are_good
        elif field.message_type is not None:
            shape = _shape(field.message_type)
            one = shape.are_good if shape.has_checks else _any_are_good
        else:
            one = _scalar_column(field, rules, self._check)
        return _lists_column(one, required=rules.required, most=rules.max_items) if field.is_repeated else one

    def walk(self, value: Any, path: str) -> Iterator[tuple[str, str]]:
        """Path and description of everything that is wrong with the value."""
        if not self._field.is_repeated:
            yield from self._walk_one(value, path)
            return
        if self.rules.required and not value:
            yield path, "needs at least one item"
        most = self.rules.max_items or (1000 if self._map else 0)
        if most and len(value) > most:
            yield path, f"has {len(value)} items, and at most {most} are allowed"
            return
        if self.rules.one_by_one:
            return
        if self._map:
            for key, item in value.items():
                here = f"{path}[{json.dumps(cut(key, 40))}]"
                problem = _key_problem(key) or self._check(item)
                if problem:
                    yield here, problem
            return
        for index, item in enumerate(value):
            yield from self._walk_one(item, f"{path}[{index}]")

    def _walk_one(self, value: Any, path: str) -> Iterator[tuple[str, str]]:
        if self._field.message_type is not None:
            yield from _shape(self._field.message_type).walk(value, path + ".")
            return
        problem = self._check(value)
        if problem:
            yield path, problem


@cache
def _shape(descriptor: Descriptor) -> _Shape:
    return _Shape(descriptor)


def _lists_column(items_are_good: ColumnCheck, *, required: bool, most: int) -> ColumnCheck:
    def are_good(lists: Sequence[Any]) -> bool:
        if required and not all(lists):
            return False
        if most and max(map(len, lists)) > most:
            return False
        items = chain.from_iterable(lists)
        while batch := tuple(islice(items, BATCH)):
            if not items_are_good(batch):
                return False
        return True

    return are_good


def _any_are_good(_: Sequence[Any]) -> bool:
    return True


def _uuids_are_good(texts: Sequence[str]) -> bool:
    return set(map(len, texts)) == {_UUID_CHARS} and _UUIDS.fullmatch("".join(texts)) is not None


def _timestamps_are_good(timestamps: Sequence[Any]) -> bool:
    seconds, nanos = zip(*map(_TIMESTAMP, timestamps), strict=True)
    first, last = min(seconds), max(seconds)
    return bool(first >= MIN_SECONDS and last <= MAX_SECONDS and min(nanos) >= 0 and max(nanos) <= MAX_NANOS)


def _scalar_column(field: FieldDescriptor, rules: Rules, check: Check) -> ColumnCheck:
    required = rules.required and not field.is_repeated
    if field.type == FieldDescriptor.TYPE_ENUM:
        allowed = frozenset(_numbers(field, required=required))
        return allowed.issuperset
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _any_are_good
    if field.type == FieldDescriptor.TYPE_STRING and not rules.max_bytes:
        most = rules.max_chars or 1 << 30
        if rules.format == annotations_pb2.TEXT_FORMAT_FREE:
            return lambda texts: (
                max(map(len, texts)) <= most and (not required or all(texts)) and "\0" not in "".join(texts)
            )
        if rules.format == annotations_pb2.TEXT_FORMAT_UNSPECIFIED:
            # isprintable is true of nearly every text; what it refuses gets the full check.
            return lambda texts: (
                max(map(len, texts)) <= most
                and (not required or all(texts))
                and ("".join(texts).isprintable() or all(check(text) is None for text in texts))
            )
        if rules.format == annotations_pb2.TEXT_FORMAT_UUID and not rules.max_chars and required:
            return _uuids_are_good
        if rules.format == annotations_pb2.TEXT_FORMAT_ANY_ENVIRONMENT:
            # A few names that come over and over.
            return lambda texts: all(check(text) is None for text in set(texts))
    if field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_INT32):
        return (lambda numbers: min(numbers) >= 0) if rules.not_negative else _any_are_good
    return lambda values: all(check(value) is None for value in values)


def _scalar_check(field: FieldDescriptor, rules: Rules) -> Check:
    required = rules.required and not field.is_repeated
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return _text_check(rules, required=required)
        case FieldDescriptor.TYPE_BYTES:
            return _bytes_check(rules, required=required)
        case FieldDescriptor.TYPE_ENUM:
            allowed = _numbers(field, required=required)
            words = ", ".join(allowed.values())
            return lambda number: None if number in allowed else f"is {number}, which is none of {words}"
        case FieldDescriptor.TYPE_BOOL:
            return lambda _: None
        case FieldDescriptor.TYPE_UINT64 | FieldDescriptor.TYPE_FIXED64:
            # No database keeps the upper half.
            return lambda number: None if number < 1 << 63 else "is larger than 9223372036854775807"
        case _:
            if rules.not_negative:
                return lambda number: None if number >= 0 else f"is {number}, and must not be negative"
            return lambda _: None


def _numbers(field: FieldDescriptor, *, required: bool) -> dict[int, str]:
    assert field.enum_type is not None
    return {value.number: value.name for value in field.enum_type.values if value.number or not required}


def _bytes_check(rules: Rules, *, required: bool) -> Check:
    most = rules.max_bytes

    def check(value: bytes) -> str | None:
        if not value:
            return "is required" if required else None
        if most and len(value) > most:
            return f"has {len(value)} bytes, and at most {most} are allowed"
        return None

    return check


def _text_check(rules: Rules, *, required: bool) -> Check:
    shape = _TEXT_SHAPES[rules.format]
    max_chars, max_bytes = rules.max_chars, rules.max_bytes

    def check(text: str) -> str | None:
        if not text:
            return "is required" if required else None
        if max_chars and len(text) > max_chars:
            return f"has {len(text)} characters, and at most {max_chars} are allowed"
        if max_bytes and len(text.encode()) > max_bytes:
            return f"has {len(text.encode())} bytes, and at most {max_bytes} are allowed"
        return shape(text)

    return check


def _line_problem(text: str) -> str | None:
    if text.isprintable():
        return None
    found = _CONTROL.search(text)
    return f"has the control character U+{ord(found[0]):04X} as character {found.start() + 1}" if found else None


def _free_problem(text: str) -> str | None:
    position = text.find("\0")
    return f"has the character U+0000 as character {position + 1}" if position >= 0 else None


def _version_problem(text: str) -> str | None:
    try:
        check_version(text)
    except InvalidVersion as error:
        return error.violations[0].description
    return None


def _pattern_problem(pattern: re.Pattern[str], expected: str) -> Check:
    return lambda text: None if pattern.fullmatch(text) else f"is not {expected}"


def _url_problem(text: str) -> str | None:
    problem = _line_problem(text)
    if problem is None and not _URL.fullmatch(text):
        problem = "is not an absolute http or https URL"
    return problem


def _environment_problem(text: str) -> str | None:
    if len(text) > MAX_ENVIRONMENT_CHARS:
        return f"has {len(text)} characters, and at most {MAX_ENVIRONMENT_CHARS} are allowed"
    if text != text.strip():
        return "begins or ends with a space"
    return "has a `/`" if "/" in text else _line_problem(text)


_TEXT_SHAPES: Final[dict[int, Check]] = {
    annotations_pb2.TEXT_FORMAT_UNSPECIFIED: _line_problem,
    annotations_pb2.TEXT_FORMAT_FREE: _free_problem,
    annotations_pb2.TEXT_FORMAT_SLUG: slug_problem,
    annotations_pb2.TEXT_FORMAT_VERSION: _version_problem,
    annotations_pb2.TEXT_FORMAT_UUID: _pattern_problem(_UUID, "a UUID of 36 characters"),
    annotations_pb2.TEXT_FORMAT_SHA256: _pattern_problem(_SHA256, "a SHA-256 of 64 lower-case hexadecimal digits"),
    annotations_pb2.TEXT_FORMAT_URL: _url_problem,
    annotations_pb2.TEXT_FORMAT_ENVIRONMENT: _environment_problem,
    annotations_pb2.TEXT_FORMAT_ANY_ENVIRONMENT: _environment_problem,
}


def _key_problem(key: str) -> str | None:
    if not key:
        return "has an empty name"
    if len(key) > MAX_KEY_CHARS:
        return f"has a name of {len(key)} characters, and at most {MAX_KEY_CHARS} are allowed"
    problem = _line_problem(key)
    return f"its name {problem}" if problem else None


def _timestamp_problem(timestamp: Any) -> str | None:
    if not MIN_SECONDS <= timestamp.seconds <= MAX_SECONDS:
        return "is not between the years 0001 and 9999"
    if not 0 <= timestamp.nanos <= MAX_NANOS:
        return f"has {timestamp.nanos} nanos, and 0 to {MAX_NANOS} are allowed"
    return None
