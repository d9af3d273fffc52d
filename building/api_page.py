"""docs/api.md, made of the protos: every service, RPC, message, enum, error reason and limit, as their comments tell.

Run as a program (``make api-docs``) it writes the page. A test holds the page against the protos.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    MethodOptions,
)
from releaseregistry.v1 import annotations_pb2

ROOT: Final = Path(__file__).resolve().parent.parent
PROTOS: Final = ROOT / "protos"
PAGE: Final = ROOT / "docs" / "api.md"
PACKAGE: Final = "releaseregistry.v1"
REASONS: Final = "ErrorReason"

# In the order in which one gets to know them; a service that is not named here comes behind them.
SERVICES: Final = (
    "ReleaseService",
    "DeployService",
    "UploadService",
    "ReleaseHealthService",
    "OrganizationService",
    "TokenService",
    "AdminService",
)

HEAD: Final = """\
# API

Every service, RPC, message and error of the contract, as the comments of `protos/releaseregistry/v1` tell them: this
page is made of these by `make api-docs`. The rules behind them stand in [behaviour.md](behaviour.md), the language of
queries in [search.md](search.md).

- A call carries its token as metadata, `authorization: Bearer TOKEN`; *scope* is what the token needs. A scope of a
  family includes the weaker ones: admin, write, read.
- *Repeatable*: a call that was answered UNAVAILABLE, or not at all, may be sent again as it is. Others take a
  `request_id` for that where it stands among their fields.
- An error carries one of the [reasons](#error-reasons), and says which fields are bad.
- What a field must be stands behind its meaning; all limits stand [in one table](#limits).
"""

_KINDS: Final = {
    FieldDescriptorProto.TYPE_STRING: "text",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_INT32: "int32",
    FieldDescriptorProto.TYPE_INT64: "int64",
    FieldDescriptorProto.TYPE_UINT32: "uint32",
    FieldDescriptorProto.TYPE_UINT64: "uint64",
    FieldDescriptorProto.TYPE_DOUBLE: "double",
    FieldDescriptorProto.TYPE_FLOAT: "float",
}
_FORMATS: Final = {
    annotations_pb2.TEXT_FORMAT_FREE: "free text",
    annotations_pb2.TEXT_FORMAT_SLUG: "slug",
    annotations_pb2.TEXT_FORMAT_VERSION: "version",
    annotations_pb2.TEXT_FORMAT_UUID: "UUID",
    annotations_pb2.TEXT_FORMAT_SHA256: "SHA-256, hexadecimal",
    annotations_pb2.TEXT_FORMAT_URL: "URL",
    annotations_pb2.TEXT_FORMAT_ENVIRONMENT: "environment",
    annotations_pb2.TEXT_FORMAT_ANY_ENVIRONMENT: "environment, or empty",
}
_WORD: Final = re.compile(r"`[^`]*`|[A-Za-z_][A-Za-z0-9_]*")
# "What CreateRelease takes": on a page, where it stands says so.
_SAYS_NOTHING: Final = re.compile(r"What \w+ (takes|answers)(: nothing)?\.")


@dataclass(slots=True)
class Contract:
    """What the protos say; comments by the full names of what they stand at."""

    files: list[FileDescriptorProto]
    comments: dict[str, str] = field(default_factory=dict)
    messages: dict[str, DescriptorProto] = field(default_factory=dict)
    enums: dict[str, EnumDescriptorProto] = field(default_factory=dict)
    limits: list[tuple[str, str]] = field(default_factory=list)

    @property
    def methods(self) -> Iterator[MethodDescriptorProto]:
        """All RPCs."""
        for file in self.files:
            for service in file.service:
                yield from service.method


def page() -> str:
    """The whole page."""
    return Page(read_contract()).text()


def read_contract() -> Contract:
    """The contract, read from its protos. Raises RuntimeError when protoc refuses them."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "contract.binpb"
        sources = sorted(str(path) for path in (PROTOS / "releaseregistry").rglob("*.proto"))
        words = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", "--include_source_info"]
        done = subprocess.run([*words, f"--descriptor_set_out={output}", *sources], check=False, capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        described = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    contract = Contract(list(described.file))
    for file in contract.files:
        _read_file(contract, file)
    return contract


def _read_file(contract: Contract, file: FileDescriptorProto) -> None:
    comments = {tuple(place.path): place for place in file.source_code_info.location}

    def keep(name: str, path: tuple[int, ...]) -> None:
        if path in comments:
            contract.comments[name] = _plain(comments[path].leading_comments)

    for number, message in enumerate(file.message_type):
        contract.messages[message.name] = message
        keep(message.name, (4, number))
        for inner, each in enumerate(message.field):
            keep(f"{message.name}.{each.name}", (4, number, 2, inner))
    for number, enum in enumerate(file.enum_type):
        contract.enums[enum.name] = enum
        keep(enum.name, (5, number))
        for inner, value in enumerate(enum.value):
            keep(f"{enum.name}.{value.name}", (5, number, 2, inner))
    for number, service in enumerate(file.service):
        keep(service.name, (6, number))
        for inner, method in enumerate(service.method):
            keep(f"{service.name}.{method.name}", (6, number, 2, inner))
    _read_limits(contract, file)


def _read_limits(contract: Contract, file: FileDescriptorProto) -> None:
    for place in file.source_code_info.location:
        texts = [place.leading_comments, *place.leading_detached_comments]
        contract.limits += [limit for text in texts for limit in _limits(text)]


def _limits(comment: str) -> Iterator[tuple[str, str]]:
    """The rows of the table of limits, if the comment is the one that holds it."""
    if "TABLE OF LIMITS" not in comment:
        return
    rows: list[list[str]] = []
    for line in comment.split("limit\n", 1)[1].splitlines():
        what, _, limit = line.strip().partition("  ")
        if line.startswith("    ") and rows and not limit:
            rows[-1][1] += f" {what}"
        elif what:
            rows.append([what, limit.strip()])
    yield from ((what, limit) for what, limit in rows)


def _plain(comment: str) -> str:
    """A comment as it reads: its lines joined, its paragraphs kept."""
    paragraphs = "\n".join(line.strip() for line in comment.strip().splitlines()).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)


class Page:
    """Markdown of a contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._of_calls = {
            name.rpartition(".")[2] for method in contract.methods for name in (method.input_type, method.output_type)
        }
        methods = {method.name for method in contract.methods}
        reasons = {value.name.removeprefix("ERROR_REASON_") for value in contract.enums[REASONS].value}
        self._linked = methods | (reasons - {"UNSPECIFIED"}) | (set(contract.messages) - self._of_calls - {"Commit"})
        # Words of a sentence that are also the name of something are no links.
        self._linked = {name for name in self._linked if name in reasons or len(re.findall("[A-Z]", name)) > 1}

    def text(self) -> str:
        """The page, ended by a newline."""
        services = [service for file in self._contract.files for service in file.service]
        order = {name: number for number, name in enumerate(SERVICES)}
        services.sort(key=lambda service: (order.get(service.name, len(order)), service.name))
        kept = sorted(set(self._contract.messages) - self._of_calls)
        enums = sorted(set(self._contract.enums) - {REASONS})
        lines = [HEAD, "## Contents", ""]
        for service in services:
            calls = " · ".join(f"[{method.name}](#{_anchor(method.name)})" for method in service.method)
            lines += [f"- [{service.name}](#{_anchor(service.name)}): {calls}"]
        lines += [
            f"- [Messages](#messages): {' · '.join(map(_link, kept))}",
            f"- [Enums](#enums): {' · '.join(map(_link, enums))}",
            "- [Error reasons](#error-reasons)",
            "- [Limits](#limits)",
            "",
        ]
        for service in services:
            lines += [f"## {service.name}", "", self._prose(service.name), ""]
            for method in service.method:
                lines += self._method(service.name, method)
        lines += ["## Messages", ""]
        for name in kept:
            lines += self._message(name, level=3)
        lines += ["## Enums", ""]
        for name in enums:
            lines += self._enum(name)
        lines += self._reasons()
        lines += ["## Limits", "", self._limit_words(), "", "| what | limit |", "| --- | --- |"]
        lines += [f"| {self._cell(what)} | {self._cell(limit)} |" for what, limit in self._contract.limits]
        return "\n".join(lines) + "\n"

    def _method(self, service: str, method: MethodDescriptorProto) -> Iterator[str]:
        scope: str = method.options.Extensions[annotations_pb2.required_scope]  # type: ignore[index]
        facts = ["any valid token" if scope == "any" else f"scope `{scope}`"]
        facts.append(_STREAMS[method.client_streaming, method.server_streaming])
        if method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS:
            facts.append("only reads, repeatable")
        elif method.options.idempotency_level == MethodOptions.IDEMPOTENT:
            facts.append("repeatable")
        yield from (f"### {method.name}", "", self._prose(f"{service}.{method.name}"), "", f"*{' · '.join(facts)}*", "")
        for type_name in (method.input_type, method.output_type):
            yield from self._message(type_name.rpartition(".")[2], level=4)

    def _message(self, name: str, *, level: int) -> Iterator[str]:
        message = self._contract.messages[name]
        yield from (f"{'#' * level} {name}", "")
        if not _SAYS_NOTHING.fullmatch(self._contract.comments.get(name, "")):
            yield from (self._prose(name), "")
        if not message.field:
            yield from ("No fields.", "")
            return
        yield from ("| field | type | meaning |", "| --- | --- | --- |")
        for each in message.field:
            told = self._cell(self._contract.comments.get(f"{name}.{each.name}", ""))
            rules = ", ".join(self._rules(message, each))
            yield f"| `{each.name}` | {self._type(message, each)} | {told}{f' *{rules}*' if rules else ''} |"
        yield ""

    def _rules(self, message: DescriptorProto, each: FieldDescriptorProto) -> Iterator[str]:
        rules: Any = each.options.Extensions[annotations_pb2.rules]  # type: ignore[index]
        if rules.output_only:
            yield "the server's to say"
        if rules.required:
            yield "required"
        if rules.format in _FORMATS:
            yield _FORMATS[rules.format]
        if rules.max_chars:
            yield f"at most {rules.max_chars:,} characters"
        if rules.max_bytes:
            yield f"at most {rules.max_bytes:,} bytes"
        if rules.max_items:
            yield f"at most {rules.max_items:,} items"
        if rules.not_negative:
            yield "not negative"
        if rules.one_by_one:
            yield "bad ones are refused in the answer, one by one"
        if each.HasField("oneof_index") and not each.proto3_optional:
            yield f"one of `{message.oneof_decl[each.oneof_index].name}`"

    def _type(self, message: DescriptorProto, each: FieldDescriptorProto) -> str:
        is_list = each.label == FieldDescriptorProto.LABEL_REPEATED
        if each.type not in (FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_ENUM):
            kind = _KINDS[each.type]
        else:
            short = each.type_name.rpartition(".")[2]
            nested = next((inner for inner in message.nested_type if inner.name == short), None)
            if nested is not None and nested.options.map_entry:
                key, value = nested.field
                return f"map of {self._type(nested, key)} to {self._type(nested, value)}"
            kind = _link(short) if each.type_name.startswith(f".{PACKAGE}.") else each.type_name.lstrip(".")
        return f"list of {kind}" if is_list else f"optional {kind}" if each.proto3_optional else kind

    def _enum(self, name: str) -> Iterator[str]:
        yield from (f"### {name}", "", self._prose(name), "", "| value | number | meaning |", "| --- | --- | --- |")
        for value in self._contract.enums[name].value:
            told = self._cell(self._contract.comments.get(f"{name}.{value.name}", ""))
            yield f"| `{value.name}` | {value.number} | {told} |"
        yield ""

    def _reasons(self) -> Iterator[str]:
        yield from ("## Error reasons", "", self._prose(REASONS), "")
        yield from ("| reason | code | meaning | metadata, for example |", "| --- | --- | --- | --- |")
        for value in self._contract.enums[REASONS].value:
            reason = value.name.removeprefix("ERROR_REASON_")
            if reason == "UNSPECIFIED":
                continue
            told, _, example = self._contract.comments[f"{REASONS}.{value.name}"].partition("Example: ")
            code, _, meaning = told.partition(". ")
            metadata = example.partition('"metadata": ')[2].strip().removesuffix("}").strip()
            shown = f"`{metadata}`".replace("|", "\\|") if metadata not in ("", "{}") else ""
            anchor = f'<a id="{_anchor(reason)}"></a>`{reason}`'
            yield f"| {anchor} | {self._cell(code)} | {self._cell(meaning)} | {shown} |"
        yield ""

    def _limit_words(self) -> str:
        return (
            "Lengths of text count Unicode code points. A value beyond its limit is refused with INVALID_ARGUMENT and "
            f"reason {_link('INVALID_FIELD')}; nothing is truncated but the user agent."
        )

    def _prose(self, name: str) -> str:
        return self._linked_text(self._contract.comments.get(name, ""), of=name.rpartition(".")[2])

    def _cell(self, text: str) -> str:
        return self._linked_text(text).replace("|", "\\|").replace("\n\n", "<br>").strip()

    def _linked_text(self, text: str, *, of: str = "") -> str:
        """The text with links at the names of RPCs, messages and reasons; code, and its own name, stay as they are."""

        def linked(match: re.Match[str]) -> str:
            word = match[0]
            return _link(word) if word in self._linked and word != of else word

        return _WORD.sub(linked, text).replace("<", "&lt;")


_STREAMS: Final = {
    (False, False): "one message each way",
    (True, False): "a stream of requests",
    (False, True): "a stream of answers",
    (True, True): "streams both ways",
}


def _anchor(name: str) -> str:
    """Where a heading of this name is, as pages are shown."""
    return name.lower()


def _link(name: str) -> str:
    return f"[{name}](#{_anchor(name)})"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    print(f"api-docs: {PAGE.relative_to(ROOT)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
