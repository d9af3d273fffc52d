"""DownloadDatabase over the wire."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

import apsw
from releaseregistry.v1 import admin_pb2 as pb
from releaseregistry.v1 import admin_pb2_grpc

from tests.rpc.wire import Served, raises_reason


def download(server: Served) -> tuple[pb.DatabaseCopy, bytes]:
    stub = admin_pb2_grpc.AdminServiceStub(server.channel)
    answers = list(stub.DownloadDatabase(pb.DownloadDatabaseRequest(), metadata=server.operator))
    assert [answer.WhichOneof("frame") for answer in answers] == ["copy", *["data"] * (len(answers) - 1)]
    return answers[0].copy, b"".join(answer.data for answer in answers[1:])


def versions(file: Path) -> list[str]:
    with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        assert connection.pragma("integrity_check") == "ok"
        assert connection.pragma("journal_mode") == "delete"
        return [row[0] for row in connection.execute('SELECT version FROM "release" ORDER BY version')]


def test_the_database_is_sent_as_one_whole_file(edge: Served, tmp_path: Path) -> None:
    edge.make_organization(projects=["web"])
    for number in range(3):
        edge.make_release("organizations/acme", f"app@{number}.0.0", "web")
    copy, data = download(edge)
    assert (copy.size_bytes, copy.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert copy.copy_time.ToMicroseconds() == edge.database.now_us()
    edge.make_release("organizations/acme", "app@9.0.0", "web")
    (tmp_path / "copy").write_bytes(data)
    assert versions(tmp_path / "copy") == ["app@0.0.0", "app@1.0.0", "app@2.0.0"]
    assert list(edge.database.file.parent.glob("*.copy-*")) == []


def test_a_database_that_is_no_file_is_refused(server: Served) -> None:
    if server.database.engine == "sqlite":
        download(server)
        return
    with raises_reason("DATABASE_NOT_A_FILE", "FAILED_PRECONDITION"):
        download(server)
