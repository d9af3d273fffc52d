"""Uploading with the client as a library: files to send, and what travelled for them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any

import grpc

from relctl.chunked import Chunk, Cutting
from relctl.client import Client
from relctl.files import FileDraft
from relctl.hash_cache import HashCache
from relctl.uploads import FileToUpload, Progress, UploadedFile

MIB = 2**20


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not shrink, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def written(folder: Path, name: str, content: bytes, *, replace: bool = False) -> FileToUpload:
    """The content in a file of that name, to be uploaded as such."""
    path = folder / name
    path.write_bytes(content)
    return FileToUpload(path=path, draft=FileDraft(file_name=name, replace=replace))


def upload(
    client: Client, *items: FileToUpload, cache: HashCache | None = None, progress: Progress = lambda _: None
) -> list[UploadedFile]:
    """Upload to app@1.0.0 of acme; the answers in the order of the paths."""
    done = client.uploads.upload("acme", "app@1.0.0", items, cache=cache, progress=progress)
    return sorted(done, key=lambda each: each.path)


def content_of(client: Client, uploaded: UploadedFile, folder: Path) -> bytes:
    """What the server has for it."""
    client.files.download(uploaded.file, folder / "copy")
    return (folder / "copy").read_bytes()


def chunks_of(client: Client, path: Path) -> list[Chunk]:
    """The chunks that a file is cut into."""
    with path.open("rb") as file:
        return list(Cutting(file, client.uploads.limits().chunking))


class Calls(grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor):
    """What a channel was asked for: the messages that travelled, by method."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []

    @property
    def names(self) -> list[str]:
        """The method of each message, in order."""
        return [name for name, _ in self.messages]

    def of(self, method: str) -> list[Any]:
        """The messages of all calls of a method."""
        return [message for name, message in self.messages if name == method]

    def intercept_unary_unary(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        """Note the message."""
        self.messages.append((_method(details), request))
        return proceed(details, request)

    def intercept_stream_unary(self, proceed: Callable[..., Any], details: Any, requests: Iterator[Any]) -> Any:
        """Note the messages as they travel."""

        def noted() -> Iterator[Any]:
            for request in requests:
                self.messages.append((_method(details), request))
                yield request

        return proceed(details, noted())


class Counted(BufferedReader):
    """A file that tells how much was read of it."""

    def __init__(self, raw: RawIOBase, read: list[int]) -> None:
        super().__init__(raw)
        self._read = read

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        data = super().read(size)
        self._read.append(len(data))
        return data

    def readinto(self, buffer: Any, /) -> int:
        """As of any file."""
        count = super().readinto(buffer)
        self._read.append(count)
        return count


def digests(chunks: Sequence[Chunk]) -> list[str]:
    """The SHA-256 of chunks, in hexadecimal digits."""
    return [chunk.sha256.hex() for chunk in chunks]


def _method(details: Any) -> str:
    method = details.method
    return str(method.decode() if isinstance(method, bytes) else method).rpartition("/")[2]
