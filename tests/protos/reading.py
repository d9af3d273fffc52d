"""Which fields of requests the server reads: its handlers, handed requests that note every look into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from inspect import isfunction
from pkgutil import iter_modules
from types import ModuleType, SimpleNamespace
from typing import Any, Self
from unittest.mock import patch

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from releaseregistry.v1 import annotations_pb2

from server import names, servicers
from server.edge.annotations import rules_of
from server.edge.calls import Call
from server.edge.errors import InvalidName
from store.errors import InvalidField
from tests.contract.callers import OPERATOR

SERVICER_MODULES: tuple[ModuleType, ...] = tuple(
    import_module(f"server.servicers.{module.name}") for module in iter_modules(servicers.__path__)
)
STARTING = {"open_upload", "receive_chunks", "start_assembly", "start_avatar"}
INSTEAD = {"TimeRange.period"}
"""Fields that are looked at first, and refused together with the others of their message."""

UID = "1f0e8c7a-3b52-4d6e-9a10-2b7c5d8e9f01"
NAMES = {
    names.ORGANIZATION_FORM: "organizations/acme",
    names.PROJECT_FORM: "organizations/acme/projects/web",
    names.REPOSITORY_FORM: f"organizations/acme/repositories/{UID}",
    names.TOKEN_FORM: f"tokens/{UID}",
    names.RELEASE_FORM: "organizations/acme/releases/app@1.0.0",
    names.RELEASES_FORM: "organizations/acme/releases/app@1.0.0",
    names.UPLOAD_FORM: f"organizations/acme/uploads/{UID}",
    names.FILE_FORM: f"organizations/acme/releases/app@1.0.0/files/{UID}",
    names.THRESHOLD_FORM: f"organizations/acme/projects/web/thresholds/{UID}",
}
TEXTS = {
    annotations_pb2.TEXT_FORMAT_SLUG: "acme",
    annotations_pb2.TEXT_FORMAT_VERSION: "app@1.0.0",
    annotations_pb2.TEXT_FORMAT_UUID: UID,
    annotations_pb2.TEXT_FORMAT_SHA256: "0" * 64,
    annotations_pb2.TEXT_FORMAT_URL: "https://example.com",
    annotations_pb2.TEXT_FORMAT_ENVIRONMENT: "production",
    annotations_pb2.TEXT_FORMAT_ANY_ENVIRONMENT: "production",
}


def fields_of_requests(methods: list[MethodDescriptor]) -> dict[str, FieldDescriptor]:
    """Every field that a caller may fill, by message and name: those of requests and of all messages in them."""
    found: dict[str, FieldDescriptor] = {}
    waiting: list[Descriptor] = [method.input_type for method in methods]
    while waiting:
        message = waiting.pop()
        for field in message.fields:
            path = f"{message.name}.{field.name}"
            if path not in found and not rules_of(field).output_only:
                found[path] = field
                if is_ours(field):
                    assert field.message_type is not None
                    waiting.append(field.message_type)
    return found


def is_ours(field: Any) -> bool:
    """Whether the field holds messages of the contract, which have fields of their own; a map does not."""
    message = field.message_type
    return message is not None and message.file.package == "releaseregistry.v1" and not is_map(field)


def is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


class Reading:
    """A message that notes, as `Message.field`, which of its fields somebody looks at."""

    def __init__(self, message: Message, read: set[str]) -> None:
        self._message = message
        self._read = read

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._message, name)
        field = self._message.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            return value
        self._note(name)
        if not is_ours(field):
            return value
        return [Reading(item, self._read) for item in value] if field.is_repeated else Reading(value, self._read)

    def HasField(self, name: str) -> bool:  # noqa: N802 - the method of a message
        self._note(name)
        return self._message.HasField(name)

    def _note(self, name: str) -> None:
        self._read.add(f"{self._message.DESCRIPTOR.name}.{name}")


class Reached(Exception):
    pass


def reached(*_: object, **__: object) -> None:
    """A verb of the store."""
    raise Reached


class Stream:
    """What a store makes of the messages of a call that streams: it takes everything, up to its end."""

    finished = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, *_: object, **__: object) -> None:
        pass

    take = add = look = write

    def finish(self, **_: object) -> None:
        raise Reached


def read_by(method: MethodDescriptor, handler: Callable[..., Any]) -> tuple[set[str], set[str]]:
    """The fields of its request that the handler reads when all are filled, and those of them that are names.

    What is a name, and of what, the handler tells by refusing what is none.
    """
    read: set[str] = set()
    named: set[str] = set()
    for messages in filled_calls(method):
        its_read, its_named = read_of(messages, method, handler)
        read |= its_read
        named |= its_named
    return read, named


def read_of(
    messages: list[Message], method: MethodDescriptor, handler: Callable[..., Any]
) -> tuple[set[str], set[str]]:
    read: set[str] = set()
    named: set[str] = set()
    for _ in range(20):
        requests = [Reading(message, read) for message in messages]
        try:
            with without_store():
                answer = handler(iter(requests) if method.client_streaming else requests[0], call(method))
                if method.server_streaming:
                    next(answer)
        except (Reached, InvalidField):
            return read, named
        except InvalidName as error:
            named.add(put(messages, error.metadata["field"], NAMES[error.metadata["expected"]]))
        else:
            raise AssertionError(f"{method.name} answers without asking the store")
    raise AssertionError(f"{method.name} takes none of the names")


def filled_calls(method: MethodDescriptor) -> Iterator[list[Message]]:
    """Requests with every field filled: one, or of a stream one for each kind of its messages.

    A stream whose messages are all of one kind comes once more, for what is looked at in later ones only: there a
    message that carries its things and ends nothing stands before the filled one.
    """
    kinds = [field for oneof in method.input_type.oneofs for field in oneof.fields]
    if kinds:
        messages = []
        for kind in kinds:
            message = GetMessageClass(method.input_type)()
            fill(message, kind)
            messages.append(message)
        yield messages
        return
    yield [filled(method.input_type)]
    if method.client_streaming:
        first = filled(method.input_type)
        for field in method.input_type.fields:
            if not field.is_repeated and field.type != FieldDescriptor.TYPE_STRING:
                first.ClearField(field.name)
        yield [first, filled(method.input_type)]


def filled(descriptor: Descriptor) -> Message:
    """A message with something in every field, and one item in every list."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if f"{descriptor.name}.{field.name}" not in INSTEAD:
            fill(message, field)
    return message


def fill(message: Message, field: FieldDescriptor) -> None:
    """Put something into the field, and into all that is in it."""
    if is_map(field):
        getattr(message, field.name)["x"] = "x"
    elif field.message_type is not None:
        value: Any = filled(field.message_type) if is_ours(field) else well_known(field)
        held = getattr(message, field.name)
        if rules_of(field).one_by_one:  # nobody is told which text should have been a name
            value.project = NAMES[names.PROJECT_FORM]
        if field.is_repeated:
            held.append(value)
        else:
            held.CopyFrom(value)
    elif field.is_repeated:
        getattr(message, field.name).append(scalar(field))
    else:
        setattr(message, field.name, scalar(field))


def well_known(field: FieldDescriptor) -> Message:
    assert field.message_type is not None
    value: Any = GetMessageClass(field.message_type)()
    if field.message_type.name == "FieldMask":
        value.paths.append("*")
    elif field.message_type.name == "Duration":
        value.FromSeconds(3600)
    else:
        value.GetCurrentTime()
    return value  # type: ignore[no-any-return]


def scalar(field: FieldDescriptor) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS.get(rules_of(field).format, "x")
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"x"
    return 1  # a number, the first real value of an enum, or true


def put(messages: list[Message], path: str, value: str) -> str:
    """Write a text where a path such as `release.projects[0]` leads; which field that is, as `Message.field`."""
    *steps, last = [step.partition("[")[0] for step in path.split(".")]
    field = ""
    for message in messages:
        holder: Any = message
        if steps and not message.HasField(steps[0]):
            continue  # a message of another kind
        for step in steps:
            holder = getattr(holder, step)
        field = f"{holder.DESCRIPTOR.name}.{last}"
        if holder.DESCRIPTOR.fields_by_name[last].is_repeated:
            getattr(holder, last)[0] = value
        else:
            setattr(holder, last, value)
    return field


@contextmanager
def without_store() -> Iterator[None]:
    """Every verb of the store that handlers call ends them instead; only streams go on to their end."""

    def started(*_: object, **__: object) -> Stream:
        return Stream()

    with ExitStack() as stack:
        stack.enter_context(
            patch("server.edge.calls._known_bytes", lambda *_, **__: b"")
        )  # it takes all, and reads nothing
        # It checks items that are refused one by one, as others are checked before a handler sees them: all fields.
        stack.enter_context(patch("server.mapping.sessions.problems_one_by_one", lambda _: {}))
        for module in SERVICER_MODULES:
            for name, value in list(vars(module).items()):
                if isfunction(value) and value.__module__.startswith("store."):
                    verb = started if name in STARTING else reached
                    stack.enter_context(patch.object(module, name, verb))
        yield


def call(method: MethodDescriptor) -> Call:
    """A call of the operator's that has time."""
    context: Any = SimpleNamespace(time_remaining=lambda: 10.0)
    page_tokens: Any = SimpleNamespace(open=lambda *_, **__: None)
    path = f"/{method.containing_service.full_name}/{method.name}"
    return Call(
        access=OPERATOR,
        method=path,
        user_agent="",
        request_id="",
        context=context,
        page_tokens=page_tokens,
        deadline=None,
        end=lambda _: None,
    )
