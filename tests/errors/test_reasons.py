"""The reasons of the contract, the errors of the code and the tests that provoke them are one list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from releaseregistry.v1 import errors_pb2

import server.app  # noqa: F401 - with it comes every module that defines an error
from server.edge.errors import CODES, code_of
from store.errors import RegistryError

TESTS = Path(__file__).parents[1]
PROTO = TESTS.parent / "protos" / "releaseregistry" / "v1" / "errors.proto"
REASONS = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118


def classes(parent: type[RegistryError] = RegistryError) -> Iterator[type[RegistryError]]:
    """Every error class of the product, kinds left out."""
    for each in parent.__subclasses__():
        if each.__module__.startswith(("store.", "server.")) and (each not in CODES or each.__name__ == "Internal"):
            yield each
        yield from classes(each)


def test_every_reason_is_an_error_and_every_error_a_reason() -> None:
    assert {each.reason for each in classes()} == REASONS


def test_errors_that_share_a_reason_share_its_code() -> None:
    codes: dict[str, set[object]] = {}
    for each in classes():
        codes.setdefault(each.reason, set()).add(code_of(each.__new__(each)))
    assert {reason: found for reason, found in codes.items() if len(found) > 1} == {}


def test_the_contract_tells_the_code_that_each_reason_comes_with() -> None:
    documented = _documented_codes()
    assert documented == {each.reason: code_of(each.__new__(each)).name for each in classes()}


def _documented_codes() -> dict[str, str]:
    """Reason to the word that its comment begins with."""
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in PROTO.read_text().split("enum ErrorReason {")[1].splitlines():
        text = line.strip()
        if text.startswith("//"):
            comment.append(text.removeprefix("//").strip())
        elif text.startswith("ERROR_REASON_") and "UNSPECIFIED" not in text:
            reason = text.split(" ")[0].removeprefix("ERROR_REASON_")
            code = re.match(r"[A-Z_]+", comment[0])
            assert code, reason
            found[reason] = code[0]
            comment = []
        else:
            comment = []
    return found


def test_every_reason_is_provoked_by_a_test() -> None:
    assert REASONS - set(_provoked()) == set()


def _provoked() -> Iterator[str]:
    """The reasons that tests insist on: `raises_reason("X", ...)` over the wire, `pytest.raises(X)` of the store."""
    by_class = {each.__name__: each.reason for each in classes()}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called == "raises_reason" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                assert first.value in REASONS, f"{path.name}: {first.value} is no reason"
                yield first.value
            elif called == "raises":
                names = {each.id for each in ast.walk(first) if isinstance(each, ast.Name)}
                yield from (by_class[name] for name in names & set(by_class))
