"""The second version of a file: what travels and what is stored by the fast door, and how fast it is.

A folder becomes a tar; for the second version some of its files are edited and one is added near the front. The client
cuts as GetUploadLimits says, asks what is missing, sends that over several streams and has the file assembled. Beside
it: the same bytes through UploadReleaseFile, and the tar cut at fixed places.

    python -m bench.chunks [FOLDER] [--mib 370] [--edited 25] [--streams 4] [--zstd]

FOLDER is an installed site-packages, that of this Python when not given; its files go into the tar until it has so many
MiB, so that its size is the same whatever else is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import random
import shutil
import sysconfig
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import zstandard
from pyfastcdc import FastCDC
from releaseregistry.v1 import files_pb2, uploads_pb2, uploads_pb2_grpc

from bench.figures import tell
from bench.machine import GB, MIB, load, machine
from bench.peers.processes import Peer
from bench.peers.product import METADATA, ORGANIZATION, RELEASE, product, stored_bytes

MESSAGE_BYTES = 384 * 1024
FIXED_BYTES = 256 * 1024


class Piece(NamedTuple):
    """A chunk of a file."""

    start: int
    size: int
    sha256: str


class Sent(NamedTuple):
    """What one file cost."""

    seconds: float
    cut_seconds: float
    wire_bytes: int
    stored_bytes: int
    file: files_pb2.ReleaseFile


def files_of(folder: Path, size: int) -> list[Path]:
    """Files of the folder, in order, until a tar of them has so many bytes."""
    files, together = [], 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if together >= size:
            break
        files.append(path)
        together += tarfile.BLOCKSIZE + -(-path.stat().st_size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return files


def make_tar(
    folder: Path, files: Sequence[Path], target: Path, edited: frozenset[Path] = frozenset(), added: bytes = b""
) -> int:
    """The files of the folder as a tar, the edited ones with a line more in their middle; its size."""
    with tarfile.open(target, "w") as tar:
        for number, path in enumerate(files):
            info = tar.gettarinfo(path, str(path.relative_to(folder)))
            data = path.read_bytes()
            if path in edited:
                middle = len(data) // 2
                data = data[:middle] + b"\n# a line that was not there before\n" + data[middle:]
                info.mtime += 86_400
            info.size, info.type = len(data), tarfile.REGTYPE
            tar.addfile(info, BytesIO(data))
            if number == 5 and added:
                info.name, info.size = "added_in_the_second_version.py", len(added)
                tar.addfile(info, BytesIO(added))
    return target.stat().st_size


class Client:
    """Sends files by the fast door."""

    def __init__(self, product: Peer, *, streams: int, zstd: bool, folder: Path) -> None:
        self._door = uploads_pb2_grpc.UploadServiceStub(product.channel)
        self._pool = ThreadPoolExecutor(streams)
        self._streams, self._zstd, self._folder = streams, zstd, folder
        self._local = threading.local()
        limits = self._door.GetUploadLimits(uploads_pb2.GetUploadLimitsRequest(), metadata=METADATA)
        self._limits = limits.chunking

    def send(self, data: mmap.mmap, file_name: str) -> Sent:
        """A file, from its first byte to its answer."""
        before, started = stored_bytes(self._folder), time.perf_counter()
        whole = self._pool.submit(lambda: hashlib.sha256(data).hexdigest())
        pieces = self.cut(data)
        sha256 = whole.result()
        cut_seconds = time.perf_counter() - started
        wanted = {piece.sha256: piece for piece in pieces}
        missing = [wanted[each] for each in self._missing(list(wanted))]
        shares = [missing[number :: self._streams] for number in range(self._streams)]
        wire = sum(self._pool.map(lambda share: self._upload(data, share), shares))
        header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=RELEASE, file_name=file_name)
        name = self._door.StartUpload(uploads_pb2.StartUploadRequest(header=header), metadata=METADATA).upload.name
        file = self._door.AssembleUpload(self._lists(name, pieces, len(data), sha256), metadata=METADATA).file
        seconds = time.perf_counter() - started
        assert file.sha256 == sha256
        return Sent(seconds, cut_seconds, wire, stored_bytes(self._folder) - before, file)

    def cut(self, data: mmap.mmap) -> list[Piece]:
        """The chunks, as the server says."""
        limits = self._limits
        cutter = FastCDC(
            limits.average_bytes, min_size=limits.min_bytes, max_size=limits.max_bytes, normalized_chunking=1
        )
        view = memoryview(data)
        return [
            Piece(each.offset, each.length, hashlib.sha256(view[each.offset : each.offset + each.length]).hexdigest())
            for each in cutter.cut_buf(view)
        ]

    def _missing(self, digests: Sequence[str]) -> Iterator[str]:
        for start in range(0, len(digests), 10_000):
            request = uploads_pb2.FindMissingChunksRequest(parent=ORGANIZATION, sha256=digests[start : start + 10_000])
            yield from self._door.FindMissingChunks(request, metadata=METADATA).missing_sha256

    def _upload(self, data: mmap.mmap, pieces: Sequence[Piece]) -> int:
        sent = 0

        def requests() -> Iterator[uploads_pb2.UploadChunksRequest]:
            nonlocal sent
            request, size = uploads_pb2.UploadChunksRequest(parent=ORGANIZATION), 0
            for piece in pieces:
                chunk = self._chunk(data, piece)
                if size + len(chunk.data) > MESSAGE_BYTES:
                    yield request
                    request, size = uploads_pb2.UploadChunksRequest(), 0
                request.chunks.append(chunk)
                size += len(chunk.data)
                sent += len(chunk.data)
            request.finish, request.chunk_count = True, len(pieces)
            yield request

        if pieces:
            self._door.UploadChunks(requests(), metadata=METADATA)
        return sent

    def _chunk(self, data: mmap.mmap, piece: Piece) -> uploads_pb2.ChunkData:
        plain = data[piece.start : piece.start + piece.size]
        if self._zstd:
            if not hasattr(self._local, "zstd"):
                self._local.zstd = zstandard.ZstdCompressor(level=3)
            packed = self._local.zstd.compress(plain)
            if len(packed) < len(plain):
                return uploads_pb2.ChunkData(
                    sha256=piece.sha256,
                    size_bytes=piece.size,
                    encoding=uploads_pb2.CHUNK_ENCODING_ZSTD,
                    data=packed,
                )
        return uploads_pb2.ChunkData(sha256=piece.sha256, size_bytes=piece.size, data=plain)

    @staticmethod
    def _lists(
        name: str, pieces: Sequence[Piece], size: int, sha256: str
    ) -> Iterator[uploads_pb2.AssembleUploadRequest]:
        refs = [uploads_pb2.ChunkRef(sha256=piece.sha256, size_bytes=piece.size) for piece in pieces]
        for start in range(0, len(refs), 10_000):
            yield uploads_pb2.AssembleUploadRequest(name=name, chunks=refs[start : start + 10_000])
        finish = files_pb2.UploadFinish(size_bytes=size, sha256=sha256)
        yield uploads_pb2.AssembleUploadRequest(name=name, finish=finish)


def streamed(product: Peer, data: mmap.mmap, file_name: str) -> float:
    """Seconds that the simple door takes for the same bytes."""
    started = time.perf_counter()
    digest = hashlib.sha256()

    def frames() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=RELEASE, file_name=file_name)
        yield files_pb2.UploadReleaseFileRequest(header=header)
        for start in range(0, len(data), FIXED_BYTES):
            piece = data[start : start + FIXED_BYTES]
            digest.update(piece)
            yield files_pb2.UploadReleaseFileRequest(data=files_pb2.UploadData(offset=start, data=piece))
        finish = files_pb2.UploadFinish(size_bytes=len(data), sha256=digest.hexdigest())
        yield files_pb2.UploadReleaseFileRequest(finish=finish)

    product.files.UploadReleaseFile(frames(), metadata=METADATA)
    return time.perf_counter() - started


def fixed_share(first: mmap.mmap, second: mmap.mmap) -> float:
    """The share of the second that fixed chunks would send."""

    def digests(data: mmap.mmap) -> list[tuple[bytes, int]]:
        starts = range(0, len(data), FIXED_BYTES)
        pieces = (data[start : start + FIXED_BYTES] for start in starts)
        return [(hashlib.sha256(piece).digest(), len(piece)) for piece in pieces]

    there = {digest for digest, _ in digests(first)}
    return sum(size for digest, size in digests(second) if digest not in there) / len(second)


def opened(path: Path) -> mmap.mmap:
    """The bytes of a file."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def main() -> None:
    """Run, and print what each step sent, stored and took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", nargs="?", type=Path, default=Path(sysconfig.get_path("purelib")))
    parser.add_argument("--mib", type=int, default=370, help="of the tar, at most about")
    parser.add_argument("--edited", type=int, default=25)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--zstd", action="store_true", help="compress chunks on their way")
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-chunks-", dir=options.folder))
    print(machine())
    try:
        with product(folder / "data") as peer:
            measure(peer, folder, options)
    finally:
        shutil.rmtree(folder)


def measure(peer: Peer, folder: Path, options: argparse.Namespace) -> None:
    """Send both versions."""
    files = files_of(options.tree, options.mib * MIB)
    edited = frozenset(random.Random(1).sample([path for path in files if path.stat().st_size > 1000], options.edited))
    make_tar(options.tree, files, folder / "first.tar")
    make_tar(options.tree, files, folder / "second.tar", edited, added=random.Random(2).randbytes(20_000))
    first, second = opened(folder / "first.tar"), opened(folder / "second.tar")
    print(f"a tar of {len(first) / MIB:.0f} MiB, {len(files)} files; {options.edited} edited and one added")
    client = Client(peer, streams=options.streams, zstd=options.zstd, folder=folder / "data")

    def told(name: str, data: mmap.mmap, work: Callable[[], Sent]) -> Sent:
        before = peer.process.cpu_seconds()
        sent = work()
        cpu = (peer.process.cpu_seconds() - before) / (len(data) / GB)
        print(
            f"{name:16} sent {sent.wire_bytes / len(data):7.2%}  stored {sent.stored_bytes / len(data):7.2%}  "
            f"{sent.seconds:6.2f} s ({len(data) / MIB / sent.seconds:5.0f} MiB/s, cutting and hashing "
            f"{sent.cut_seconds:.2f} s)  server {cpu:.2f} CPU s/GB, peak {peer.process.peak_bytes() // MIB} MiB",
            flush=True,
        )
        return sent

    new = told("first version", first, lambda: client.send(first, "first.tar"))
    again = told("the same again", first, lambda: client.send(first, "again.tar"))
    changed = told("second version", second, lambda: client.send(second, "second.tar"))
    stream = streamed(peer, second, "streamed.tar")
    print(f"second version in fixed chunks: {fixed_share(first, second):.2%} would travel")
    print(f"second version, one stream of UploadReleaseFile: {stream:.2f} s; load {load():.1f}")
    tell("second version / first, seconds", changed.seconds / new.seconds)
    tell("the same again / first, seconds", again.seconds / new.seconds)
    tell("second version, sent", 100 * changed.wire_bytes / len(second), at_most=6, unit=" % of its bytes")
    tell("second version, stored", 100 * changed.stored_bytes / len(second), at_most=6, unit=" % of its bytes")


if __name__ == "__main__":
    main()
