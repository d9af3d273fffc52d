"""Stubs follow their protos: never older, never half, never left over."""

from __future__ import annotations

from pathlib import Path

import pytest

from building import protos

THING = 'syntax = "proto3";\npackage releaseregistry.v1;\nmessage Thing { string name = 1; }\n'


@pytest.fixture
def contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a contract of one proto, whose stubs have been generated."""
    folder = tmp_path / "protos" / "releaseregistry" / "v1"
    folder.mkdir(parents=True)
    (folder / "thing.proto").write_text(THING)
    monkeypatch.setattr(protos, "PROTOS", tmp_path / "protos")
    monkeypatch.setattr(protos, "STAMP", tmp_path / ".build" / "protos.stamp")
    assert protos.generate()
    return folder


def test_a_proto_becomes_messages_and_stubs_with_their_types(contract: Path) -> None:
    stubs = {"thing_pb2.py", "thing_pb2.pyi", "thing_pb2_grpc.py", "thing_pb2_grpc.pyi"}
    assert {path.name for path in contract.iterdir()} == stubs | {"thing.proto"}


def test_nothing_is_generated_while_nothing_changed(contract: Path) -> None:
    assert not protos.generate()


def test_a_changed_proto_is_generated_anew(contract: Path) -> None:
    (contract / "thing.proto").write_text(THING.replace("name", "title"))
    assert protos.generate()
    assert "title" in (contract / "thing_pb2.pyi").read_text()


def test_a_missing_stub_is_generated_anew(contract: Path) -> None:
    (contract / "thing_pb2_grpc.pyi").unlink()
    assert protos.generate()
    assert (contract / "thing_pb2_grpc.pyi").exists()


def test_the_stubs_of_a_proto_that_is_gone_are_removed(contract: Path) -> None:
    (contract / "other.proto").write_text(THING.replace("Thing", "Other"))
    (contract / "thing.proto").unlink()
    assert protos.generate()
    assert not list(contract.glob("thing*"))
    assert len(list(contract.glob("other_pb2*"))) == 4


def test_a_proto_that_protoc_refuses_leaves_the_stubs_as_they_were(contract: Path) -> None:
    before = (contract / "thing_pb2.py").read_bytes()
    (contract / "thing.proto").write_text("message {")
    with pytest.raises(protos.GenerationFailed, match=r"thing\.proto"):
        protos.generate()
    assert (contract / "thing_pb2.py").read_bytes() == before
    with pytest.raises(protos.GenerationFailed):
        protos.generate()
