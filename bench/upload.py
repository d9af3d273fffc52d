"""One stream up and down: the product beside handlers that throw away and that make up, in one run.

The server runs in a process of its own with SQLite and local packs; the client, in another, hashes what it sends
(upload) or receives (download). The discarding handler reads the same frames through a bare grpc server and does
nothing with them; the inventing one answers with frames that it has in memory.

    python -m bench.upload [--mib 1024] [--frame-kib 256] [--rounds 3] [--streams 1]
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import platform
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import grpc
from releaseregistry.v1 import (
    files_pb2,
    organizations_pb2,
    organizations_pb2_grpc,
    release_service_pb2_grpc,
    releases_pb2,
)

from server.app import open_server
from server.settings import read_settings

MIB = 2**20
TOKEN = "operator-of-the-benchmarks"
METADATA = (("authorization", f"Bearer {TOKEN}"),)
ORGANIZATION = "organizations/bench"
RELEASE = f"{ORGANIZATION}/releases/app@1.0.0"
UPLOAD = "/releaseregistry.v1.ReleaseService/UploadReleaseFile"
DOWNLOAD = "/releaseregistry.v1.ReleaseService/DownloadReleaseFile"
OPTIONS = (("grpc.max_receive_message_length", 4 * MIB), ("grpc.use_local_subchannel_pool", 1))


class Discarding(grpc.GenericRpcHandler):
    """Takes uploads and throws them away; answers downloads with what it has in memory."""

    def __init__(self, frame: int, total: int) -> None:
        self._frame, self._total = frame, total

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method == UPLOAD:
            return grpc.stream_unary_rpc_method_handler(
                self._upload,
                files_pb2.UploadReleaseFileRequest.FromString,
                files_pb2.UploadReleaseFileResponse.SerializeToString,
            )
        return grpc.unary_stream_rpc_method_handler(
            self._download,
            files_pb2.DownloadReleaseFileRequest.FromString,
            files_pb2.DownloadReleaseFileResponse.SerializeToString,
        )

    def _upload(self, requests: Iterator[Any], _: object) -> files_pb2.UploadReleaseFileResponse:
        size = 0
        for request in requests:
            size += len(request.data.data)
        return files_pb2.UploadReleaseFileResponse(file=files_pb2.ReleaseFile(size_bytes=size))

    def _download(self, _request: object, _: object) -> Iterator[files_pb2.DownloadReleaseFileResponse]:
        piece = os.urandom(self._frame)
        for _ in range(self._total // self._frame):
            yield files_pb2.DownloadReleaseFileResponse(data=piece)


def serve_nothing(pipe: Connection, frame: int, total: int) -> None:
    """The peer, until the pipe says stop."""
    server = grpc.server(ThreadPoolExecutor(8), handlers=[Discarding(frame, total)], options=OPTIONS)
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    _answer(pipe)
    server.stop(None).wait()


def serve_product(pipe: Connection, folder: str) -> None:
    """The product with its default settings, until the pipe says stop."""
    environment = {
        "RELEASES_LISTEN": "127.0.0.1:0",
        "RELEASES_DATA": folder,
        "RELEASES_BOOTSTRAP_TOKEN": TOKEN,
    }
    server = open_server(read_settings((), environment))
    server.start()
    pipe.send(server.port)
    _answer(pipe)
    server.close()


def _answer(pipe: Connection) -> None:
    """Tell the CPU seconds and the peak memory of this process whenever asked."""
    while pipe.recv() != "stop":
        times = os.times()
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        pipe.send((times.user + times.system, int(peak.split()[1]) // 1024))


class Peer:
    """A server in a process of its own, and a channel to it."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=target, args=(theirs, *arguments))
        self._process.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self._pipe.recv()}", options=OPTIONS)
        self.files = release_service_pb2_grpc.ReleaseServiceStub(self.channel)

    def cost(self) -> tuple[float, int]:
        """CPU seconds so far, and the peak memory in MiB."""
        self._pipe.send("cost")
        cost: tuple[float, int] = self._pipe.recv()
        return cost

    def stop(self) -> None:
        """End it."""
        self.channel.close()
        self._pipe.send("stop")
        self._process.join()


def upload(peer: Peer, blocks: list[bytes], frame: int) -> files_pb2.ReleaseFile:
    """Send the blocks as one file, hashing them on the way as a client must."""
    digest = hashlib.sha256()

    def frames() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=RELEASE, file_name=uuid.uuid4().hex)
        yield files_pb2.UploadReleaseFileRequest(header=header)
        offset = 0
        for block in blocks:
            digest.update(block)
            for start in range(0, len(block), frame):
                piece = block[start : start + frame]
                yield files_pb2.UploadReleaseFileRequest(data=files_pb2.UploadData(offset=offset, data=piece))
                offset += len(piece)
        finish = files_pb2.UploadFinish(size_bytes=offset, sha256=digest.hexdigest())
        yield files_pb2.UploadReleaseFileRequest(finish=finish)

    return peer.files.UploadReleaseFile(frames(), metadata=METADATA).file


def download(peer: Peer, name: str) -> str:
    """Read a file, hashing it; its SHA-256."""
    digest = hashlib.sha256()
    for answer in peer.files.DownloadReleaseFile(files_pb2.DownloadReleaseFileRequest(name=name), metadata=METADATA):
        digest.update(answer.data)
    return digest.hexdigest()


def timed(work: Callable[[], list[Any]]) -> tuple[float, list[Any]]:
    """Seconds, and what came out."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def random_blocks(mib: int, seed: int) -> list[bytes]:
    """Random bytes that no earlier round sent, without making each of them anew: an offset is mixed in."""
    base = int.from_bytes(os.urandom(MIB), "big")
    mask = (1 << (8 * MIB)) - 1
    return [((base * (2 * (seed * mib + i) + 1)) & mask).to_bytes(MIB, "big") for i in range(mib)]


def prepare(product: Peer) -> None:
    """The organization, project and release that files go into."""
    stub = organizations_pb2_grpc.OrganizationServiceStub(product.channel)
    organization = organizations_pb2.Organization(slug="bench")
    stub.CreateOrganization(organizations_pb2.CreateOrganizationRequest(organization=organization), metadata=METADATA)
    project = organizations_pb2.Project(slug="web")
    stub.CreateProject(organizations_pb2.CreateProjectRequest(parent=ORGANIZATION, project=project), metadata=METADATA)
    release = releases_pb2.Release(version="app@1.0.0", projects=[f"{ORGANIZATION}/projects/web"])
    request = releases_pb2.CreateReleaseRequest(parent=ORGANIZATION, release=release)
    product.files.CreateRelease(request, metadata=METADATA)


def main() -> None:
    """Run, and print a line a round and a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--frame-kib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--folder", default=None, help="where the data goes; a temporary folder when not given")
    options = parser.parse_args()
    frame, total = options.frame_kib * 1024, options.mib * MIB
    folder = tempfile.mkdtemp(prefix="bench-upload-", dir=options.folder)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(f"{options.mib} MiB x {options.streams}, frames of {options.frame_kib} KiB")
    nothing, product = Peer(serve_nothing, frame, total), Peer(serve_product, f"{folder}/data")
    rates: dict[str, list[float]] = {"discard": [], "upload": [], "invent": [], "download": []}
    try:
        prepare(product)
        upload(product, random_blocks(8, 0), frame)
        sent = total * options.streams / MIB
        cpu: dict[str, list[float]] = {name: [] for name in rates}
        with ThreadPoolExecutor(options.streams) as pool:
            for number in range(1, options.rounds + 1):
                blocks = [random_blocks(options.mib, number * options.streams + k) for k in range(options.streams)]

                def each(name: str, peer: Peer, work: Callable[[Any], Any], items: list[Any]) -> list[Any]:
                    before = peer.cost()[0]
                    seconds, results = timed(lambda: list(pool.map(work, items)))
                    rates[name].append(sent / seconds)
                    cpu[name].append((peer.cost()[0] - before) / (sent / 1024))
                    return results

                each("discard", nothing, lambda some: upload(nothing, some, frame), blocks)
                files = each("upload", product, lambda some: upload(product, some, frame), blocks)
                each("invent", nothing, lambda _: download(nothing, RELEASE), blocks)
                digests = each("download", product, lambda file: download(product, file.name), files)
                assert digests == [file.sha256 for file in files]
                print(
                    "  ".join(f"{name} {rates[name][-1]:6.0f} MiB/s {cpu[name][-1]:.2f} s/GiB" for name in rates),
                    flush=True,
                )
        middle = {name: statistics.median(values) for name, values in rates.items()}
        print(
            f"upload / discard {middle['upload'] / middle['discard']:.2f}, "
            f"download / invent {middle['download'] / middle['invent']:.2f}, "
            f"server {statistics.median(cpu['upload']):.2f} CPU s a GiB up, peak {product.cost()[1]} MiB"
        )
    finally:
        nothing.stop()
        product.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
