"""Whether a place of packs takes bytes and gives them back, tried with an object of its own."""

from __future__ import annotations

import os
import secrets
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError

from store.blobs.local import MARKER
from store.blobs.s3_client import DEFAULT_RETRIES, Bucket, S3Client
from store.blobs.s3_errors import Refusal

_PREFIX = "doctor-"


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found: what is wrong, empty when nothing is; whose the place is, a registry id in hex, empty when it is
    nobody's yet; and how far the clock of a bucket's service is ahead of this machine's, to about a second."""

    problem: str = ""
    owner: str = ""
    ahead_seconds: float | None = None


def probe_folder(folder: Path) -> Probe:
    """Writes a file into the folder of packs, reads it and removes it."""
    try:
        about = folder.stat()
        if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return Probe(f"{folder} must belong to the server's user, and nobody else may write to it: chmod 700")
        marker = folder / MARKER
        owner = marker.read_text("ascii", errors="replace").strip() if marker.exists() else ""
        _write_and_read(folder / f"{_PREFIX}{secrets.token_hex(8)}")
    except OSError as error:
        return Probe(f"{folder} cannot be written and read: {error.strerror or 'what comes back is not what went in'}")
    return Probe(owner=owner)


def probe_bucket(bucket: Bucket) -> Probe:
    """Puts an object below the prefix, reads it, asks when it came, and deletes it."""
    key, content = f"{_PREFIX}{secrets.token_hex(8)}", secrets.token_bytes(64)
    store = S3Client(bucket, DEFAULT_RETRIES).unguarded
    try:
        try:
            owner = bytes(obstore.get(store, MARKER).bytes()).decode("ascii", errors="replace").strip()
        except FileNotFoundError as error:
            if Refusal.of(error).code == "NoSuchBucket":
                raise
            owner = ""
        before = time.time()
        obstore.put(store, key, content, use_multipart=False)
        after = time.time()
        try:
            if bytes(obstore.get(store, key).bytes()) != content:
                return Probe(f"{bucket} gives back other bytes than it got", owner)
            stored = obstore.head(store, key)["last_modified"].timestamp()
        finally:
            obstore.delete(store, key)
    except (BaseError, OSError) as error:
        return Probe(f"{bucket} cannot be used: {Refusal.of(error).advice.rstrip('.')}")
    # The service tells whole seconds, of a moment between the two looks at this clock.
    ahead = 0.0 if before - 1 <= stored <= after + 1 else min(stored - before, stored - after, key=abs)
    return Probe(owner=owner, ahead_seconds=ahead)


def _write_and_read(path: Path) -> None:
    content = secrets.token_bytes(4096)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
        if os.pread(descriptor, len(content), 0) != content:
            raise OSError
    finally:
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()
