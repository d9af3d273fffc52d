"""What a backup says of itself."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from store.backup.errors import BackupRefused

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
PACKS: Final = "packs"
PACK_LIST: Final = "packs.txt"
_PIECE: Final = 2**20


class KeptPack(NamedTuple):
    """A pack in a backup, and how many bytes its file has."""

    id: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DatabasePart:
    """The database in a backup. `kind` is sqlite, dump or copy; the SHA-256 is of the whole file."""

    kind: str
    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is. Times are text, UTC; `blobs` is where packs came from, folder or bucket."""

    format: int
    program: str
    copy_time: str
    migrations: tuple[str, ...]
    registry_id: str
    database: DatabasePart
    blobs: str
    pack_count: int
    pack_bytes: int
    pack_list_sha256: str
    missing_packs: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Make the folder a backup: the last thing written to it, and synced."""
        write_synced(folder / MANIFEST, (json.dumps(asdict(self), indent=2) + "\n").encode())


def read_manifest(folder: Path) -> Manifest:
    """What the backup in the folder says of itself. Raises BackupRefused, one line for the operator."""
    try:
        told: Any = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        raise BackupRefused(f"{folder} is no backup: it has no {MANIFEST}, which is the last thing written.") from None
    except (OSError, ValueError) as error:
        raise BackupRefused(f"{folder / MANIFEST} cannot be read: {type(error).__name__}.") from None
    if not isinstance(told, dict):
        raise BackupRefused(f"{folder / MANIFEST} lacks something, or has too much: it was changed.")
    if told.get("format") != FORMAT:
        raise BackupRefused(
            f"{folder} has format {told.get('format')}, this program knows {FORMAT}: restore it with release-server "
            f"{told.get('program', 'of its time')}."
        )
    try:
        told["database"] = DatabasePart(**told["database"])
        told["migrations"] = tuple(told["migrations"])
        told["missing_packs"] = tuple(told["missing_packs"])
        return Manifest(**told)
    except (KeyError, TypeError):
        raise BackupRefused(f"{folder / MANIFEST} lacks something, or has too much: it was changed.") from None


def pack_file(folder: Path, pack_id: bytes) -> Path:
    """Where a pack lies in a backup."""
    name = pack_id.hex()
    return folder / PACKS / name[-2:] / name


def write_pack_list(folder: Path, packs: Sequence[KeptPack]) -> str:
    """Write which packs there are; the SHA-256 of that."""
    text = "".join(f"{pack.id.hex()} {pack.size_bytes}\n" for pack in packs).encode()
    write_synced(folder / PACK_LIST, text)
    return hashlib.sha256(text).hexdigest()


def read_pack_list(folder: Path, manifest: Manifest) -> tuple[KeptPack, ...]:
    """The packs of a backup, as its manifest has them. Raises BackupRefused."""
    try:
        text = (folder / PACK_LIST).read_bytes()
    except OSError:
        text = b""
    if hashlib.sha256(text).hexdigest() != manifest.pack_list_sha256:
        raise BackupRefused(f"{folder / PACK_LIST} is not what the manifest says: the backup is damaged.")
    lines = (line.split() for line in text.decode().splitlines())
    return tuple(KeptPack(bytes.fromhex(pack_id), int(size)) for pack_id, size in lines)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    for piece in _pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def write_synced(path: Path, data: bytes) -> None:
    """A new file that only its owner reads, on stable storage."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece
